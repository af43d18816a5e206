"""What answers look like, for /openapi.json and the clients made from it. One file a resource.

Every key of an answer is named, and one that is not named is refused when the answer is made, so no
shape can fall behind its route without a test that calls the route failing.
"""

from typing import Generic, Literal, TypeVar

from pydantic import with_config
from typing_extensions import TypedDict


@with_config(extra="forbid")
class Shape(TypedDict):
    """What every shape is made of."""


class Paged(Shape):
    """A page of a list as OpenAI has it; what is listed stands in `data`."""

    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class HasId(TypedDict):
    id: str


Item = TypeVar("Item", bound=HasId)


class Page(Paged, Generic[Item]):
    """A page of anything that has an id; each resource names its own."""

    data: list[Item]
