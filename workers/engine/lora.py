"""LoRA adapters as guests: flat float32 masters, and layers put in place of a base's linear ones.

An adapter is data (`LoraAdapter`); `attached` lends it to a base for as long as a block runs. The
base's own modules and weights are never written to. Shapes: T tokens, I in, O out, R rank.
"""

# ruff: noqa: N803, N806, N815 - shapes are suffixes of names, as the docstring lists them

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from api.spec import LoraMethod


class NoSuchModule(ValueError):
    """`target_modules` names nothing in this base; the message lists what there is."""


@dataclass(frozen=True, slots=True)
class Place:
    """A linear layer of the base that an adapter can stand in for."""

    name: str
    parent: nn.Module
    child: str
    linear: nn.Linear


@dataclass(frozen=True, slots=True)
class Pair:
    """One layer's A and B: views into an adapter's flat tensors."""

    a_RI: Tensor
    b_OR: Tensor


@dataclass(eq=False)
class LoraAdapter:
    """All of one adapter's numbers, flat: one optimizer tensor, one norm, one hash, one cast.

    `weights` are the float32 masters; `compute` what a pass multiplies with (the same tensor in
    float32 runs); gradients accumulate in float32 in `grad`.
    """

    method: LoraMethod
    shapes: dict[str, tuple[int, int]]  # by module: (in, out)
    weights: Tensor
    compute: Tensor
    generator: torch.Generator
    _layers: dict[str, "LoraLinear"] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Dropout needs no gradient buffer before training, and inference never does.
        self._grad: Tensor | None = None
        # Autograd calls a layer's backward only if an input of it requires a gradient.
        self.anchor = torch.zeros((), device=self.weights.device, requires_grad=True)
        self.training = False

    @property
    def scale(self) -> float:
        return self.method.alpha / self.method.rank

    @property
    def grad(self) -> Tensor:
        if self._grad is None:
            self._grad = torch.zeros_like(self.weights)
        return self._grad

    def pairs(self, flat: Tensor) -> dict[str, Pair]:
        """The named views of a flat tensor laid out as this adapter's."""
        pairs, at, rank = {}, 0, self.method.rank
        for name, (wide, out) in self.shapes.items():
            middle, end = at + rank * wide, at + rank * (wide + out)
            pairs[name] = Pair(flat[at:middle].view(rank, wide), flat[middle:end].view(out, rank))
            at = end
        return pairs

    def refresh(self) -> None:
        """Carry updated masters over to what a pass multiplies with."""
        if self.compute is not self.weights:
            self.compute.copy_(self.weights)


def new_adapter(
    places: list[Place], method: LoraMethod, *, seed: int, dtype: torch.dtype
) -> LoraAdapter:
    """A fresh adapter as PEFT starts one: A uniform by Kaiming with a = sqrt(5), B zero."""
    adapter = empty_adapter(select(places, method), method, seed=seed, dtype=dtype)
    # On the CPU whatever the device, so that a seed means the same adapter everywhere.
    random = torch.Generator().manual_seed(seed)
    for pair in adapter.pairs(adapter.weights).values():
        bound = 1 / math.sqrt(pair.a_RI.shape[1])
        pair.a_RI.copy_(torch.rand(pair.a_RI.shape, generator=random).mul_(2 * bound).sub_(bound))
    adapter.refresh()
    return adapter


def empty_adapter(
    places: list[Place], method: LoraMethod, *, seed: int, dtype: torch.dtype
) -> LoraAdapter:
    """An adapter of zeros over these places, to be filled."""
    shapes = {place.name: (place.linear.in_features, place.linear.out_features) for place in places}
    size = method.rank * sum(wide + out for wide, out in shapes.values())
    device = places[0].linear.weight.device
    weights = torch.zeros(size, device=device)
    compute = weights if dtype == torch.float32 else weights.to(dtype)
    # Another stream than the initialisation's, or dropout would repeat its numbers.
    generator = torch.Generator(device).manual_seed(seed + 2**32)
    return LoraAdapter(method, shapes, weights, compute, generator)


