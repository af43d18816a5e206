"""One base model's chat template: conversations in, token ids and what is learned out."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from api.rows.words import Message, ToolCall
from workers.engine.template.layout import Renderer
from workers.engine.template.plan import Blank, Plan, planned
from workers.engine.template.shapes import Habits, shape_of, shaped
from workers.engine.template.tokens import Tokens
from workers.engine.template.words import Conversation, EncodedRow, TemplateError

ENCODING_VERSION = 2
_SHAPES_MAX = 1_024
_PLANS_MAX = 8  # of one shape: conditions differ
_REPEATED_MAX = 1_024
_REPEATED_CHARACTERS_MAX = 20_000

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_BY_EOS = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


class Template:
    """Renders, tokenizes and masks conversations for one base model.

    A base without a template gets ChatML where its tokenizer has the two control tokens of it; else
    each turn is `<|role|>`, a new line, what is said, and the tokenizer's own end-of-text token.
    """

    def __init__(
        self, tokenizer_json: str, chat_template: str | None, special_tokens: dict[str, str]
    ):
        self._tokens = Tokens(tokenizer_json)
        self.control_tokens: dict[str, int] = self._tokens.controls
        self._eos = self.control_tokens.get(special_tokens.get("eos_token", ""))
        source = self._default(special_tokens) if chat_template is None else chat_template
        self.fingerprint = _fingerprint(tokenizer_json, source, special_tokens)
        self._renderer = Renderer(
            source,
            special_tokens,
            controls=self._tokens.control_pattern,
            special=self._tokens.special,
        )
        self._plans: OrderedDict[Hashable, list[Plan | TemplateError]] = OrderedDict()
        self._repeated: dict[tuple[str, bool], list[int]] = {}
        self._lock = RLock()
        self._habits = Habits(arguments=None, thoughts=None)
        self.end_ids: tuple[int, ...] = ()
        self._probe()
        self.knows_tools = self._habits.arguments is not None
        self.knows_reasoning = self._habits.thoughts == "field"

    @classmethod
    def load(cls, folder: Path) -> "Template":
        try:
            tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
            config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TemplateError(f"{folder.name} has no readable tokenizer: {error}") from error
        return cls(tokenizer_json, _chat_template(folder, config), _special_tokens(config))

    def encode(
        self, messages: Sequence[Message], *, tools: str = "", thinking: bool = False
    ) -> EncodedRow:
        [row] = self.encode_batch([Conversation(messages, tools, thinking)])
        if isinstance(row, TemplateError):
            raise row
        return row

    def encode_batch(
        self, conversations: Sequence[Conversation]
    ) -> list[EncodedRow | TemplateError]:
        """Many at once: words that no row had before go to the tokenizer together."""
        return self._encode(conversations, prompt=False)

    def prompt(
        self, messages: Sequence[Message], *, tools: str = "", thinking: bool = False
    ) -> list[int]:
        """The ids after which the model answers: a prefix of `encode` of the answered chat."""
        [row] = self._encode([Conversation(messages, tools, thinking)], prompt=True)
        if isinstance(row, TemplateError):
            raise row
        return row.ids

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedRow]:
        """Plain texts, all of them learned: as the tokenizer frames a text, and an end."""
        before, after = self._tokens.frame
        if self._eos is None and not after:
            raise TemplateError("this base model's tokenizer has no end-of-text token")
        if self._eos is not None and self._eos not in after:
            after = [*after, self._eos]
        rows = []
        for text, inside in zip(texts, self._tokens.encode(texts, opening=True), strict=True):
            self._tokens.refuse_byte_names(text)
            ids = [*before, *inside, *after]
            rows.append(EncodedRow(ids, [(0, len(ids))], [len(ids)]))
        return rows

    def decode(self, ids: Sequence[int], *, skip_control_tokens: bool = True) -> str:
        text: str = self._tokens.whole.decode(list(ids), skip_special_tokens=skip_control_tokens)
        return text

    def pieces(self) -> list[bytes]:
        """For every id the bytes it stands for, a control token's spelling for it: joined over a
        row they give its text, as far as the tokenizer keeps it."""
        return self._tokens.pieces

    # Encoding: find each conversation's plan, encode all blanks together, fill them.

    def _encode(
        self, conversations: Sequence[Conversation], *, prompt: bool
    ) -> list[EncodedRow | TemplateError]:
        batch = _Batch(self._tokens, self._repeated)
        asked: list[tuple[Plan, int] | TemplateError] = []
        with self._lock:
            for conversation in conversations:
                try:
                    plan, texts = self._prepared(conversation, prompt=prompt)
                    asked.append((plan, batch.ask(plan.blanks, texts)))
                except TemplateError as error:
                    asked.append(error)
        found = batch.answered()
        return [
            one if isinstance(one, TemplateError) else one[0].filled(found, one[1]) for one in asked
        ]

    def _prepared(self, conversation: Conversation, *, prompt: bool) -> tuple[Plan, Sequence[str]]:
        """The plan for a conversation, and the texts to fill it with."""
        key, texts = self._shape(conversation)
        key = (prompt, key)
        plans = self._plans.get(key, [])
        if plans:
            self._plans.move_to_end(key)
        for plan in plans:
            if isinstance(plan, TemplateError):
                raise TemplateError(str(plan))
            if plan.suits(texts):
                return plan, texts
        try:
            plan = self._plan(conversation, self._habits, prompt=prompt)
        except TemplateError as error:
            if error.settled:
                self._keep(key, [TemplateError(str(error))])
            raise
        if not plan.once:
            self._keep(key, [plan, *plans])
        return plan, texts

    def _keep(self, key: Hashable, plans: list[Plan | TemplateError]) -> None:
        self._plans[key] = plans[:_PLANS_MAX]
        while len(self._plans) > _SHAPES_MAX:
            self._plans.popitem(last=False)

    def _shape(self, conversation: Conversation) -> tuple[Hashable, Sequence[str]]:
        quick = shape_of(conversation)
        if quick is not None:
            return quick
        given = shaped(conversation, self._habits, self._renderer.speller.mark)
        weights = [message.weight for message in conversation.messages]
        return json.dumps([given.turns, given.tools, given.thinking, weights]), given.texts

    def _plan(self, conversation: Conversation, habits: Habits, *, prompt: bool = False) -> Plan:
        layout = self._renderer.layout(conversation, habits, prompt=prompt)
        messages = conversation.messages

        def repeats(text: int) -> bool:
            owner = layout.origins[text].message
            return owner < 0 or messages[owner].role == "system"

        return planned(
            layout,
            self._tokens,
            learned=lambda number: bool(messages[number].weight) and not prompt,
            repeats=repeats,
            last_end=self._eos,
        )

    # What this template can do is found out by asking it.

    def _probe(self) -> None:
        """Learn the template's habits and what ends its turns; refuse one that cannot be masked."""
        question = Message(role="user", content="q")
        answer = Message(role="assistant", content="a")
        thoughtful = Message(role="assistant", content="a", reasoning="r")
        thoughts: Literal["field", "content", None]
        for thoughts in ("field", "content", None):
            habits = Habits(arguments=None, thoughts=thoughts)
            thought = self._tried([question, thoughtful], habits)
            if isinstance(thought, EncodedRow):
                break
        arguments: Literal["mapping", "text", None]
        for arguments in ("mapping", "text", None):
            habits = Habits(arguments, thoughts)
            called = self._tried([question, _CALL, _RESULT, answer], habits, tools=_TOOLS)
            if isinstance(called, EncodedRow):
                break
        self._habits = habits
        plain = self._tried([question, answer], habits)
        if isinstance(plain, TemplateError) and isinstance(thought, TemplateError):
            raise plain
        longer = self._tried([question, answer, question, answer], habits)
        rows = [row for row in (plain, thought, longer, called) if isinstance(row, EncodedRow)]
        ends = [row.ids[end - 1] for row in rows for end in reversed(row.turn_ends)]
        ends += [] if self._eos is None else [self._eos]
        self.end_ids = tuple(dict.fromkeys(ends))
        self._check_prompt(question)

    def _tried(
        self, messages: Sequence[Message], habits: Habits, *, tools: str = ""
    ) -> EncodedRow | TemplateError:
        """The row, with thinking off or else on."""
        refusal = TemplateError()
        for thinking in (True, False):
            conversation = Conversation(messages, tools, thinking)
            try:
                plan = self._plan(conversation, habits)
                batch = _Batch(self._tokens, {})
                given = shaped(conversation, habits, self._renderer.speller.mark)
                batch.ask(plan.blanks, given.texts)
                return plan.filled(batch.answered(), 0)
            except TemplateError as error:
                refusal = error
        return refusal

    def _check_prompt(self, question: Message) -> None:
        """A text taken apart at control tokens must encode as it does whole."""
        conversation = Conversation([question])
        given = shaped(conversation, self._habits, self._renderer.speller.mark)
        marks = self._renderer.marks(given.texts)
        text = self._renderer.rendered(given, marks, prompt=True).text
        if self.prompt([question]) != self._tokens.whole.encode(text, add_special_tokens=False).ids:
            raise TemplateError("the tokenizer's control tokens cannot be told from text exactly")

    def _default(self, special_tokens: dict[str, str]) -> str:
        if {"<|im_start|>", "<|im_end|>"} <= self.control_tokens.keys():
            return _CHATML
        if special_tokens.get("eos_token", "") in self.control_tokens:
            return _BY_EOS
        raise TemplateError("no chat template, and no end-of-text token to build one with")


