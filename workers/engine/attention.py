"""Exact attention for rows packed one after another, without padding and without a dense mask.

Registered with transformers under `NAME`. The row lengths travel as the keyword `row_lengths`
through the model to here; without it (generation) the input is one sequence, with or without a
cache. Shapes: H query heads, K key-value heads, G = H / K, T positions, L of one row, D head width.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

NAME = "tunery_packed"


class UnsupportedAttention(ValueError):
    """This model's attention does something that packed rows cannot do exactly."""


class _Scores(NamedTuple):
    """How this layer scores a query against a key, and how far back it looks."""

    scale: float
    window: int | None
    softcap: float | None

    def reaches(self, length: int) -> bool:
        return self.window is None or self.window >= length


def packed_attention(  # noqa: PLR0917 - transformers' order
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - transformers' word
    scaling: float | None = None,
    dropout: float = 0.0,
    row_lengths: Sequence[int] | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: [1, H, T, D] in, [1, T, H, D] out."""
    if dropout or others.get("s_aux") is not None or not getattr(module, "is_causal", True):
        raise UnsupportedAttention("attention with dropout, sinks or no causal order")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = _Scores(scale, sliding_window, softcap)
    if row_lengths is None:
        mixed = _one(query, key, value, scores)
        return mixed.transpose(1, 2).contiguous(), None
    if query.is_cuda and softcap is None and query.dtype in (torch.bfloat16, torch.float16):
        return _flash(query, key, value, row_lengths, scores), None
    lengths = list(row_lengths)
    rows = [
        _row(q, k, v, scores)
        for q, k, v in zip(
            *(torch.split(part, lengths, 2) for part in (query, key, value)), strict=True
        )
    ]
    return torch.cat(rows).unsqueeze(0), None


def _row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scores: _Scores,
) -> Tensor:
    """One row, [1, H, L, D] to [L, H, D]: batched products, faster than SDPA on a CPU."""
    length = query.shape[2]
    simple = scores.softcap is None and scores.reaches(length)
    if query.is_cuda or not simple or length > _BMM_TOKENS_MAX:
        return _one(query, key, value, scores)[0].transpose(0, 1)
    mixed: Tensor = _GroupedQuery.apply(  # type: ignore[no-untyped-call]
        query[0], key[0], value[0], scores.scale
    )
    return mixed


# Above this the L x L scores cost more memory than the speed is worth.
_BMM_TOKENS_MAX = 1_024


class _GroupedQuery(torch.autograd.Function):
    """Causal attention of one row; the G query heads of a key head are one tall product.

    By hand because autograd would keep scores, mask sum and probabilities; this keeps only the
    last, and neither repeats keys nor values for their G heads.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        heads, length, width = query.shape
        groups = heads // key.shape[0]
        q = query.reshape(-1, groups * length, width)
        k, v = key.contiguous(), value.contiguous()
        mask = _causal_mask(length, groups, query.dtype)
        shares = torch.softmax(torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale), -1)
        ctx.save_for_backward(q, k, v, shares)
        ctx.scale = scale
        return torch.bmm(shares, v).view(heads, length, width).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, shares = ctx.saved_tensors
        grad = grads[0].transpose(0, 1)
        heads, length, width = grad.shape
        grad = grad.reshape(q.shape)
        grad_value = torch.bmm(shares.transpose(1, 2), grad)
        grad_shares = torch.bmm(grad, v.transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_shares, shares, -1, shares.dtype)
        grad_scores *= ctx.scale
        grad_query = torch.bmm(grad_scores, k).view(heads, length, width)
        grad_key = torch.bmm(grad_scores.transpose(1, 2), q)
        return grad_query, grad_key, grad_value, None


@lru_cache(maxsize=256)
def _causal_mask(length: int, groups: int, dtype: torch.dtype) -> Tensor:
    mask = torch.full((length, length), float("-inf"), dtype=dtype).triu_(1)
    return mask.repeat(groups, 1).unsqueeze(0)


def _one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scores: _Scores,
) -> Tensor:
    """One sequence, [1, H, L, D] to [1, H, L, D]; keys may reach back into a cache."""
    length, reach = query.shape[2], key.shape[2]
    if scores.softcap is not None:
        return _softcapped(query, key, value, scores, scores.softcap)
    masked = not scores.reaches(reach) or (length > 1 and length != reach)
    mask = _band(length, reach, scores.window, query.device) if masked else None
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=length > 1 and not masked,
        scale=scores.scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _softcapped(
    query: Tensor, key: Tensor, value: Tensor, scores: _Scores, softcap: float
) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    capped = torch.matmul(query, key.transpose(2, 3)) * scores.scale
    capped = torch.tanh(capped / softcap) * softcap
    seen = _band(query.shape[2], key.shape[2], scores.window, query.device)
    shares = torch.softmax(capped.masked_fill(~seen, float("-inf")).float(), -1)
    return torch.matmul(shares.to(value.dtype), value)


def _band(length: int, reach: int, window: int | None, device: torch.device) -> Tensor:
    """True where a query sees a key: not after itself and, with a window, not too far before."""
    at = torch.arange(reach - length, reach, device=device)[:, None]
    behind = at - torch.arange(reach, device=device)[None, :]
    seen = behind >= 0
    return seen if window is None else seen & (behind < window)


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row_lengths: Sequence[int],
    scores: _Scores,
) -> Tensor:
    """All rows in one kernel on a GPU: [1, H, T, D] to [1, T, H, D]."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - CUDA builds only

    ends = torch.tensor([0, *row_lengths], device=query.device).cumsum(0, dtype=torch.int32)
    longest = max(row_lengths)
    q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    behind = -1 if scores.window is None else scores.window - 1
    mixed = varlen_attn(
        q,
        k,
        v,
        ends,
        ends,
        longest,
        longest,
        scale=scores.scale,
        window_size=(behind, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    assert isinstance(mixed, Tensor)
    return mixed.unsqueeze(0)


AttentionInterface.register(NAME, packed_attention)
