"""Cuts texts into words as a byte-level tokenizer's pre-tokenizer does, where that is sure.

The pre-tokenizer's regular expressions are written anew with their classes spelled out, over an
alphabet of characters whose categories have long been settled and whose NFC is themselves. An
expression is taken only if Python and Oniguruma read every part of it alike; a text only if all of
it is in the alphabet. What is not taken is left to the tokenizer itself.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import Tokenizer

# Letters of Europe, typography, symbols and the older emoji: whoever writes other scripts writes
# few spaces, or combines characters.
_RANGES = (
    *((0x00, 0x7F), (0xA0, 0x17E), (0x391, 0x3A1), (0x3A3, 0x3CE), (0x400, 0x45F)),
    *((0x1EA0, 0x1EF9), (0x2010, 0x2027), (0x2030, 0x205E), (0x20AC, 0x20AC), (0x2122, 0x2122)),
    *((0x2190, 0x23FE), (0x2500, 0x27BF), (0xFE0F, 0xFE0F), (0x1F300, 0x1F64F)),
)
# They are other letters' capitals or small letters in one engine and not in the other.
_ODD_CASES = frozenset("\u0130\u0131\u0149")
_WHITE = frozenset("\t\n\v\f\r \xa0")  # of the alphabet, what Oniguruma calls white space
_CATEGORY = "L[ultmo]?|N[dlo]?|P[cdseifo]?|S[mcko]?|M[nce]?"
_BYTE_LEVEL = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_CLASS_ITEM = re.compile(
    rf"\\p\{{(?P<category>{_CATEGORY})\}}|\\(?P<letter>[srnt])"
    r"|(?P<first>\\[^A-Za-z0-9]|[^\\\[\]&-])(?:-(?P<last>\\[^A-Za-z0-9]|[^\\\[\]&-]))?"
    r"|(?P<single>&(?!&)|-(?=$))"
)
_ITEM = re.compile(
    r"\[(?P<not>\^?)(?P<class>(?:\\.|[^\\\[\]])+)\]"
    rf"|\\p\{{(?P<category>{_CATEGORY})\}}|\\(?P<letter>[sSrnt])"
    # Letters of any case; Oniguruma would find ss in ß.
    r"|(?P<any_case>\(\?i:(?![^)]*[sS]{2})(?:[A-Za-z'|]|\[[A-Za-z]+\])+\))"
    r"|(?P<group>\(\?[:!=]|\((?!\?)|[)|])"
    r"|(?P<times>(?:[?*+](?:(?<!\).)\+)?|\{[0-9]+(?:,[0-9]*)?\})(?![?*+{]))"
    r"|(?P<literal>\\[^A-Za-z0-9]|[^\\\[\](){}|?*+.^$])"
)
_SPELLED = {"r": "\r", "n": "\n", "t": "\t"}


class _UnsureError(ValueError):
    """This part of an expression may mean something else to the other engine."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One splitting of the pre-tokenizer: what it finds, and unless dropped what is between."""

    find: Callable[[str], list[str]]
    split: Callable[[str], list[str]]
    drops: bool

    def words(self, text: str) -> list[str]:
        words = self.find(text)
        if self.drops or len("".join(words)) == len(text):
            return words
        return [word for word in self.split(text) if word]


class Cutter:
    """The words of a text, or None where only the tokenizer can tell."""

    def __init__(self, parsed: dict[str, Any], tokenizer: Tokenizer):
        """Of a tokenizer's JSON in which no text can spell a control token."""
        self._strange = re.compile(f"[^{_ranges(_alphabet())}]").search
        # Added tokens that are left are white space; where a text has one it is not cut.
        added = {token["content"] for token in parsed.get("added_tokens") or []}
        self._added = [one for one in added if not any(o in one for o in added - {one})]
        self._ascii: Sequence[_Step] = ()
        self._wide: Sequence[_Step] = ()
        if _takes(parsed):
            try:
                sources = list(_sources(parsed["pre_tokenizer"]))
                self._ascii = [_step(*source, ascii_only=True) for source in sources]
                self._wide = [_step(*source, ascii_only=False) for source in sources]
            except (_UnsureError, re.error, LookupError, TypeError):
                return
            if not self._as_the_tokenizer(tokenizer):
                self._ascii = self._wide = ()

    @property
    def cuts(self) -> bool:
        return bool(self._ascii)

    def words(self, text: str) -> list[str] | None:
        for added in self._added:
            if added in text:
                return None
        if text.isascii():
            steps = self._ascii
        elif self._strange(text):
            return None
        else:
            steps = self._wide
        return _words(steps, text)

    def _as_the_tokenizer(self, tokenizer: Tokenizer) -> bool:
        """A last doubt: is a text of all sorts of neighbours cut the same?"""
        for text, steps in ((_probe(_ascii()), self._ascii), (_probe(_alphabet()), self._wide)):
            places = tokenizer.pre_tokenizer.pre_tokenize_str(text)
            if _words(steps, text) != [text[start:end] for _, (start, end) in places]:
                return False
        return True


