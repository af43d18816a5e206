"""Where a rendering's texts stand, where answers start in it and where they end.

An answer starts where the prompt for it ends: the template is asked for both, and the prompt must
be how the whole begins. It ends with the first control token after what the assistant says.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import jinja2

from workers.engine.template.marks import REWRITES, Condition, Mark, Marks, Speller
from workers.engine.template.sandbox import Marking, Sandbox
from workers.engine.template.shapes import Habits, Shaped, Text, shaped
from workers.engine.template.words import Conversation, TemplateError

NO_TOOLS = "this base model's chat template does not know tools"
_SPLIT = "what the template writes before an answer differs from the prompt the model is asked with"


@dataclass(frozen=True, slots=True)
class Edge:
    """A place in a rendering: an answer starts, or has ended."""

    kind: Literal["start", "end"]
    message: int


Item = str | Mark | Edge


@dataclass(frozen=True, slots=True)
class Layout:
    """A rendering: the template's words, marks, and where answers start and end. All conversations
    of this shape for which the conditions hold have it, unless it is good for but `once`."""

    items: list[Item]
    origins: list[Text]
    conditions: list[Condition]
    once: bool
    appends_end: bool  # nothing ends the last answer: a token must


@dataclass(frozen=True, slots=True)
class _Rendering:
    """A rendering in parts, with no two literals in a row."""

    parts: list[str | Mark]
    text: str


class Renderer:
    """Renders conversations by one chat template."""

    def __init__(
        self,
        source: str,
        variables: dict[str, str],
        *,
        controls: re.Pattern[str],
        special: set[str],
    ):
        self._variables = variables
        self._controls = controls
        self._special = special
        self._plain = Sandbox()
        self._marking = Marking()
        self.speller = Speller()
        try:
            self._plain_template = self._plain.from_string(source)
            self._marking_template = self._marking.compiled(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise TemplateError(f"the chat template cannot be read: {error}") from error

    def layout(self, conversation: Conversation, habits: Habits, *, prompt: bool) -> Layout:
        if not conversation.messages:
            raise TemplateError("a conversation needs at least one message")
        drawing = _Drawing(self, conversation, prompt=prompt)
        try:
            layout = drawing.draw(shaped(conversation, habits, self.speller.mark))
            if layout is not None:
                return layout
            # The template looks for thoughts in what an answer says: tell it that there are none.
            again = shaped(conversation, habits, self.speller.mark, say_no_thoughts=True)
            layout = drawing.draw(again)
        except TemplateError as error:
            error.settled = not drawing.looked()
            raise
        if layout is None:
            raise TemplateError(REWRITES)
        return replace(layout, once=True)

    def marks(self, texts: Sequence[str]) -> Marks:
        return Marks(self.speller, texts, self._controls)

    def rendered(self, given: Shaped, marks: Marks, *, prompt: bool) -> _Rendering:
        """With marks; the same template's plain rendering must say the same."""
        self._marking.marks = marks
        try:
            marked = self._render(self._marking_template, given.turns, given.tools, given, prompt)
        finally:
            self._marking.marks = None
        plain = self._render(
            self._plain_template, marks.real(given.turns), marks.real(given.tools), given, prompt
        )
        if marks.real(marked) != plain:
            marks.once = True
            raise TemplateError(REWRITES)
        return _Rendering(list(marks.parts(marked)), plain)

    def _render(
        self,
        template: jinja2.Template,
        turns: list[dict[str, Any]],
        tools: list[Any] | None,
        given: Shaped,
        prompt: bool,
    ) -> str:
        try:
            return template.render(
                messages=turns,
                add_generation_prompt=prompt,
                tools=tools,
                documents=None,
                enable_thinking=given.thinking,
                thinking=given.thinking,  # as DeepSeek and Granite call it
                **self._variables,
            )
        except TemplateError:
            raise
        except (
            jinja2.TemplateError,
            TypeError,
            AttributeError,
            LookupError,
            ValueError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise TemplateError(f"the chat template refuses these messages: {error}") from error

    def turn_end(self, literal: str, *, calls: bool) -> int | None:
        """Where in what follows an answer the token ends that ends the turn."""
        for match in self._controls.finditer(literal):
            # After a call, tokens that are not special close the call and not the turn.
            if not calls or match[match.lastindex or 0] in self._special:
                return match.end()
        return None


class _Drawing:
    """One conversation's layout in the making."""

    def __init__(self, renderer: Renderer, conversation: Conversation, *, prompt: bool):
        self._renderer = renderer
        self._messages = conversation.messages
        self._prompt = prompt
        self._thinking = conversation.thinking
        self._looked = False
        self._marks = renderer.marks(())

    def looked(self) -> bool:
        """Whether what came of it hangs on what the messages say."""
        return self._looked or self._marks.once or bool(self._marks.conditions)

    def draw(self, given: Shaped) -> Layout | None:
        """The layout, or None where an answer does not stand in it as it was written."""
        self._looked = self.looked()
        self._given = given
        self._tails: dict[tuple[str, bool], str] = {}
        self._marks = self._renderer.marks(given.texts)
        whole = self._renderer.rendered(given, self._marks, prompt=self._prompt)
        self._owners = [self._owner(part) for part in whole.parts]
        if not self._verbatim(whole):
            return None
        self._complain_of_losses(whole)
        edges: list[tuple[int, int, Edge]] = []  # part, place in it, edge
        appends_end = False
        for number, message in enumerate(self._messages):
            if message.role != "assistant":
                continue
            places = [at for at, owner in enumerate(self._owners) if owner == number]
            if not places:
                continue
            start = self._start(number, whole, places[0])
            if start is not None:
                edges.append((*start, Edge("start", number)))
            end = self._end(number, whole, places[-1])
            if end is None:
                appends_end = True
            else:
                edges.append((*end, Edge("end", number)))
        items = _with_edges(whole.parts, edges)
        if appends_end:
            items.append(Edge("end", len(self._messages) - 1))
        return Layout(items, given.origins, self._marks.conditions, self._marks.once, appends_end)

    def _owner(self, part: str | Mark) -> int | None:
        """The message whose text this is."""
        if isinstance(part, str):
            return None
        owners = {self._given.origins[root].message for root in part.roots}
        if len(owners) > 1 and any(self._messages[n].role == "assistant" for n in owners if n >= 0):
            raise TemplateError(REWRITES)
        return max(owners)

    def _verbatim(self, whole: _Rendering) -> bool:
        """Whether what assistants say stands as it was written, white space around it aside."""
        said = [
            part
            for part, owner in zip(whole.parts, self._owners, strict=True)
            if isinstance(part, Mark)
            and owner is not None
            and owner >= 0
            and self._messages[owner].role == "assistant"
        ]
        return all(part.whole for part in said)

    def _complain_of_losses(self, whole: _Rendering) -> None:
        seen: dict[int, int] = {}
        for part in whole.parts:
            if isinstance(part, Mark):
                for root in part.roots:
                    seen[root] = seen.get(root, 0) + 1
        last = len(self._messages) - 1
        for root, origin in enumerate(self._given.origins):
            times = seen.get(root, 0)
            if origin.part in {"tool", "argument"} and not times:
                raise TemplateError(NO_TOOLS)
            if origin.part == "reasoning" and not times and origin.message == last:
                raise TemplateError("this base model's chat template drops the thoughts")
            if origin.part == "content":
                self._complain_of_loss(origin.message, times)

    def _complain_of_loss(self, number: int, times: int) -> None:
        message = self._messages[number]
        if times > 1 and message.role == "assistant":
            raise TemplateError(f"the chat template repeats message {number + 1}")
        wanted = bool(message.content.strip())
        if message.role == "assistant" and message.weight and not message.tool_calls:
            wanted |= not self._prompt  # to learn to say nothing, one must know where
        if wanted and not times:
            drops = f"the chat template drops message {number + 1}"
            raise TemplateError(NO_TOOLS if message.role == "tool" else drops)

    def _start(self, number: int, whole: _Rendering, first: int) -> tuple[int, int] | None:
        """Where the answer starts that `first` is the first text of; None: nobody can tell, and
        nobody needs to."""
        literal_at = first - 1 if first and isinstance(whole.parts[first - 1], str) else first
        gap = whole.parts[literal_at]
        gap = gap if isinstance(gap, str) else ""
        final = number == len(self._messages) - 1
        before = self._messages[number - 1] if number else None
        turn = (before.role, bool(before.tool_calls)) if before else ("", False)

        def place(tail: str) -> tuple[int, int] | None:
            if gap.startswith(tail):
                return literal_at, len(tail)
            # An earlier answer may come without what the prompt for the last one has, such as
            # empty thoughts.
            return (first, 0) if tail.startswith(gap) and not final else None

        # What the prompt writes after such a turn, an earlier answer of this chat has told.
        known = None if final else self._tails.get(turn)
        if known and (found := place(known)):
            return found
        learned = bool(self._messages[number].weight) and not self._prompt
        try:
            prompt = self._renderer.rendered(self._given.before(number), self._marks, prompt=True)
        except TemplateError:
            if learned:
                raise
            return None
        tail = prompt.parts[-1] if prompt.parts and isinstance(prompt.parts[-1], str) else ""
        self._tails[turn] = tail
        found = place(tail)
        if final and (literal_at != len(prompt.parts) - bool(tail)):
            found = None
        if final and not whole.text.startswith(prompt.text):
            found = None
        if found is None and learned:
            raise TemplateError(self._split())
        return found

    def _split(self) -> str:
        if self._messages[-1].reasoning and not self._thinking:
            return (
                "with thinking off, the chat template's prompt closes the thoughts before the "
                "answer starts, so an answer with thoughts cannot be learned"
            )
        return _SPLIT

    def _end(self, number: int, whole: _Rendering, last: int) -> tuple[int, int] | None:
        """Where the turn ends whose last text is at `last`; None: with the text."""
        message = self._messages[number]
        after = whole.parts[last + 1] if last + 1 < len(whole.parts) else ""
        literal = after if isinstance(after, str) else ""
        end = self._renderer.turn_end(literal, calls=bool(message.tool_calls))
        if end is not None:
            return last + 1, end
        final = last + 2 >= len(whole.parts) and number == len(self._messages) - 1
        if final and (not literal or message.tool_calls) and not self._prompt:
            return None
        raise TemplateError(
            f"the chat template ends the assistant's turn {number + 1} with no control token"
        )


def _with_edges(parts: Sequence[str | Mark], edges: Sequence[tuple[int, int, Edge]]) -> list[Item]:
    items: list[Item] = []
    waiting = list(edges)
    for number, part in enumerate(parts):
        at = 0
        while waiting and waiting[0][0] == number:
            _, place, edge = waiting.pop(0)
            if isinstance(part, str) and place > at:
                items.append(part[at:place])
                at = place
            items.append(edge)
        if not isinstance(part, str):
            items.append(part)
        elif part[at:]:
            items.append(part[at:])
    return items
