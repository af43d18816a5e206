"""Placeholders, secrets, personal data, hidden characters: what a row holds that it should not.

Each check has a cheap scan of the whole row, and patterns that only suspected rows are put to.
Patterns are bounded, so that no text takes long, and ask for more than a shape where there is
more: a checksum, a known prefix, randomness.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_letters, digits

from api.rows.words import Problem, Row, Verdict
from api.rows.words import ProblemCode as Code
from workers.preflight.remarks import personal


@dataclass(frozen=True)
class Check:
    """`suspect` sees the row's text and its UTF-8; `find` says what a field holds, in words that
    do not repeat it."""

    code: Code
    advice: str
    suspect: Callable[[str, bytes], bool]
    find: Callable[[str], list[str]]
    in_data: bool = True  # whether JSON, of tools and of calls, is looked at

    def remark(self, row: Row) -> Problem | None:
        """About the first field that holds something; how many more there are is told."""
        where, what, more = "", [""], 0
        for path, text in _fields(row):
            if text and (self.in_data or not path.endswith(("arguments", "tools"))):
                if not where:
                    what = self.find(text)
                    where = path if what else ""
                elif self.find(text):
                    more += 1
        if not where:
            return None
        also = f", and the like in {more} more field{'s' * (more > 1)} of the row" if more else ""
        return Problem(
            line=row.line,
            field=where,
            code=self.code,
            message=f"Here is {' and '.join(what)}{also}. {self.advice}",
            verdict=Verdict.WARNED,
        )


def _fields(row: Row) -> Iterator[tuple[str, str]]:
    for name, turns in (
        ("messages", row.messages),
        ("chosen", row.chosen),
        ("rejected", row.rejected),
    ):
        for number, turn in enumerate(turns):
            yield f"{name}[{number}].content", turn.content
            yield f"{name}[{number}].reasoning", turn.reasoning
            for place, call in enumerate(turn.tool_calls):
                yield f"{name}[{number}].tool_calls[{place}].arguments", call.arguments
    yield "text", row.text
    yield "tools", row.tools


# Placeholders. In code, brackets and dollars are code; double braces are a template anywhere.
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)
# Not {{a}} of mathematics, ={{…}} of JSX and BibTeX, ${{…}} of a workflow.
_BRACES = re.compile(
    r"(?<![\w}=\\^{$])\{\{ ?([^\W\d][\w.\- ]{1,40}?) ?(?:\| ?\w{1,20} ?)?\}\}(?!\})"
)
_DOLLAR = re.compile(r"(?<![\w\"'`/=$\\:-])\$\{([A-Za-z_][\w.]{1,40})\}(?![\w\"'`/$^])")
_BRACKETS = re.compile(
    r"(?<![\w\])])\[((?:insert|enter|fill in|your|client|customer|recipient|company)(?:'s)?"
    r"(?! into)[ _]\w)[^\[\]\n]{0,60}\](?![(\[:])"
    r"|[\[［【<＜〈](请(?:输入|填写|插入|在此)|您的|你的|此处|在此处?)[^\[\]【】<>＜＞\n]{1,30}[\]］】>＞〉]",
    re.IGNORECASE,
)
_ANGLES = re.compile(
    r"(?<![\w=\"'/<])<((?:your|insert|enter|fill in|customer|company)[ _]\w)[^<>\n=/\"]{0,40}>",
    re.IGNORECASE,
)


def _placeholder(text: str, _data: bytes) -> bool:
    return "{" in text or "[" in text or "<" in text or "【" in text


def _placeholders(text: str) -> list[str]:
    if found := _BRACES.search(text):
        return [f"a placeholder, {{{{{found[1]}}}}}"]
    prose = _CODE.sub(" ", text) if "`" in text else text
    if found := _DOLLAR.search(prose):
        return [f"a placeholder, ${{{found[1]}}}"]
    if _BRACKETS.search(prose) or _ANGLES.search(prose):
        return ["a placeholder in brackets"]
    return []


# Secrets. All have twenty letters, digits, dashes or underscores in a row.
_TOKEN_CHARACTERS = ascii_letters + digits + "-_"
_TOKEN = bytes(ord("x") if chr(code) in _TOKEN_CHARACTERS else ord(" ") for code in range(256))
_LONG_TOKEN = b"x" * 20
_KEYS = re.compile(
    r"(?<![A-Za-z0-9_-])(sk-|[rs]k_live_|tk-|gsk_|AKIA|ASIA|LTAI|AKID|AIza|gh[oprsu]_|github_pat_|"
    r"glpat-|xox[abeoprs]-|hf_|npm_|pypi-|SG\.|dop_v1_|shpat_|whsec_|ya29\.)([A-Za-z0-9_-]{16,400})"
)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{10,2000}\.eyJ[\w-]{10,8000}\.[\w-]{16,2000}", re.ASCII)
_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_INVENTED = re.compile(r"example|your|xxxx|placeholder|dummy|redacted|\.\.\.", re.IGNORECASE)
_RANDOM_BITS = 3.0  # a character; words have less over the same length, repetition far less


def _secret(_text: str, data: bytes) -> bool:
    return _LONG_TOKEN in data.translate(_TOKEN)


def _secrets(text: str) -> list[str]:
    if _PEM.search(text):
        return ["a private key"]
    for found in _KEYS.finditer(text):
        if _random(found[2]):
            return [f"what looks like an access key ({found[1]}…)"]
    if _JWT.search(text):
        return ["a signed token (eyJ…)"]
    return []


def _random(body: str) -> bool:
    if _INVENTED.search(body):
        return False
    longest = max(re.split(r"[-_]", body), key=len)  # words joined by dashes are short ones
    mixed = len(longest) >= 10 and any(c.isdigit() for c in body) and not body.isdigit()
    counts = Counter(body).values()
    bits = -sum(n / len(body) * math.log2(n / len(body)) for n in counts)
    return mixed and bits >= _RANDOM_BITS


# Hidden characters. Joiners belong to emoji and to some scripts, marks to those from the right.
_HIDDEN = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
)
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_JOINING = re.compile("[\u0600-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufefc]")
_EMOJI = re.compile("[\u00a9\u00ae\u203c-\u2bff\u3030-\u3299\ufe0f\U0001f000-\U0001faff]")
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff]")  # Thai to Myanmar, Khmer: breaks of lines
_FLAG = "\U0001f3f4"


def _hidden(text: str, data: bytes) -> bool:
    # All of them start with one of these bytes, which in most rows of most languages are not.
    start = b"\xe2" in data or b"\xf3" in data or b"\xef\xbb\xbf" in data
    return start and not text.isascii() and _HIDDEN.search(text) is not None


def _hidden_characters(text: str) -> list[str]:
    for found in _HIDDEN.finditer(text):
        at, character = found.start(), found[0]
        around = text[max(0, at - 1) : at], text[at + 1 : at + 2]
        if not _belongs(character, *around, text=text, at=at):
            kind = "a direction mark" if _turns(character) else "an invisible character"
            return [f"{kind} (U+{ord(character):04X})"]
    return []


def _turns(character: str) -> bool:
    return (
        character in "\u200e\u200f"
        or "\u202a" <= character <= "\u202e"
        or ("\u2066" <= character <= "\u206f")
    )


def _belongs(character: str, before: str, after: str, *, text: str, at: int) -> bool:
    if character in "\u200c\u200d":
        emoji = _EMOJI.match(before) and _EMOJI.match(after)
        return bool(emoji or _JOINING.match(before) or _JOINING.match(after))
    if character == "\u200b":
        return bool(_UNSPACED.match(before) or _UNSPACED.match(after))
    if character in "\u202d\u202e":  # overrides show text in another order than it is read
        return False
    if _turns(character):
        return _RIGHT_TO_LEFT.search(text) is not None
    return character >= "\U000e0000" and _FLAG in text[max(0, at - 8) : at]


CHECKS = (
    Check(
        Code.PLACEHOLDER,
        "Fill it in, or the model learns to write it.",
        _placeholder,
        _placeholders,
        in_data=False,
    ),
    Check(
        Code.PERSONAL_DATA,
        "Replace it with something invented, since a model may repeat it to anybody.",
        personal.suspect,
        personal.find,
    ),
    Check(
        Code.SECRET,
        "Revoke it if it was ever real, and remove it: a model may repeat it to anybody.",
        _secret,
        _secrets,
    ),
    Check(
        Code.HIDDEN_CHARACTERS,
        "Remove it, unless the model is to learn such text.",
        _hidden,
        _hidden_characters,
    ),
)
