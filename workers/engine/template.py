"""A base model's own chat template: messages in, token ids and the loss mask out.

The same code encodes training rows, chat prompts and previews. No torch and no transformers, so a
CPU worker encodes whole files. What a user writes never becomes a control token.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Encoding, Tokenizer

from api.rows import Message

ENCODING_VERSION = 1
# `strftime_now` in a template: a row must encode alike on every day, so "now" is always this.
TEMPLATE_DATE = datetime(2024, 7, 26, tzinfo=UTC)


class TemplateError(ValueError):
    """The template cannot be loaded, or cannot render these messages so that they can be masked."""


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Token ids, and for each whether it is learned (1) or only read (0)."""

    ids: list[int]
    supervised: list[int]

    def cut(self, cutoff_len: int) -> "EncodedRow":
        return EncodedRow(self.ids[:cutoff_len], self.supervised[:cutoff_len])


@dataclass(frozen=True, slots=True)
class _Span:
    """A message's content in a rendering, by characters."""

    message: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of a rendering that is encoded by itself."""

    text: str
    first: bool
    contents: tuple[tuple[int, int], ...]  # what users wrote, by characters of `text`
    learned: tuple[tuple[int, int], ...]
    controls: tuple[tuple[int, int], ...]  # the template's own control tokens


class Template:
    """Renders, tokenizes and masks conversations for one base model."""

    def __init__(self, tokenizer_json: str, chat_template: str, special_tokens: dict[str, str]):
        parsed = _exact_offsets(json.loads(tokenizer_json))
        self._parsed = parsed
        self._tokenizer = _tokenizer(parsed)
        later = _never_prepend(parsed)
        self._later_tokenizer = self._tokenizer if later == parsed else _tokenizer(later)
        self._jinja = _environment().from_string(chat_template)
        self._special_tokens = special_tokens
        added = parsed.get("added_tokens") or []
        self.control_tokens: dict[str, int] = {token["content"]: token["id"] for token in added}
        self._control_ids = frozenset(self.control_tokens.values())
        self._control_re = _control_pattern(added)
        self.fingerprint = _fingerprint(tokenizer_json, chat_template, special_tokens)
        self._answer_lead, self._turn_end = self._probe()
        eos = self.control_tokens.get(special_tokens.get("eos_token", ""))
        turn_end = self.control_tokens[self._turn_end]
        self.end_ids: tuple[int, ...] = (turn_end,) if eos in (None, turn_end) else (turn_end, eos)

    @cached_property
    def _plain(self) -> tuple[Tokenizer, Tokenizer]:
        """Encoders, at the start and later, to which no spelling is a control token."""
        bare = self._parsed | {"added_tokens": [], "post_processor": None}
        return _tokenizer(bare), _tokenizer(_never_prepend(bare))

    @classmethod
    def load(cls, folder: Path) -> "Template":
        try:
            tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
            config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TemplateError(f"{folder.name} has no readable tokenizer: {error}") from error
        return cls(tokenizer_json, _chat_template(folder, config), _special_tokens(config))

    def encode(self, messages: Sequence[Message]) -> EncodedRow:
        return self.encode_batch([messages])[0]

    def encode_batch(self, conversations: Sequence[Sequence[Message]]) -> list[EncodedRow]:
        """Many at once, over all cores: the tokenizer is the slow part and it runs in parallel."""
        cut = [self._segments(messages) for messages in conversations]
        encodings = self._encode_segments([segment for segments in cut for segment in segments])
        pieces = iter(encodings)
        rows = []
        for segments in cut:
            row = EncodedRow([], [])
            for segment in segments:
                ids, supervised = self._masked(segment, next(pieces))
                row.ids.extend(ids)
                row.supervised.extend(supervised)
            rows.append(row)
        return rows

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids after which the model answers: a prefix of `encode` of the answered chat."""
        segments = self._segments(messages, generation_prompt=True)
        pieces = zip(segments, self._encode_segments(segments), strict=True)
        return [token for segment, piece in pieces for token in self._masked(segment, piece)[0]]

    def decode(self, ids: Sequence[int], *, skip_control_tokens: bool = True) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_control_tokens)
        return text

    # Rendering: find what users wrote by wrapping it in marks that nobody can guess.

    def _render(self, messages: Sequence[dict[str, str]], *, generation_prompt: bool) -> str:
        try:
            return self._jinja.render(
                messages=messages,
                add_generation_prompt=generation_prompt,
                tools=None,
                documents=None,
                **self._special_tokens,
            )
        except (jinja2.TemplateError, TypeError, AttributeError, LookupError) as error:
            raise TemplateError(f"the chat template refuses these messages: {error}") from error

    def _spans(
        self, messages: Sequence[Message], *, generation_prompt: bool
    ) -> tuple[str, list[_Span]]:
        """The rendering and where each content stands in it."""
        if not messages:
            raise TemplateError("a conversation needs at least one message")
        turns = [{"role": message.role, "content": message.content} for message in messages]
        plain = self._render(turns, generation_prompt=generation_prompt)
        # Templates that trim swallow outer white space; then it stays outside of the marks.
        for trimmed in (False, True):
            nonce = secrets.token_hex(16)
            wrapped = [
                turn | {"content": _wrap(turn["content"], nonce, number, trimmed=trimmed)}
                for number, turn in enumerate(turns)
            ]
            marked = self._render(wrapped, generation_prompt=generation_prompt)
            text, spans = _unmark(marked, nonce)
            if text == plain and spans is not None:
                return text, spans
        raise TemplateError(
            "the chat template changes what messages say, so the answers cannot be masked exactly"
        )

    def _segments(
        self, messages: Sequence[Message], *, generation_prompt: bool = False
    ) -> list[_Segment]:
        text, spans = self._spans(messages, generation_prompt=generation_prompt)
        controls = self._controls(text, spans)
        learned: list[tuple[int, int]] = []
        cuts = [0]
        for number, turn in enumerate(messages):
            if turn.role != "assistant":
                continue
            span = _only_span(spans, number)
            if span is None and turn.weight and turn.content.strip():
                raise TemplateError(f"the chat template drops or repeats message {number + 1}")
            if span is None:
                continue
            end = self._turn_end_after(text, span, spans, controls)
            # All that follows the generation prompt is the model's to say, a leading space too.
            before = span.start - len(self._answer_lead)
            leads = before >= 0 and text[before : span.start] == self._answer_lead
            start = before if leads else span.start
            cuts.append(start)
            if turn.weight:
                learned.append((start, end))
        cuts.append(len(text))
        contents = [(span.start, span.end) for span in spans]
        return [
            _Segment(
                text=text[start:end],
                first=start == 0,
                contents=_within(contents, start, end),
                learned=_within(learned, start, end),
                controls=_within(controls, start, end),
            )
            for start, end in pairwise(cuts)
            if end > start
        ]

    def _controls(self, text: str, spans: Sequence[_Span]) -> list[tuple[int, int]]:
        """Control tokens in what the template itself wrote, by characters."""
        found, at = [], 0
        for start, end in [*((span.start, span.end) for span in spans), (len(text), len(text))]:
            literal = text[at:start]
            found += [(at + m.start(), at + m.end()) for m in self._control_re.finditer(literal)]
            at = end
        return found

    def _turn_end_after(
        self,
        text: str,
        span: _Span,
        spans: Sequence[_Span],
        controls: Sequence[tuple[int, int]],
    ) -> int:
        """Where the token that ends this assistant turn ends."""
        limit = min(
            (other.start for other in spans if other.start >= span.end and other != span),
            default=len(text),
        )
        for start, end in controls:
            if span.end <= start and end <= limit:
                if text[start:end].strip() == self._turn_end:
                    return end
                break
        raise TemplateError(f"no {self._turn_end} ends the assistant's turn {span.message + 1}")

    def _probe(self) -> tuple[str, str]:
        """What the template writes between its generation prompt and an answer, and after one."""
        question, answer = Message(role="user", content="q"), Message(role="assistant", content="a")
        prompt = self._render([{"role": "user", "content": "q"}], generation_prompt=True)
        text, spans = self._spans([question, answer], generation_prompt=False)
        span = _only_span(spans, 1)
        if span is None:
            raise TemplateError("the chat template drops or repeats the assistant's answer")
        closing = self._control_re.search(text, span.end)
        if closing is None:
            raise TemplateError("the chat template ends no assistant turn with a control token")
        lead = text[len(prompt) : span.start] if text.startswith(prompt) else ""
        return lead, closing.group().strip()

    # Encoding: benign text exactly as transformers does it, hostile text piece by piece.

    def _encode_segments(self, segments: Sequence[_Segment]) -> list[Encoding]:
        first = [segment.text for segment in segments if segment.first]
        later = [segment.text for segment in segments if not segment.first]
        firsts = iter(self._tokenizer.encode_batch(first, add_special_tokens=False))
        laters = iter(self._later_tokenizer.encode_batch(later, add_special_tokens=False))
        return [next(firsts if segment.first else laters) for segment in segments]

    def _masked(self, segment: _Segment, encoding: Encoding) -> tuple[list[int], list[int]]:
        ids, offsets = encoding.ids, encoding.offsets
        if not self._only_own_controls(segment, ids, offsets):
            ids, offsets = self._encode_apart(segment)
        return ids, _supervised(offsets, segment.learned)

    def _only_own_controls(
        self, segment: _Segment, ids: list[int], offsets: list[tuple[int, int]]
    ) -> bool:
        if self._control_ids.isdisjoint(ids):
            return not segment.controls
        found = [
            span for token, span in zip(ids, offsets, strict=True) if token in self._control_ids
        ]
        return found == list(segment.controls)

    def _encode_apart(self, segment: _Segment) -> tuple[list[int], list[tuple[int, int]]]:
        """Only the template's control tokens are looked up; all else is plain text."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        at = 0
        for start, end in [*segment.controls, (len(segment.text), len(segment.text))]:
            if start > at:
                plain = self._plain[0 if segment.first and at == 0 else 1]
                piece = plain.encode(segment.text[at:start], add_special_tokens=False)
                if not self._control_ids.isdisjoint(piece.ids):
                    raise TemplateError(
                        "a message spells a control token as this tokenizer writes it"
                    )
                ids += piece.ids
                offsets += [(at + low, at + high) for low, high in piece.offsets]
            if end > start:
                ids.append(self.control_tokens[segment.text[start:end].strip()])
                offsets.append((start, end))
            at = end
        return ids, offsets


def _supervised(
    offsets: Sequence[tuple[int, int]], learned: Sequence[tuple[int, int]]
) -> list[int]:
    mask = [0] * len(offsets)
    for start, end in learned:
        for token, (low, high) in enumerate(offsets):
            if low < end and high > start:
                mask[token] = 1
    return mask


def _within(spans: Iterable[tuple[int, int]], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The parts of these spans that lie in [start, end), counted from `start`."""
    clipped = ((max(low, start) - start, min(high, end) - start) for low, high in spans)
    return tuple((low, high) for low, high in clipped if high > low)