def places(model: nn.Module, head: nn.Module | None) -> list[Place]:
    """Every linear layer but the head, in the model's order."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            parent, _, child = name.rpartition(".")
            found.append(Place(name, model.get_submodule(parent), child, module))
    return found


def select(places: list[Place], method: LoraMethod) -> list[Place]:
    """The places a method targets: names match as PEFT matches them, whole or as last parts."""
    if method.target_modules == "all-linear":
        if not places:
            raise NoSuchModule("this base model has no linear layer to adapt")
        return places
    unknown = [name for name in method.target_modules if not any(_is(p, name) for p in places)]
    if unknown:
        available = ", ".join(sorted({place.child for place in places}))
        raise NoSuchModule(
            f"no linear module is called {', '.join(unknown)}; there are: {available}"
        )
    return [p for p in places if any(_is(p, name) for name in method.target_modules)]


def _is(place: Place, name: str) -> bool:
    return place.name == name or place.name.endswith(f".{name}")


@contextmanager
def attached(
    places: Mapping[str, Place], adapter: LoraAdapter | None, *, training: bool = False
) -> Iterator[None]:
    """Lend an adapter to the base: its layers stand in for the linear ones until the block ends."""
    if adapter is None:
        yield
        return
    if not adapter._layers:
        adapter._layers = _layers(places, adapter)
    adapter.training = training
    try:
        for name, layer in adapter._layers.items():
            places[name].parent._modules[places[name].child] = layer
        yield
    finally:
        adapter.training = False
        for name in adapter._layers:
            places[name].parent._modules[places[name].child] = places[name].linear


def _layers(places: Mapping[str, Place], adapter: LoraAdapter) -> dict[str, "LoraLinear"]:
    compute = adapter.pairs(adapter.compute)
    return {
        name: LoraLinear(name, places[name].linear, adapter, compute[name])
        for name in adapter.shapes
    }


class LoraLinear(nn.Module):
    """y = x W^T + b + scale * dropout(x) A^T B^T, with W and b frozen."""

    def __init__(self, name: str, linear: nn.Linear, adapter: LoraAdapter, pair: Pair) -> None:
        super().__init__()
        self.name = name
        self.adapter = adapter
        self.pair = pair
        self.in_features, self.out_features = linear.in_features, linear.out_features
        # In a tuple it is not registered as a child: the base's parameters keep their names.
        self._linear = (linear,)
        self._grads: Pair | None = None

    @property
    def linear(self) -> nn.Linear:
        return self._linear[0]

    @property
    def weight(self) -> Tensor:
        """Some models look at a layer's weight for its dtype."""
        return self.linear.weight

    @property
    def bias(self) -> Tensor | None:
        return self.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        x_TI = x.reshape(-1, self.in_features)
        if torch.is_grad_enabled():
            y_TO: Tensor = _LoraProduct.apply(x_TI, self.adapter.anchor, self)  # type: ignore[no-untyped-call]
        else:
            y_TO = _product(x_TI, x_TI, self)[0]
        return y_TO.view(*x.shape[:-1], self.out_features)

    @property
    def grads(self) -> Pair:
        if self._grads is None:
            self._grads = self.adapter.pairs(self.adapter.grad)[self.name]
        return self._grads

    def dropout_mask(self, x_TI: Tensor) -> Tensor | None:
        rate = self.adapter.method.dropout
        if not rate or not self.adapter.training:
            return None
        keep = torch.empty_like(x_TI).bernoulli_(1 - rate, generator=self.adapter.generator)
        return keep.mul_(1 / (1 - rate))


def _product(x_TI: Tensor, dropped_TI: Tensor, layer: LoraLinear) -> tuple[Tensor, Tensor]:
    linear, pair = layer.linear, layer.pair
    y_TO = functional.linear(x_TI, linear.weight, linear.bias)
    low_TR = dropped_TI @ pair.a_RI.t()
    return y_TO.addmm_(low_TR, pair.b_OR.t(), alpha=layer.adapter.scale), low_TR


class _LoraProduct(torch.autograd.Function):
    """Gradients of A and B go straight into the adapter's float32 buffer; W gets none.

    The first adapted layer's input needs no gradient, so nothing below it is computed either.
    """

    @staticmethod
    def forward(ctx: Any, x_TI: Tensor, _anchor: Tensor, layer: LoraLinear) -> Tensor:
        mask_TI = layer.dropout_mask(x_TI)
        dropped_TI = x_TI if mask_TI is None else x_TI * mask_TI
        y_TO, low_TR = _product(x_TI, dropped_TI, layer)
        ctx.save_for_backward(dropped_TI, low_TR, mask_TI)
        ctx.layer = layer
        return y_TO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        grad_TO = grads[0]
        dropped_TI, low_TR, mask_TI = ctx.saved_tensors
        layer: LoraLinear = ctx.layer
        pair, into, scale = layer.pair, layer.grads, layer.adapter.scale
        grad_low_TR = (grad_TO @ pair.b_OR).mul_(scale)
        into.b_OR.add_(grad_TO.t() @ low_TR, alpha=scale)
        into.a_RI.add_(grad_low_TR.t() @ dropped_TI)
        if not ctx.needs_input_grad[0]:
            return None, None, None
        grad_TI = grad_TO @ layer.linear.weight
        if mask_TI is None:
            grad_TI.addmm_(grad_low_TR, pair.a_RI)
        else:
            grad_TI.addcmul_(grad_low_TR @ pair.a_RI, mask_TI)
        return grad_TI, None, None
