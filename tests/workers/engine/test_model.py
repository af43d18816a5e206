"""The base and its guests: packing is exact on every architecture, and adapters leave no trace."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from api.spec import LoraMethod, Precision
from tests.workers.engine.conftest import TINY, VOCABULARY, tiny_model
from workers.engine.lora import LoraAdapter, NoSuchModule, new_adapter
from workers.engine.model import Base, BaseError, adopt, load_base
from workers.engine.template import Template

LENGTHS = (9, 1, 14, 5)


def _tokens(lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    tokens = torch.randint(20, 2_000, (sum(lengths),), generator=random)
    return tokens, torch.cat([torch.arange(length) for length in lengths])


def _adapter(base: Base, **method: Any) -> LoraAdapter:
    adapter = new_adapter(
        list(base.places.values()), LoraMethod(rank=4, **method), seed=1, dtype=base.dtype
    )
    random = torch.Generator().manual_seed(9)
    for pair in adapter.pairs(adapter.weights).values():
        pair.b_OR.copy_(torch.randn(pair.b_OR.shape, generator=random) * 0.1)
    adapter.refresh()
    return adapter


def state_sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().view(torch.uint8).numpy().tobytes())
    names = [f"{name}:{type(module)}:{id(module)}" for name, module in model.named_modules()]
    return hashlib.sha256(digest.digest() + "".join(names).encode()).hexdigest()


@pytest.mark.parametrize("name", list(TINY))
def test_packed_rows_give_what_each_gives_alone(template: Template, name: str) -> None:
    model = tiny_model(name)
    tokens, positions = _tokens(LENGTHS)
    with torch.no_grad():
        alone = torch.cat(
            [
                model(input_ids=row[None], use_cache=False).logits[0]
                for row in torch.split(tokens, list(LENGTHS))
            ]
        )
        base = adopt(model, template, Precision.FP32, fingerprint=name)
        assert base.packs
        packed = base.head(base.hidden(tokens, positions, LENGTHS))
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2"])
def test_packed_gradients_are_the_sum_of_those_alone(template: Template, name: str) -> None:
    base = adopt(tiny_model(name), template, Precision.FP32, fingerprint=name)
    tokens, positions = _tokens(LENGTHS)

    def gradient(rows: list[tuple[Tensor, Tensor, tuple[int, ...]]]) -> Tensor:
        adapter = _adapter(base)
        with base.lend(adapter, training=True):
            for row in rows:
                torch.autograd.backward(base.head(base.hidden(*row)).square().mean(-1).sum())
        return adapter.grad.clone()

    parts = zip(
        torch.split(tokens, list(LENGTHS)),
        torch.split(positions, list(LENGTHS)),
        LENGTHS,
        strict=True,
    )
    alone = gradient([(row, at, (length,)) for row, at, length in parts])
    packed = gradient([(tokens, positions, LENGTHS)])
    assert (packed - alone).norm() < 1e-4 * alone.norm()


def test_a_model_that_cannot_pack_gets_one_row_a_pass(template: Template) -> None:
    model = tiny_model("llama")

    def leaky(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        return output + output.mean(1, keepdim=True)

    model.model.layers[0].mlp.register_forward_hook(leaky)
    assert not adopt(model, template, Precision.FP32, fingerprint="leaky").packs


@pytest.mark.parametrize("name", list(TINY))
def test_the_head_is_the_models_own(template: Template, name: str) -> None:
    base = adopt(tiny_model(name), template, Precision.FP32, fingerprint=name)
    assert base.head.plain == (name != "gemma2")
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(0)) * 20
    logits = base.head(hidden)
    if name == "gemma2":
        assert logits.abs().max() <= 30, "Gemma 2 caps its logits at 30"
    torch.testing.assert_close(base.head.exact(hidden), logits)


def test_an_adapter_leaves_no_trace(tiny: Base) -> None:
    before = state_sha256(tiny.model)
    tokens, positions = _tokens(LENGTHS)
    with torch.no_grad():
        bare = tiny.hidden(tokens, positions, LENGTHS)
        with tiny.lend(_adapter(tiny)):
            lent = tiny.hidden(tokens, positions, LENGTHS)
        with pytest.raises(IndexError), tiny.lend(_adapter(tiny)):
            tiny.hidden(tokens + VOCABULARY, positions, LENGTHS)
        after = tiny.hidden(tokens, positions, LENGTHS)
    assert not torch.equal(lent, bare)
    assert torch.equal(after, bare)
    assert state_sha256(tiny.model) == before


def test_the_base_is_frozen_and_evaluating(tiny: Base) -> None:
    assert not tiny.model.training
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("name", ["llama", "qwen2"])
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj", "down_proj")])
def test_outputs_and_gradients_equal_pefts(
    template: Template, name: str, targets: str | tuple[str, ...]
) -> None:
    import peft  # noqa: PLC0415 - slow to import, used here only

    base = adopt(tiny_model(name), template, Precision.FP32, fingerprint=name)
    adapter = _adapter(base, alpha=6.0, target_modules=targets)
    config = peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=targets if targets == "all-linear" else list(targets)
    )
    theirs: Any = peft.get_peft_model(tiny_model(name), config)
    pairs, gradients = adapter.pairs(adapter.weights), adapter.pairs(adapter.grad)
    layers: dict[str, Any] = {
        key.removeprefix("base_model.model."): layer
        for key, layer in theirs.named_modules()
        if isinstance(layer, peft.tuners.lora.Linear)
    }
    assert set(layers) == set(pairs)
    for key, layer in layers.items():
        layer.lora_A["default"].weight.data.copy_(pairs[key].a_RI)
        layer.lora_B["default"].weight.data.copy_(pairs[key].b_OR)
    tokens, positions = _tokens((12,))
    theirs.train(False)
    expected = theirs(input_ids=tokens[None], use_cache=False).logits[0]
    with base.lend(adapter, training=True):
        logits = base.head(base.hidden(tokens, positions, (12,)))
        torch.autograd.backward(logits.square().mean())
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.autograd.backward(expected.square().mean())
    for key, layer in layers.items():
        a, b = layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad
        assert (gradients[key].a_RI - a).norm() < 1e-4 * a.norm() + 1e-7, key
        assert (gradients[key].b_OR - b).norm() < 1e-4 * b.norm() + 1e-7, key


def test_the_same_seed_starts_the_same_adapter_whatever_torch_drew_before(tiny: Base) -> None:
    places = list(tiny.places.values())
    one = new_adapter(places, LoraMethod(), seed=5, dtype=torch.float32)
    torch.rand(3)
    assert torch.equal(
        one.weights, new_adapter(places, LoraMethod(), seed=5, dtype=torch.float32).weights
    )
    assert not torch.equal(
        one.weights, new_adapter(places, LoraMethod(), seed=6, dtype=torch.float32).weights
    )
    first = next(iter(one.pairs(one.weights).values()))
    assert first.a_RI.abs().max() <= 32**-0.5
    assert first.a_RI.std() == pytest.approx(32**-0.5 / 3**0.5, rel=0.1)
    assert not first.b_OR.any()


def test_all_linear_spares_the_head(tiny: Base) -> None:
    adapter = new_adapter(list(tiny.places.values()), LoraMethod(), seed=0, dtype=torch.float32)
    assert len(adapter.shapes) == 2 * 7
    assert not any("lm_head" in name for name in adapter.shapes)


def test_an_unknown_module_lists_those_there_are(tiny: Base) -> None:
    with pytest.raises(NoSuchModule, match=r"query_proj.*there are: .*q_proj"):
        _adapter(tiny, target_modules=("query_proj",))


def _config(folder: Path, **extra: object) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | extra))


def test_bases_with_code_or_without_safetensors_are_refused(tmp_path: Path) -> None:
    _config(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(BaseError, match="no safetensors"):
        load_base(tmp_path, Precision.FP32)
    (tmp_path / "model.safetensors").touch()
    _config(tmp_path, auto_map={"AutoModel": "modeling.Evil"})
    with pytest.raises(BaseError, match="auto_map"):
        load_base(tmp_path, Precision.FP32)
