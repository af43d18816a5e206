"""Chat completions on OpenAI's wire, streamed or whole, from a base model or a tuned one."""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.responses import JSONResponse, StreamingResponse
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from api import bus, chat
from api.db import transaction
from api.errors import TuneryError, Unavailable
from api.routes import door
from api.routes.door import Who
from api.routes.shapes import chat as shapes
from api.settings import settings

router = APIRouter(tags=["chat"])


@router.post(
    "/chat/completions",
    response_model=shapes.ChatCompletion,
    responses=door.streams("With `stream`, chunks as OpenAI has them, then `[DONE]`."),
)
async def create_chat_completion(
    body: chat.ChatRequest, actor: Who
) -> JSONResponse | StreamingResponse:
    """An answer of a base model or a tuned one, whole or as it is written."""

    def ask() -> str:
        with transaction(actor.tenant_id) as session:
            return chat.ask(session, actor.tenant_id, body, actor=actor.name)

    turn_id = await run_in_threadpool(ask)
    pieces = _pieces(actor.tenant_id, turn_id)
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamingResponse(
            _chunks(pieces, turn_id, body.model, with_usage=usage),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )
    return JSONResponse(await _whole(pieces, turn_id, body.model))


async def _pieces(tenant_id: str, turn_id: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """`delta`s, then one `done`. Raises Unavailable where no worker answers in time."""
    try:
        stream = bus.chat_stream(turn_id)
        async for entry in bus.read_all(stream, timeout_seconds=settings().chat_timeout_seconds):
            data = orjson.loads(entry.data)
            if entry.type == "error":
                raise TuneryError(data["message"], code=data["code"])
            yield entry.type, data
            if entry.type == "done":
                return
    except RedisError as error:
        await _give_up(tenant_id, turn_id)
        raise Unavailable("The answer was lost on its way; ask again.") from error
    await _give_up(tenant_id, turn_id)
    raise Unavailable("No worker answered in time. Nothing was charged; ask again shortly.")


async def _give_up(tenant_id: str, turn_id: str) -> None:
    def release() -> None:
        with transaction(tenant_id) as session:
            chat.give_up(session, tenant_id, turn_id)

    await run_in_threadpool(release)


async def _whole(
    pieces: AsyncIterator[tuple[str, dict[str, Any]]], turn_id: str, model: str
) -> dict[str, Any]:
    text: list[str] = []
    end: dict[str, Any] = {}
    async for kind, data in pieces:
        if kind == "delta":
            text.append(data["text"])
        else:
            end = data
    message = {"role": "assistant", "content": "".join(text), "refusal": None}
    return _head(turn_id, model, "chat.completion") | {
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": end["finish_reason"],
            }
        ],
        "usage": end["usage"],
    }


async def _chunks(
    pieces: AsyncIterator[tuple[str, dict[str, Any]]],
    turn_id: str,
    model: str,
    *,
    with_usage: bool,
) -> AsyncIterator[bytes]:
    head = _head(turn_id, model, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data(head | {"choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async for kind, data in pieces:
            if kind == "delta":
                yield chunk({"content": data["text"]})
                continue
            yield chunk({}, data["finish_reason"])
            if with_usage:
                yield _data(head | {"choices": [], "usage": data["usage"]})
    except TuneryError as error:
        # The 200 is out already; OpenAI's clients raise on this line.
        yield _data(error.body())
    yield b"data: [DONE]\n\n"


def _head(turn_id: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": turn_id, "object": kind, "created": int(time.time()), "model": model}


def _data(body: Mapping[str, Any]) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(body)
