"""The frozen base model, resident between runs: loading it, its hidden states and its logits.

Safetensors only, no remote code. Adapters are lent to it by `Base.lend` and leave no trace.
Shapes: T tokens of a pass, D hidden width, V vocabulary.
"""

# ruff: noqa: N803, N806 - shapes are suffixes of names, as the docstring lists them

import copy
import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from api.spec import Precision
from workers.engine import attention, lora
from workers.engine.lora import LoraAdapter, Place
from workers.engine.template import Template

DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP32: torch.float32}
# A forward-backward pass is full at about a thousand tokens on a CPU; a GPU wants more at once.
PASS_TOKENS = {"cpu": 1_024, "cuda": 16_384}
_LOGITS_CHUNK_V = 16_384


class BaseError(ValueError):
    """The folder does not hold a base model that may be loaded."""


@dataclass(eq=False)
class Base:
    """A frozen base. `packs`: whether rows one after another give what each gives alone."""

    model: PreTrainedModel
    backbone: nn.Module
    template: Template
    precision: Precision
    fingerprint: str
    places: dict[str, Place]
    head: "Head"
    pass_tokens: int
    packs: bool = False

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    def lend(
        self, adapter: LoraAdapter | None, *, training: bool = False
    ) -> AbstractContextManager[None]:
        """The adapter's layers stand in for the base's own while the block runs."""
        return lora.attached(self.places, adapter, training=training)

    def hidden(self, tokens_T: Tensor, positions_T: Tensor, row_lengths: Sequence[int]) -> Tensor:
        """Hidden states [T, D] before the head, of rows packed one after another."""
        packing = {"row_lengths": tuple(row_lengths)} if self.packs else {}
        output = self.backbone(
            input_ids=tokens_T.unsqueeze(0),
            position_ids=positions_T.unsqueeze(0),
            use_cache=False,
            **packing,
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


class Head:
    """From hidden states to logits, whatever the model does there: scaling, soft caps, biases.

    It is the model's own forward over a stub in the backbone's place. Where that equals a plain
    product with one matrix (nearly always), `plain` says so and faster code may use `weight`.
    """

    def __init__(self, model: PreTrainedModel, backbone_name: str) -> None:
        output: object = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        if not isinstance(output, nn.Linear):
            raise BaseError("this model has no linear output layer")
        self.linear = output
        # A shallow copy shares every weight; only its table of children is its own.
        self._model = copy.copy(model)
        self._model._modules = dict(model._modules) | {backbone_name: _Stub()}
        self.plain = self._is_plain()

    @property
    def weight(self) -> Tensor:
        return self.linear.weight

    def __call__(self, hidden_TD: Tensor) -> Tensor:
        if self.plain:
            return functional.linear(hidden_TD, self.weight)
        logits: Tensor = self._model(inputs_embeds=hidden_TD.unsqueeze(0), use_cache=False).logits
        return logits[0]

    def exact(self, hidden_TD: Tensor) -> Tensor:
        """Logits in float32, without rounding them to the base's precision on the way."""
        if not self.plain or self.weight.dtype == torch.float32:
            return self(hidden_TD).float()
        wide_TD = hidden_TD.float()  # the matrix by parts: whole, it would double its memory
        return torch.cat(
            [
                functional.linear(wide_TD, w.float())
                for w in torch.split(self.weight, _LOGITS_CHUNK_V)
            ],
            -1,
        )

    @torch.no_grad()
    def _is_plain(self) -> bool:
        if "bias" in dict(self.linear.named_parameters()):
            return False
        random = torch.Generator().manual_seed(0)
        probe_TD = torch.randn(4, self.weight.shape[1], generator=random).mul_(8).to(self.weight)
        output = self._model(inputs_embeds=probe_TD.unsqueeze(0), use_cache=False)
        return torch.equal(output.logits[0], functional.linear(probe_TD, self.weight))


class _Stub(nn.Module):
    """Stands for a backbone that has already run."""

    def forward(self, inputs_embeds: Tensor, **_ignored: Any) -> BaseModelOutputWithPast:
        return BaseModelOutputWithPast(last_hidden_state=inputs_embeds)


def load_base(folder: Path, precision: Precision, *, device: str | None = None) -> Base:
    """Load once, use for every run: weights frozen, evaluation mode, on the GPU if there is one."""
    target = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _refuse_unsafe(folder)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=DTYPES[precision],
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    model.to(torch.device(target))  # type: ignore[arg-type]
    return adopt(model, Template.load(folder), precision, fingerprint=_fingerprint(folder))


def adopt(
    model: PreTrainedModel, template: Template, precision: Precision, *, fingerprint: str
) -> Base:
    """Make a base of a model in memory."""
    model.train(False).requires_grad_(False)
    name = str(model.base_model_prefix)
    backbone = getattr(model, name, None)
    if not isinstance(backbone, nn.Module) or backbone is model:
        raise BaseError(f"{type(model).__name__} is not a causal language model over a backbone")
    head = Head(model, name)
    places = lora.places(model, head.linear)
    base = Base(
        model=model,
        backbone=backbone,
        template=template,
        precision=precision,
        fingerprint=fingerprint,
        places={place.name: place for place in places},
        head=head,
        pass_tokens=PASS_TOKENS.get(head.weight.device.type, PASS_TOKENS["cpu"]),
    )
    _choose_packing(base)
    return base


@torch.no_grad()
def _choose_packing(base: Base) -> None:
    """Pack rows only if this architecture keeps them apart: tried on two rows, not looked up."""
    model = base.model
    own = model.config._attn_implementation
    random = torch.Generator().manual_seed(0)
    size = min(base.head.weight.shape[0], 1_000)
    tokens = torch.randint(size, (12,), generator=random).to(base.device)
    positions = torch.cat([torch.arange(7), torch.arange(5)]).to(base.device)
    alone = torch.cat([base.hidden(tokens[a:b], positions[a:b], (b - a,)) for a, b in _PROBE])
    try:
        model.set_attn_implementation(attention.NAME)
        base.packs = True
        packed = base.hidden(tokens, positions, (7, 5))
        other = torch.cat([tokens[:7].flip(0), tokens[7:]])
        leak = _distance(base.hidden(other, positions, (7, 5))[7:], packed[7:])
        exact = 1e-4 if base.precision is Precision.FP32 else 5e-2
        base.packs = leak < 1e-3 and _distance(packed, alone) < exact
    except (TypeError, ValueError, RuntimeError):
        base.packs = False
    if not base.packs:
        model.set_attn_implementation(own)


_PROBE = ((0, 7), (7, 12))


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).float().norm() / other.float().norm())


def _refuse_unsafe(folder: Path) -> None:
    """Nothing that runs code of a model's author, and no format that could."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseError(f"{folder.name} has no readable config.json") from error
    if "auto_map" in config:
        raise BaseError(f"{folder.name} asks to run code of its own (auto_map)")
    if "quantization_config" in config:
        raise BaseError(f"{folder.name} is quantized; train on the full weights")
    if not any(folder.glob("*.safetensors")):
        raise BaseError(f"{folder.name} has no safetensors weights")


def _fingerprint(folder: Path) -> str:
    """Configuration, every tensor's name and place, and samples of the weights themselves."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        with path.open("rb") as file:
            digest.update(f"{path.name}:{size}:".encode())
            for at in range(0, size, max(1, size // 64)):
                file.seek(at)
                digest.update(file.read(1 << 16))
    return digest.hexdigest()
