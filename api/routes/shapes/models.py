"""Base models and tuned ones, told apart by who owns them."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api.catalog import PriceClass
from api.routes.shapes import Shape

Source = Literal["wheel", "path", "s3", "hf", "modelscope"]


class BaseModelCard(Shape):
    """A base model on offer. Prices are micro-credits."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["tunery"]
    name: str
    licence: str
    parameters: int
    context: int
    revision: str
    source: Source
    price_class: PriceClass
    credits_per_million_trained_tokens: int
    credits_per_million_prompt_tokens: int
    credits_per_million_completion_tokens: int


class TunedModel(Shape):
    """A tuned model of the tenant's."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["you"]
    base_model: str
    job_id: str
    job_name: str | None
    training_file: str
    bytes: int


Model = TypeAliasType(
    "Model", Annotated[BaseModelCard | TunedModel, Field(discriminator="owned_by")]
)


class ModelList(Shape):
    object: Literal["list"]
    data: list[Model]


class DeletedModel(Shape):
    id: str
    object: Literal["model"]
    deleted: Literal[True]
