"""What goes in and comes out: conversations, encoded rows, and why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.rows.words import Message


class TemplateError(ValueError):
    """The template cannot be loaded, or cannot render these messages so that they can be masked."""

    settled = False  # true where it was said without a look at what the messages say


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is rendered. `tools` is the JSON text of a list of tools, or empty; `thinking` goes to
    the template under that name and as `enable_thinking`."""

    messages: Sequence[Message]
    tools: str = ""
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Token ids and which of them are learned.

    `learned` are half-open spans, in order; `turn_ends` says for each assistant turn how many
    tokens there are up to and including the one that ends it.
    """

    ids: list[int]
    learned: list[tuple[int, int]]
    turn_ends: list[int]

    @property
    def supervised(self) -> list[int]:
        """For each token whether it is learned (1) or only read (0)."""
        mask = [0] * len(self.ids)
        for start, end in self.learned:
            mask[start:end] = [1] * (end - start)
        return mask

    def cut_at_turn(self, cutoff_len: int) -> "EncodedRow | None":
        """The longest beginning that fits, ends with a turn and has something to learn."""
        for end in reversed(self.turn_ends):
            learned = [span for span in self.learned if span[1] <= end]
            if end <= cutoff_len and learned:
                ends = [turn for turn in self.turn_ends if turn <= end]
                return EncodedRow(self.ids[:end], learned, ends)
        return None
