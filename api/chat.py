"""A chat turn: hold, dispatch, settle. The answer's tokens travel by Redis, the money by the row.

A turn holds the most it can cost, and settles what it used; one that nobody answers is released by
the sweep. What was said is kept only until the turn ends.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from api import adapters, alerts, bus, dispatch, ledger, quotas
from api.catalog import base_model, catalog
from api.db import after_commit
from api.errors import BadRequest
from api.pricing import chat_price
from api.settings import settings
from api.spec import Frozen
from api.tables import Adapter, ChatTurn, new_id, own

MESSAGES_MAX = 1_000
TEMPLATE_TOKENS_A_MESSAGE = 16


class TextPart(BaseModel):
    """A part of a message; text is what our base models read."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn of the conversation, as `openai` clients send it."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        role = "system" if self.role == "developer" else self.role
        parts = self.content
        return {
            "role": role,
            "content": parts if isinstance(parts, str) else "".join(p.text for p in parts),
        }


Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class StreamOptions(BaseModel):
    """`include_usage`: one more chunk at the end, with the token counts."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class ChatRequest(BaseModel):
    """`POST /v1/chat/completions`. What we do not know is ignored, as OpenAI's clients expect;
    what would change the answer and cannot be done is refused."""

    model_config = ConfigDict(extra="ignore")
    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=MESSAGES_MAX)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None

    @field_validator("n")
    @classmethod
    def _one_choice(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            raise ValueError("one choice a request is offered: leave n out or send 1")
        return value

    @field_validator("tools", "logprobs")
    @classmethod
    def _not_offered(cls, value: Any) -> Any:
        if value:
            raise ValueError("is not offered yet: leave it out")
        return value

    @field_validator("response_format")
    @classmethod
    def _text_only(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value and value.get("type") != "text":
            raise ValueError("only text is offered yet: leave it out")
        return value

    def completion_tokens_max(self) -> int:
        asked = self.max_completion_tokens or self.max_tokens or settings().chat_tokens_max
        return min(asked, settings().chat_tokens_max)


class TurnSpec(Frozen):
    """What the worker needs to answer; the row keeps it while the turn is open."""

    messages: tuple[dict[str, str], ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """An open turn as a worker claims it."""

    id: str
    tenant_id: str
    base_model: str
    adapter_id: str | None
    adapter_prefix: str | None
    adapter_files: dict[str, dict[str, Any]]
    thinking: bool
    spec: TurnSpec


def ask(session: Session, tenant_id: str, request: ChatRequest, *, actor: str) -> str:
    """Open a turn and ring for a worker. Returns its id; the answer comes on its stream."""
    tuned = None
    if request.model in catalog():
        base = base_model(request.model)
    else:
        tuned = adapters.by_name(session, tenant_id, request.model)
        base = base_model(tuned.base_model)
    messages = tuple(message.plain() for message in request.messages)
    # A byte-level token is at least one byte, so bytes bound tokens from above.
    prompt_tokens_max = (
        sum(len(m["content"].encode()) + TEMPLATE_TOKENS_A_MESSAGE for m in messages)
        + 2 * TEMPLATE_TOKENS_A_MESSAGE
    )
    most = chat_price(
        base,
        prompt_tokens=min(prompt_tokens_max, base.context),
        completion_tokens=request.completion_tokens_max(),
    )
    stop = request.stop
    spec = TurnSpec(
        messages=messages,
        max_tokens=request.completion_tokens_max(),
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=request.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
    )
    turn = ChatTurn(
        id=new_id("chatcmpl-"),
        tenant_id=tenant_id,
        base_model=base.id,
        adapter_id=tuned.id if tuned else None,
        request=_storable(spec),
    )
    quotas.refuse_spending(session, tenant_id, most, actor=actor)
    ledger.hold(session, tenant_id, most, subject=turn.id, reason="chat", actor=actor)
    session.add(turn)
    session.flush()
    after_commit(session, partial(dispatch.chat, turn.id))
    return turn.id


def give_up(session: Session, tenant_id: str, turn_id: str) -> None:
    """The client went away or waited too long: whatever is still open is released."""
    turn = own(session, ChatTurn, turn_id, tenant_id=tenant_id, lock=True)
    if turn.status in ("waiting", "answering"):
        _close(session, turn, "failed", 0)


# -- the worker's side (system transaction) -------------------------------------------------------


def claim(session: Session, turn_id: str) -> Turn | None:
    """The turn, if it still waits for an answer."""
    row = session.execute(
        update(ChatTurn)
        .where(ChatTurn.id == turn_id, ChatTurn.status == "waiting")
        .values(status="answering")
        .returning(ChatTurn)
    ).scalar_one_or_none()
    if row is None:
        return None
    adapter = session.get(Adapter, row.adapter_id) if row.adapter_id else None
    return Turn(
        id=row.id,
        tenant_id=row.tenant_id,
        base_model=row.base_model,
        adapter_id=row.adapter_id,
        adapter_prefix=adapter.prefix if adapter else None,
        adapter_files=adapter.manifest["files"] if adapter else {},
        # As the rows were encoded that it was trained on; a base by itself answers at once.
        thinking=bool(adapter and adapter.manifest.get("thinking")),
        spec=TurnSpec.model_validate(row.request),
    )


def answered(session: Session, turn: Turn, *, prompt_tokens: int, completion_tokens: int) -> None:
    """Settle what the answer used. A turn that was given up meanwhile stays released."""
    row = _open(session, turn.id)
    if row is None:
        return
    row.prompt_tokens, row.completion_tokens = prompt_tokens, completion_tokens
    price = chat_price(
        base_model(row.base_model),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )
    _close(session, row, "done", price)


def failed(session: Session, turn: Turn) -> None:
    if row := _open(session, turn.id):
        _close(session, row, "failed", 0)


def say(turn_id: str, seq: int, kind: str, data: dict[str, Any]) -> None:
    """Send a piece of the answer to whoever listens."""
    entry = bus.Entry(seq=seq, type=kind, data=orjson.dumps(data))
    bus.publish(bus.chat_stream(turn_id), [entry])


def sweep(session: Session) -> None:
    """Release turns that nobody answered."""
    limit = text(f"interval '{int(settings().chat_timeout_seconds * 2)} s'")
    stale = session.execute(
        select(ChatTurn)
        .where(
            ChatTurn.status.in_(["waiting", "answering"]), ChatTurn.created_at < func.now() - limit
        )
        .order_by(ChatTurn.tenant_id, ChatTurn.id)  # wallets are locked in one order everywhere
        .with_for_update(skip_locked=True)
        .limit(100)
    ).scalars()
    for turn in list(stale):
        _close(session, turn, "failed", 0)


def _open(session: Session, turn_id: str) -> ChatTurn | None:
    return session.execute(
        select(ChatTurn)
        .where(ChatTurn.id == turn_id, ChatTurn.status == "answering")
        .with_for_update()
    ).scalar_one_or_none()


def _close(session: Session, turn: ChatTurn, status: str, amount: int) -> None:
    turn.status = status
    turn.request = None
    turn.finished_at = datetime.now(UTC)
    turn.charged_credits = ledger.settle(
        session, turn.tenant_id, amount, subject=turn.id, actor="chat"
    )
    alerts.watch(session, turn.tenant_id)


def _storable(spec: TurnSpec) -> dict[str, Any]:
    """PostgreSQL keeps no NUL in jsonb and no lone surrogate; say so before it does."""
    for number, message in enumerate(spec.messages):
        content = message["content"]
        if "\x00" in content or any("\ud800" <= c <= "\udfff" for c in content):
            raise BadRequest(
                "A message holds a NUL character or half of a surrogate pair. Remove it.",
                param=f"messages[{number}].content",
            )
    return spec.model_dump(mode="json")
