"""AdamW over float32 masters, its schedule and gradient clipping. Moments are plain tensors."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from api.spec import Hyperparameters, Scheduler
from workers.engine.lora import LoraAdapter


@dataclass(frozen=True, slots=True)
class Update:
    """What one optimizer step did. `grad_norm` is taken before clipping."""

    grad_norm: float
    learning_rate: float


def learning_rate(step: int, total_steps: int, hyperparameters: Hyperparameters) -> float:
    """The rate of one step, counted from 0. Neither the first nor the last is zero."""
    peak = hyperparameters.learning_rate
    warmup = math.ceil(hyperparameters.warmup_ratio * total_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, total_steps - warmup)
    match hyperparameters.scheduler:
        case Scheduler.COSINE:
            return peak * (1 + math.cos(math.pi * done)) / 2
        case Scheduler.LINEAR:
            return peak * (1 - done)
        case Scheduler.CONSTANT:
            return peak


class AdamW:
    """One adapter's optimizer: a single flat tensor, so a step is a handful of operations."""

    def __init__(self, adapter: LoraAdapter, hyperparameters: Hyperparameters) -> None:
        self.adapter = adapter
        self.hyperparameters = hyperparameters
        self._adam = torch.optim.AdamW(
            [adapter.weights],
            lr=hyperparameters.learning_rate,
            weight_decay=hyperparameters.weight_decay,
            fused=True,
        )
        state = self._adam.state[adapter.weights]
        state["step"] = torch.zeros((), device=adapter.weights.device)
        state["exp_avg"] = torch.zeros_like(adapter.weights)
        state["exp_avg_sq"] = torch.zeros_like(adapter.weights)

    def grad_norm(self) -> float:
        return float(self.adapter.grad.norm())

    def step(self, step: int, total_steps: int, grad_norm: float) -> Update:
        """Clip, update the masters, carry them over and clear the gradient."""
        adapter = self.adapter
        rate = learning_rate(step, total_steps, self.hyperparameters)
        if grad_norm > self.hyperparameters.max_grad_norm:
            adapter.grad.mul_(self.hyperparameters.max_grad_norm / grad_norm)
        self._adam.param_groups[0]["lr"] = rate
        adapter.weights.grad = adapter.grad
        self._adam.step()
        adapter.weights.grad = None
        adapter.grad.zero_()
        adapter.refresh()
        return Update(grad_norm=grad_norm, learning_rate=rate)

    def moments(self) -> dict[str, Tensor]:
        state = self._adam.state[self.adapter.weights]
        return {name: state[name] for name in ("exp_avg", "exp_avg_sq", "step")}

    def restore(self, moments: dict[str, Tensor]) -> None:
        for name, tensor in self.moments().items():
            tensor.copy_(moments[name])


def warm() -> None:
    """torch imports much of itself on a process's first optimizer step: have it over with."""
    weights = torch.zeros(1)
    weights.grad = torch.zeros(1)
    torch.optim.AdamW([weights], fused=True).step()


warm()