class _Batch:
    """Blanks of many conversations, to be encoded together."""

    def __init__(self, tokens: Tokens, repeated: dict[tuple[str, bool], list[int]]):
        self._tokens = tokens
        self._repeated = repeated
        self._found: list[list[int]] = []
        self._texts: dict[bool, list[str]] = {False: [], True: []}
        self._places: dict[bool, list[int]] = {False: [], True: []}
        self._to_keep: list[tuple[int, tuple[str, bool]]] = []

    def ask(self, blanks: Sequence[Blank], texts: Sequence[str]) -> int:
        """Where the ids of these blanks will stand among the answers."""
        found = self._found
        first = len(found)
        for blank in blanks:
            text = blank.text(texts)
            opening = blank.opening
            known: list[int] | None = None
            if not text:
                known = []
            elif blank.repeats:
                known = self._repeated.get((text, opening))
                if known is None and len(text) <= _REPEATED_CHARACTERS_MAX:
                    self._to_keep.append((len(found), (text, opening)))
            if known is None:
                if self._tokens.bytes_by_name:
                    self._tokens.refuse_byte_names(text)
                self._texts[opening].append(text)
                self._places[opening].append(len(found))
                known = []
            found.append(known)
        return first

    def answered(self) -> list[list[int]]:
        for opening, texts in self._texts.items():
            encoded = self._tokens.encode(texts, opening=opening)
            for place, ids in zip(self._places[opening], encoded, strict=True):
                self._found[place] = ids
        for place, key in self._to_keep:
            if len(self._repeated) >= _REPEATED_MAX:
                self._repeated.clear()
            self._repeated[key] = self._found[place]
        return self._found


_TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {
                    "type": "object",
                    "properties": {"x": {"type": "string", "description": "e"}},
                    "required": ["x"],
                },
            },
        }
    ]
)
_CALL = Message(
    role="assistant",
    content="",
    # Mistral wants ids of nine letters.
    tool_calls=(ToolCall(name="f", arguments='{"x": "y"}', id="callabcde"),),
)
_RESULT = Message(role="tool", content="t", name="f", tool_call_id="callabcde")


# Loading


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


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
