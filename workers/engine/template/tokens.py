"""A tokenizer to which nothing a user writes is a control token.

Control tokens are the added tokens that are special or that can be seen; runs of white space are
not. The template's own are looked up by their spelling; all text between them goes through a copy
of the tokenizer in which every control token has another, unguessable spelling.
"""

import json
import re
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from workers.engine.template.lexicon import BYTE_OF, Lexicon
from workers.engine.template.words import TemplateError

# What Rust calls white space; Python would count the separators 1C to 1F as well.
WHITE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029"
WHITE += "\u202f\u205f\u3000"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class Tokens:
    """Text to ids and back."""

    def __init__(self, tokenizer_json: str):
        try:
            self._parsed = json.loads(tokenizer_json)
            added = self._parsed.get("added_tokens") or []
            controls = [token for token in added if _is_control(token)]
            self.controls: dict[str, int] = {token["content"]: token["id"] for token in controls}
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise TemplateError(f"the tokenizer cannot be read: {error}") from error
        self.special = {token["content"] for token in controls if token.get("special")}
        self.eats_left = {token["content"] for token in controls if token.get("lstrip")}
        self.eats_right = {token["content"] for token in controls if token.get("rstrip")}
        self.control_pattern = _control_pattern(controls)
        self.whole = _tokenizer(self._parsed)
        plain = _without_controls(self._parsed, set(self.controls))
        inner = _never_prepend(plain)
        self._opening = Lexicon(plain, _tokenizer(plain))
        self._inner = self._opening if inner == plain else Lexicon(inner, _tokenizer(inner))
        # A space that is put before a text is put before each one, unless only before the first.
        self.first_only = '"first"' in json.dumps(self._parsed.get("pre_tokenizer"))
        self.bytes_by_name = _reachable_bytes(self._parsed["model"])

    def encode(self, texts: Sequence[str], *, opening: bool) -> list[list[int]]:
        """Ids of plain texts; `opening`: of each as if nothing stood before it."""
        return (self._opening if opening else self._inner).encode(texts)

    def refuse_byte_names(self, text: str) -> None:
        """A few tokenizers read the name of a byte, as in <0x0A>, as that byte."""
        if self.bytes_by_name and _BYTE.search(text):
            raise TemplateError("a text spells a byte as this tokenizer writes it, as in <0x0A>")

    @cached_property
    def frame(self) -> tuple[list[int], list[int]]:
        """What the tokenizer itself puts before and after a text."""
        bare = self.whole.encode("a", add_special_tokens=False).ids
        framed = self.whole.encode("a", add_special_tokens=True).ids
        at = next(n for n in range(len(framed)) if framed[n : n + len(bare)] == bare)
        return framed[:at], framed[at + len(bare) :]

    @cached_property
    def pieces(self) -> list[bytes]:
        """For every id the bytes it stands for; a control token's are its spelling."""
        vocabulary = self.whole.get_vocab(with_added_tokens=True)
        added = {token["id"]: token["content"] for token in self._parsed.get("added_tokens") or []}
        byte_level = '"ByteLevel"' in json.dumps(
            [self._parsed.get("decoder"), self._parsed.get("pre_tokenizer")]
        )
        pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
        for spelling, number in vocabulary.items():
            if number in added:
                visible = spelling if number in self.controls.values() else _spaced(spelling)
                pieces[number] = visible.encode()
            elif byte_level:
                pieces[number] = _from_byte_level(spelling)
            elif _BYTE.fullmatch(spelling):
                pieces[number] = bytes([int(spelling[3:5], 16)])
            else:
                pieces[number] = _spaced(spelling).encode()
        return pieces


def _is_control(token: dict[str, Any]) -> bool:
    return bool(token.get("special")) or bool(_spaced(token["content"]).strip())


def _spaced(spelling: str) -> str:
    return spelling.replace("▁", " ")


def _tokenizer(parsed: dict[str, Any]) -> Tokenizer:
    try:
        tokenizer: Tokenizer = Tokenizer.from_str(json.dumps(parsed))
    except Exception as error:  # the Rust binding raises no narrower one
        raise TemplateError(f"the tokenizer cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _without_controls(parsed: dict[str, Any], controls: set[str]) -> dict[str, Any]:
    """The tokenizer with control tokens under names that nobody can write.

    Renamed and not removed, so that every other token keeps its id.
    """
    nonce = secrets.token_hex(12)
    names = {spelling: f"{nonce}n{number}" for number, spelling in enumerate(sorted(controls))}
    model = dict(parsed["model"])
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(piece, piece): number for piece, number in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        model["merges"] = [merge for merge in model["merges"] if _spares(merge, controls)]
    added = [
        token | {"content": names.get(token["content"], token["content"])}
        for token in parsed.get("added_tokens") or []
    ]
    return parsed | {"added_tokens": added, "model": model, "post_processor": None}


def _pair(merge: str | Sequence[str]) -> Sequence[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _spares(merge: str | Sequence[str], controls: set[str]) -> bool:
    left, right = _pair(merge)
    return controls.isdisjoint((left, right, left + right))


def _reachable_bytes(model: dict[str, Any]) -> bool:
    """Whether a text can reach a byte's token by spelling its name."""
    if not model.get("byte_fallback"):
        return False
    if model["type"] != "BPE" or model.get("ignore_merges"):
        return True
    return any(_BYTE.fullmatch("".join(_pair(merge))) for merge in model.get("merges") or [])


def _never_prepend(parsed: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer for texts that go on from others: it puts no space before them."""
    before = _replaced(parsed.get("pre_tokenizer"), "prepend_scheme", value="never")
    before = _replaced(before, "add_prefix_space", value=False)
    normalizer = parsed.get("normalizer")
    if normalizer and normalizer["type"] == "Prepend":
        normalizer = None
    elif normalizer and normalizer["type"] == "Sequence":
        steps = [step for step in normalizer["normalizers"] if step["type"] != "Prepend"]
        normalizer = normalizer | {"normalizers": steps}
    return parsed | {"pre_tokenizer": before, "normalizer": normalizer}


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


def _control_pattern(controls: Sequence[dict[str, Any]]) -> re.Pattern[str]:
    """Finds control tokens as the tokenizer does: longest first, white space where it eats it."""
    spellings = []
    for token in sorted(controls, key=lambda token: len(token["content"]), reverse=True):
        spelling = re.escape(token["content"])
        if token.get("single_word"):
            spelling = rf"(?<!\w){spelling}(?!\w)"
        left, right = (f"[{WHITE}]*" if token.get(side) else "" for side in ("lstrip", "rstrip"))
        spellings.append(f"{left}({spelling}){right}")
    return re.compile("|".join(spellings) or r"(?!)")


def _from_byte_level(spelling: str) -> bytes:
    """GPT-2's alphabet of bytes; what is not in it stands for itself."""
    if all(letter in BYTE_OF for letter in spelling):
        return bytes(BYTE_OF[letter] for letter in spelling)
    return spelling.encode()
