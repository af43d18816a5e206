"""Plain texts to ids, whose words are known from before.

A byte-level tokenizer merges each word by itself, so the ids of a text are those of its words, one
after the other. A word is merged when it is first seen; after that it is looked up. Texts that
cannot be cut into words for sure are encoded whole.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from tokenizers import Tokenizer

from workers.engine.template.cuts import Cutter

_WORDS_MAX = 2**17  # some 40 MB
_CHARACTERS_MAX = 128  # of a word; long ones are not seen again


class Lexicon:
    """Encodes as the tokenizer does."""

    def __init__(self, parsed: dict[str, Any], tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._model = tokenizer.model
        self._cutter = Cutter(parsed, tokenizer)
        self._known: dict[str, tuple[int, ...]] = {}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not self._cutter.cuts:
            return self._whole(texts)
        known = self._known  # threads share it: it only grows, until another takes its place
        cut, ids_of = self._cutter.words, known.__getitem__
        found: list[list[int]] = []
        left: list[int] = []
        for at, text in enumerate(texts):
            words = cut(text)
            ids: list[int] = []
            if words is None:
                left.append(at)
            else:
                try:
                    ids = list(chain.from_iterable(map(ids_of, words)))
                except KeyError:
                    if max(map(len, words)) > _CHARACTERS_MAX:
                        left.append(at)
                    else:
                        known |= {word: self._merged(word) for word in words if word not in known}
                        ids = list(chain.from_iterable(map(ids_of, words)))
            found.append(ids)
        if len(known) > _WORDS_MAX:
            self._known = {}
        for at, ids in zip(left, self._whole([texts[at] for at in left]), strict=True):
            found[at] = ids
        return found

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        """By the tokenizer, over all cores."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _merged(self, word: str) -> tuple[int, ...]:
        # By the model itself: a tokenizer takes twice as long for so short a text.
        letters = word.encode().decode("latin-1").translate(_LETTER_OF)
        return tuple([token.id for token in self._model.tokenize(letters)])


def _byte_alphabet() -> dict[str, int]:
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    letters = {chr(byte): byte for byte in shown}
    return letters | {chr(256 + number): byte for number, byte in enumerate(hidden)}


# GPT-2's alphabet: how a byte-level tokenizer writes bytes.
BYTE_OF = _byte_alphabet()
_LETTER_OF = {byte: letter for letter, byte in BYTE_OF.items()}
