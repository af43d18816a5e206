"""Serve chat turns: a base and the adapters lately used stay in memory, tokens go out as they come.

The prompt is encoded by the same template code as training rows, so what was learned is what is
asked.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import structlog

from api import chat, storage
from api.catalog import base_model
from api.db import transaction
from api.rows import Message
from api.settings import settings
from api.spec import Precision
from workers import cache

log = structlog.get_logger()

ADAPTERS_MAX = 16

_bases: dict[str, Any] = {}
_adapters: OrderedDict[str, Any] = OrderedDict()


def warm() -> None:
    _base(settings().default_base_model)


def answer(turn_id: str) -> None:
    """Claim a turn, say its answer piece by piece, settle. Whoever asked hears of every end."""
    with transaction() as session:
        turn = chat.claim(session, turn_id)
    if turn is None:
        return
    try:
        _answer(turn)
    except Exception as error:
        log.exception("chat.broke", turn=turn_id, error=type(error).__name__)
        with transaction() as session:
            chat.failed(session, turn)
        message = "The model broke on our side. Nothing was charged; ask again."
        chat.say(turn_id, 1_000_000_000, "error", {"code": "internal_error", "message": message})


def _answer(turn: chat.Turn) -> None:
    from workers.engine.generate import generate

    base = _base(turn.base_model)
    spec = turn.spec
    prompt = base.template.prompt(
        [Message.model_validate(m) for m in spec.messages], thinking=turn.thinking
    )
    room = base_model(turn.base_model).context - len(prompt)
    if room < 1:
        _refuse(turn, len(prompt))
        return
    ids: list[int] = []
    said = 0
    finish_reason = "length"
    tokens = generate(
        base,
        _adapter(base, turn),
        prompt,
        max_tokens=min(spec.max_tokens, room),
        temperature=spec.temperature,
        top_p=spec.top_p,
        seed=spec.seed if spec.seed is not None else time.time_ns() % 2**31,
        stop_ids=base.template.end_ids,
    )
    seq = 0
    for token in tokens:
        ids.append(token)
        text, stopped = _until_stop(base.template.decode(ids), spec.stop)
        ready = len(text) if stopped else _settled(text, spec.stop)
        if ready > said:
            seq += 1
            chat.say(turn.id, seq, "delta", {"text": text[said:ready]})
            said = ready
        if stopped:
            finish_reason = "stop"
            break
    else:
        if len(ids) < min(spec.max_tokens, room):
            finish_reason = "stop"
        rest = base.template.decode(ids)[said:]
        if rest:
            seq += 1
            chat.say(turn.id, seq, "delta", {"text": rest})
    with transaction() as session:
        chat.answered(session, turn, prompt_tokens=len(prompt), completion_tokens=len(ids))
    usage = {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(ids),
        "total_tokens": len(prompt) + len(ids),
    }
    chat.say(turn.id, seq + 1, "done", {"finish_reason": finish_reason, "usage": usage})


def _refuse(turn: chat.Turn, prompt_tokens: int) -> None:
    with transaction() as session:
        chat.failed(session, turn)
    context = base_model(turn.base_model).context
    message = (
        f"The conversation has {prompt_tokens} tokens and {turn.base_model} reads at most "
        f"{context}. Shorten it."
    )
    chat.say(turn.id, 1, "error", {"code": "context_length_exceeded", "message": message})


def _until_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there was one."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _settled(text: str, stops: tuple[str, ...]) -> int:
    """How much of the text later tokens cannot change: not a character whose bytes are still
    coming, and nothing that may turn out to be the start of a stop string."""
    end = len(text)
    while end and text[end - 1] == "\ufffd":
        end -= 1
    longest = max((len(stop) for stop in stops), default=1) - 1
    for keep in _down_from(min(longest, end)):
        if any(stop.startswith(text[end - keep : end]) for stop in stops):
            return end - keep
    return end


def _down_from(most: int) -> Iterator[int]:
    return iter(range(most, 0, -1))


def _base(model_id: str) -> Any:
    from workers.engine.model import load_base

    model = base_model(model_id)
    key = f"{model.id}@{model.revision}"
    if key not in _bases:
        # One base at a time: the next one needs the room.
        _bases.clear()
        _adapters.clear()
        _bases[key] = load_base(cache.base_folder(model), Precision.BF16)
    return _bases[key]


def _adapter(base: Any, turn: chat.Turn) -> Any:
    """The turn's adapter in memory, least recently used out."""
    from workers.engine.export import load_adapter

    if turn.adapter_id is None or turn.adapter_prefix is None:
        return None
    if turn.adapter_id not in _adapters:
        folder = settings().cache_path() / "adapters" / turn.adapter_id
        for name, facts in turn.adapter_files.items():
            if not (folder / name).exists():
                storage.get_file(turn.adapter_prefix + name, folder / name, sha256=facts["sha256"])
        _adapters[turn.adapter_id] = load_adapter(base, folder)
        while len(_adapters) > ADAPTERS_MAX:
            _adapters.popitem(last=False)
    _adapters.move_to_end(turn.adapter_id)
    return _adapters[turn.adapter_id]