def _words(steps: Sequence[_Step], text: str) -> list[str]:
    first, *others = steps
    words = first.words(text)
    for step in others:
        words = [word for piece in words for word in step.words(piece)]
    return words


@cache
def _probe(letters: frozenset[str]) -> str:
    """Each letter before and after others, and all neighbours of those that matter."""
    mixed = sorted(letters & frozenset("aSs'7 \t\r\n._$\xa0é²’✓"))
    triples = map("".join, itertools.product(mixed, repeat=3))
    return "".join([*(f"{one}a {one}{one}7." for one in sorted(letters)), *triples])


# What a tokenizer's JSON says


def _takes(parsed: dict[str, Any]) -> bool:
    """Whether words are encoded each by itself and as they are written."""
    model = parsed["model"]
    steps = _flat(parsed.get("normalizer"), "normalizers")
    return (
        model.get("type") == "BPE"
        and not model.get("dropout")
        and all(step["type"] == "NFC" for step in steps)
    )


def _flat(part: dict[str, Any] | None, children: str) -> list[dict[str, Any]]:
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [step for child in part[children] for step in _flat(child, children)]


def _sources(pre_tokenizer: dict[str, Any] | None) -> Iterator[tuple[str, bool]]:
    """The expressions that split a text, one after the other; true where what they do not find is
    dropped."""
    steps = _flat(pre_tokenizer, "pretokenizers")
    if not steps or steps[-1]["type"] != "ByteLevel":
        raise _UnsureError
    for step in steps[:-1]:
        if step["type"] == "Digits":
            yield (r"\p{N}" if step["individual_digits"] else r"\p{N}+"), False
        elif step["type"] == "Split" and (step["behavior"], bool(step["invert"])) in {
            ("Isolated", False),
            ("Removed", True),
        }:
            # No literal pattern: only expressions are known to be used.
            yield step["pattern"]["Regex"], step["behavior"] == "Removed"
        else:
            raise _UnsureError
    last = steps[-1]
    if last["add_prefix_space"]:
        raise _UnsureError
    if last.get("use_regex", True):
        yield _BYTE_LEVEL, False
    elif len(steps) == 1:
        raise _UnsureError  # a text would be one word


# Oniguruma's expressions as Python's


def _step(source: str, drops: bool, *, ascii_only: bool) -> _Step:
    letters = _ascii() if ascii_only else _alphabet()
    written = _Writer(letters).expression(source)
    # One that could find nothing would be stepped over in two ways.
    if re.fullmatch(_Writer(letters, ahead=False).expression(source), ""):
        raise _UnsureError
    return _Step(re.compile(written).findall, re.compile(f"({written})").split, drops)


@cache
def _alphabet() -> frozenset[str]:
    letters = (chr(code) for first, last in _RANGES for code in range(first, last + 1))
    return frozenset(
        letter
        for letter in letters
        if unicodedata.is_normalized("NFC", letter)
        and not unicodedata.combining(letter)
        and letter not in _ODD_CASES
    )


@cache
def _ascii() -> frozenset[str]:
    return frozenset(letter for letter in _alphabet() if letter.isascii())


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes an expression anew, for texts of these letters."""

    letters: frozenset[str]
    ahead: bool = True  # false: as if nothing looked ahead

    def expression(self, source: str) -> str:
        return "".join(self._item(match) for match in _matches(_ITEM, source))

    def _item(self, match: re.Match[str]) -> str:
        found = match[0]
        if match["class"]:
            return self._class(match["class"], negated=bool(match["not"]))
        if match["category"] or match["letter"] in {"s", "r", "n", "t"}:
            return self._class(found, negated=False)
        if match["letter"] == "S":
            return self._class(r"\s", negated=True)
        if match["literal"]:
            return re.escape(found[-1])
        if found in {"(?!", "(?="} and not self.ahead:
            return "(?:|"
        return "(?:" if found == "(" else found

    def _class(self, inside: str, *, negated: bool) -> str:
        if not negated and inside.startswith("^"):
            raise _UnsureError
        members: set[str] = set()
        for match in _matches(_CLASS_ITEM, inside):
            if match["category"]:
                members |= self._of_category(match["category"])
            elif match["letter"] == "s":
                members |= _WHITE & self.letters
            elif match["letter"]:
                members.add(_SPELLED[match["letter"]])
            else:
                first = match["single"] or match["first"]
                last = match["last"] or first
                codes = range(ord(first[-1]), ord(last[-1]) + 1)
                members |= {letter for letter in self.letters if ord(letter) in codes}
        if not members:
            return "(?s:.)" if negated else "(?!)"
        return f"[{'^' if negated else ''}{_ranges(members)}]"

    def _of_category(self, name: str) -> set[str]:
        return {one for one in self.letters if unicodedata.category(one).startswith(name)}


def _matches(pattern: re.Pattern[str], source: str) -> Iterator[re.Match[str]]:
    """The items that make up a source."""
    at = 0
    while at < len(source):
        match = pattern.match(source, at)
        if match is None:
            raise _UnsureError
        yield match
        at = match.end()


def _ranges(letters: set[str] | frozenset[str]) -> str:
    """The inside of a class."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, letters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)