def _only_span(spans: Sequence[_Span], message: int) -> _Span | None:
    own = [span for span in spans if span.message == message]
    return own[0] if len(own) == 1 else None


def _wrap(content: str, nonce: str, number: int, *, trimmed: bool) -> str:
    core = content.strip() if trimmed else content
    if trimmed and not core:
        return content
    at = content.index(core)
    opening, closing = f"x{nonce}b{number}x", f"x{nonce}e{number}x"
    return f"{content[:at]}{opening}{core}{closing}{content[at + len(core) :]}"


def _unmark(marked: str, nonce: str) -> tuple[str, list[_Span] | None]:
    """The rendering without marks, and the spans; None where marks do not pair up."""
    pieces = re.split(f"x{nonce}([be])([0-9]+)x", marked)
    text, spans, open_at = pieces[0], [], None
    for kind, number, literal in _by_three(pieces[1:]):
        if kind == "b" and open_at is None:
            open_at = (number, len(text))
        elif kind == "e" and open_at is not None and open_at[0] == number:
            spans.append(_Span(int(number), open_at[1], len(text)))
            open_at = None
        else:
            return text, None
        text += literal
    return text, spans if open_at is None else None


def _by_three(pieces: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    return zip(pieces[0::3], pieces[1::3], pieces[2::3], strict=True)


# Loading


def _chat_template(folder: Path, config: dict[str, Any]) -> str:
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
    if not isinstance(template, str):
        raise TemplateError(f"{folder.name} has no chat template")
    return template


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """`bos_token` and its kin: variables that templates may use."""
    tokens = {}
    for name, value in config.items():
        spelled = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(spelled, str):
            tokens[name] = spelled
    return tokens


def _fingerprint(tokenizer_json: str, chat_template: str, special_tokens: dict[str, str]) -> str:
    parts = [str(ENCODING_VERSION), tokenizer_json, chat_template, json.dumps(special_tokens)]
    digests = "".join(hashlib.sha256(part.encode()).hexdigest() for part in parts)
    return hashlib.sha256(digests.encode()).hexdigest()


def _tokenizer(parsed: dict[str, Any]) -> Tokenizer:
    try:
        tokenizer: Tokenizer = Tokenizer.from_str(json.dumps(parsed))
    except Exception as error:  # the Rust binding raises no narrower one
        raise TemplateError(f"the tokenizer cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _exact_offsets(parsed: dict[str, Any]) -> dict[str, Any]:
    """ByteLevel would trim white space off a token's offsets, and the mask goes by offsets."""
    parts = {name: parsed.get(name) for name in ("pre_tokenizer", "post_processor")}
    return {**parsed, **_replaced(parts, "trim_offsets", value=False)}


def _never_prepend(parsed: dict[str, Any]) -> dict[str, Any]:
    """Metaspace with scheme "first" puts a space before a text; a later segment is not a start."""
    before = parsed.get("pre_tokenizer")
    if '"first"' not in json.dumps(before):
        return parsed
    return parsed | {"pre_tokenizer": _replaced(before, "prepend_scheme", value="never")}


def _replaced(part: Any, key: str, *, value: Any) -> Any:
    """A copy with every `key` below set to `value`."""
    if isinstance(part, list):
        return [_replaced(child, key, value=value) for child in part]
    if isinstance(part, dict):
        return {
            name: value if name == key else _replaced(child, key, value=value)
            for name, child in part.items()
        }
    return part


def _control_pattern(added: Sequence[dict[str, Any]]) -> re.Pattern[str]:
    """Finds the added tokens as the tokenizer does: longest first, white space where it eats it."""
    spellings = []
    for token in sorted(added, key=lambda token: len(token["content"]), reverse=True):
        spelling = re.escape(token["content"])
        if token.get("single_word"):
            spelling = rf"(?<!\w){spelling}(?!\w)"
        left, right = (r"\s*" if token.get(side) else "" for side in ("lstrip", "rstrip"))
        spellings.append(f"{left}{spelling}{right}")
    return re.compile("|".join(spellings) or r"(?!)")


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates, except for today's date."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = TEMPLATE_DATE.strftime
    return environment


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`: some templates mark answers by it; ours are masked without."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own attribute

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
