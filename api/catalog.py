"""Base models: where each comes from, what it may cost and what it needs. No I/O but one YAML file.

A source is `wheel:PACKAGE` (a GGUF inside an installed wheel), `path:FOLDER`, `s3:KEY-PREFIX` (in
the service's bucket), `hf:OWNER/NAME` or `modelscope:OWNER/NAME`, the last two pinned by revision.
"""

from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from api.errors import NotFound
from api.settings import settings
from api.spec import Frozen


class PriceClass(StrEnum):
    """What a base model costs to train and to talk to; the rates stand in `pricing`."""

    XS = "xs"
    S = "s"
    M = "m"
    L = "l"


class Shape(Frozen):
    """The sizes that memory is estimated from."""

    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    intermediate: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocabulary: int = Field(gt=0)


class BaseModel(Frozen):
    """One entry. `id` is the name on the wire; `revision` pins the weights."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,79}$")
    name: str
    source: str = Field(pattern=r"^(wheel|path|s3|hf|modelscope):.+$")
    revision: str
    licence: str
    parameters: int = Field(gt=0)
    shape: Shape
    context: int = Field(gt=0, description="tokens")
    price_class: PriceClass
    created: int = Field(description="Unix seconds")


@lru_cache
def catalog() -> dict[str, BaseModel]:
    """Every base model on offer, by id: ours, then the operator's file, which may override."""
    models = _read(files("api").joinpath("catalog.yaml").read_text("utf-8"), "api/catalog.yaml")
    extra: Path | None = settings().catalog_file
    if extra:
        models |= _read(extra.read_text("utf-8"), str(extra))
    return models


def base_model(model_id: str, *, param: str = "model") -> BaseModel:
    """The entry, or NotFound naming what there is."""
    found = catalog().get(model_id)
    if found is None:
        raise NotFound(
            f"There is no base model {model_id!r}. There are: {', '.join(catalog())}.",
            code="model_not_found",
            param=param,
        )
    return found


def _read(text: str, where: str) -> dict[str, BaseModel]:
    try:
        entries = [BaseModel(**entry) for entry in yaml.safe_load(text)]
    except (ValidationError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{where} is not a list of base models: {error}") from error
    return {entry.id: entry for entry in entries}
