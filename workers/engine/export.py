"""Adapters as PEFT files: written so that plain peft loads them, read without trusting them.

An `adapter_model.safetensors` of float32 masters and an `adapter_config.json`. What is read is
checked name by name against the base; of the configuration only an allow-list is believed.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from api.spec import LoraMethod
from workers.engine.lora import LoraAdapter, NoSuchModule, empty_adapter, select
from workers.engine.model import Base

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

_PREFIX = "base_model.model."
_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_FLOATS = {torch.float32, torch.bfloat16, torch.float16}


class BadAdapter(ValueError):
    """The files are not a LoRA adapter for this base."""


def save_adapter(base: Base, adapter: LoraAdapter, folder: Path, *, base_model: str) -> None:
    """Write the two files PEFT wants. The folder's atomicity is the caller's matter."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: view.cpu().clone() for name, view in peft_tensors(adapter).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = peft_config(base, adapter, base_model=base_model)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def peft_tensors(adapter: LoraAdapter) -> dict[str, Tensor]:
    """The masters under PEFT's names: views, so filling them fills the adapter."""
    views = {}
    for name, pair in adapter.pairs(adapter.weights).items():
        views[f"{_PREFIX}{name}.lora_A.weight"] = pair.a_RI
        views[f"{_PREFIX}{name}.lora_B.weight"] = pair.b_OR
    return views


def peft_config(base: Base, adapter: LoraAdapter, *, base_model: str) -> dict[str, Any]:
    method = adapter.method
    return {
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(method.alpha) if method.alpha.is_integer() else method.alpha,
        "lora_dropout": method.dropout,
        "peft_type": "LORA",
        "r": method.rank,
        "target_modules": _target_modules(base, adapter),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }


def load_adapter(base: Base, folder: Path) -> LoraAdapter:
    """An adapter from PEFT files, for use with this base; refuses what does not fit it exactly."""
    method = _method(folder)
    try:
        places = select(list(base.places.values()), method)
    except NoSuchModule as error:
        raise BadAdapter(str(error)) from error
    tensors = _tensors(folder)
    present = {match.group(1) for name in tensors if (match := _NAME.fullmatch(name))}
    places = [place for place in places if place.name in present]
    if not places:
        raise BadAdapter(f"{WEIGHTS} has no tensor that fits this base model")
    adapter = empty_adapter(places, method, seed=0, dtype=base.dtype)
    _fill(adapter, tensors)
    adapter.refresh()
    return adapter


def _method(folder: Path) -> LoraMethod:
    """Only these keys are read; paths, URLs and code mappings are never looked at."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config.get("peft_type") != "LORA":
            raise BadAdapter("only LoRA adapters can be loaded")
        for variant in (
            "use_dora",
            "use_rslora",
            "fan_in_fan_out",
            "rank_pattern",
            "alpha_pattern",
        ):
            if config.get(variant):
                raise BadAdapter(f"adapters with {variant} cannot be loaded")
        targets = config["target_modules"]
        return LoraMethod.model_validate(
            {
                "rank": config["r"],
                "alpha": config["lora_alpha"],
                "dropout": config.get("lora_dropout", 0.0),
                "target_modules": targets if isinstance(targets, str) else tuple(targets),
            }
        )
    except (OSError, AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise BadAdapter(f"{CONFIG} is missing or incomplete: {error}") from error
    except ValidationError as error:
        raise BadAdapter(f"{CONFIG} is out of bounds: {error}") from error


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadAdapter(f"{WEIGHTS} cannot be read: {error}") from error


def _fill(adapter: LoraAdapter, tensors: dict[str, Tensor]) -> None:
    expected = peft_tensors(adapter)
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))[:3]
        raise BadAdapter(f"tensors missing or unknown to this base model: {', '.join(odd)}")
    for name, view in expected.items():
        tensor = tensors[name]
        if tensor.shape != view.shape:
            raise BadAdapter(f"{name} has shape {list(tensor.shape)}, not {list(view.shape)}")
        if tensor.dtype not in _FLOATS:
            raise BadAdapter(f"{name} is {tensor.dtype}, not a float of 16 or 32 bits")
        if not bool(torch.isfinite(tensor).all()):
            raise BadAdapter(f"{name} holds values that are not finite")
        view.copy_(tensor)


def _target_modules(base: Base, adapter: LoraAdapter) -> list[str]:
    """Short names where they mean exactly these layers to PEFT, else whole ones."""
    children = sorted({base.places[name].child for name in adapter.shapes})
    linear = dict(base.model.named_modules())
    meant = {name for name in linear if any(name == c or name.endswith(f".{c}") for c in children)}
    return children if meant == set(adapter.shapes) else sorted(adapter.shapes)
