"""What the loss rewards: one function each, from hidden states to a loss summed over a pass.

Dividing by the supervised tokens of the whole step is the loop's work, once, so that one pass of
eight rows and eight passes of one give the same update. Shapes: T tokens, D width, V vocabulary,
N predicted positions, C a chunk of them.
"""

# ruff: noqa: N803, N806 - shapes are suffixes of names, as the docstring lists them

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from api.spec import Objective
from workers.engine.batch import Pass
from workers.engine.model import Head

Loss = Callable[[Head, Tensor, Pass], Tensor]

_CHUNK_TOKENS = 256  # logits exist for this many positions at a time


def sft(head: Head, hidden_TD: Tensor, batch: Pass) -> Tensor:
    """Cross-entropy, summed, of the supervised tokens; logits only where there is one."""
    hidden_ND = hidden_TD.index_select(0, batch.predicted_N)
    loss: Tensor = _HeadCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_ND, batch.targets_N, head
    )
    return loss


OBJECTIVES: dict[Objective, Loss] = {Objective.SFT: sft}


class _HeadCrossEntropy(torch.autograd.Function):
    """Head and cross-entropy in chunks; the gradient is made on the way, the head gets none."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, targets_N: Tensor, head: Head) -> Tensor:
        grad_ND = torch.empty_like(hidden_ND)
        total = torch.zeros((), device=hidden_ND.device)
        product = _plain if head.plain else _any
        for at in range(0, len(targets_N), _CHUNK_TOKENS):
            chunk = slice(at, at + _CHUNK_TOKENS)
            loss, grad_ND[chunk] = product(head, hidden_ND[chunk], targets_N[chunk])
            total += loss
        ctx.save_for_backward(grad_ND)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad_ND,) = ctx.saved_tensors
        return grad_ND * grads[0].to(grad_ND.dtype), None, None


def _plain(head: Head, hidden_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
    logits_CV = head(hidden_CD).float()
    normaliser_C1 = torch.logsumexp(logits_CV, -1, keepdim=True)
    column_C1 = targets_C.unsqueeze(1)
    loss = (normaliser_C1 - logits_CV.gather(1, column_C1)).sum()
    shares_CV = logits_CV.sub_(normaliser_C1).exp_()
    shares_CV.scatter_add_(1, column_C1, shares_CV.new_full(column_C1.shape, -1.0))
    return loss, shares_CV.to(head.weight.dtype) @ head.weight


def _any(head: Head, hidden_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
    """Heads that scale, cap or shift their logits: autograd through the model's own code."""
    with torch.enable_grad():
        hidden_CD = hidden_CD.detach().requires_grad_()
        loss = functional.cross_entropy(head(hidden_CD).float(), targets_C, reduction="sum")
        (grad_CD,) = torch.autograd.grad(loss, hidden_CD)
    return loss.detach(), grad_CD
