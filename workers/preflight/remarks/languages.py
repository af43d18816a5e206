"""What rows are written in: the script of each, and where that is Latin, the odd language out.

To ask a model for the language of every row would take longer than all else. So the words that are
frequent in the file tell which rows are like the others, and only about the rest is asked.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

LEARNING_ROWS = 2_000
PENDING_MAX = 10_000
"""So many rows are asked about, at most; each takes about a fifth of a millisecond."""

# Scripts and the ranges of their letters. A sign of the heavy ones says as much as three letters.
_SCRIPTS: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "Latin": (1, ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF))),
    "Chinese": (3, ((0x3400, 0x9FFF), (0xF900, 0xFAFF))),
    "Japanese": (3, ((0x3041, 0x30FF), (0x31F0, 0x31FF))),
    "Korean": (3, ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF))),
    "Cyrillic": (1, ((0x400, 0x52F),)),
    "Arabic": (1, ((0x620, 0x64A), (0x66E, 0x6D3), (0x750, 0x77F))),
    "Devanagari": (1, ((0x900, 0x97F),)),
    "Thai": (1, ((0xE01, 0xE4F),)),
    "Hebrew": (1, ((0x5D0, 0x5EA),)),
    "Greek": (1, ((0x370, 0x3FF), (0x1F00, 0x1FFF))),
}
_NAMES = tuple(_SCRIPTS)
LATIN, _CHINESE, _JAPANESE = 1, 1 << 1, 1 << 2  # the bits that scripts() gives
_WEIGHTS = np.array([0, *(weight for weight, _ in _SCRIPTS.values())])
_LETTERS_MIN = 8
_EIGHT_LETTERS = re.compile(r"(?:[A-Za-z][^A-Za-z]*){8}")
_SCRIPT_SHARE = 0.2  # of a row's letters, and the row is written in that script, too
_KANA_SHARE = 0.1  # of the heavy signs, and the Chinese ones are Japanese
_MAIN_SHARE = 0.95  # of the rows have the file's script

_WORDS_MIN = 8
_COMMON_WORDS, _COMMON_SHARE = 500, 0.02
_STRANGE_SHARE = 0.1  # of a row's words are common ones, at most, where it is suspected
_ASKED_OF_ALL = 100  # rows that tell the file's language
_MAIN_LANGUAGE_SHARE = 0.8
_SURE = 0.9
_OTHERS_MAX = 0.1  # with more the file is of several languages, and none of them is odd

_LANGUAGES = {
    "af": "Afrikaans", "ca": "Catalan", "cs": "Czech or Slovak", "cy": "Welsh",
    "da": "Danish or Norwegian", "de": "German", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fi": "Finnish", "fr": "French", "ga": "Irish",
    "hr": "Croatian, Bosnian or Serbian", "hu": "Hungarian", "id": "Indonesian or Malay",
    "is": "Icelandic", "it": "Italian", "la": "Latin", "lt": "Lithuanian", "lv": "Latvian",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "sl": "Slovenian",
    "sq": "Albanian", "sv": "Swedish", "sw": "Swahili", "tl": "Tagalog", "tr": "Turkish",
    "vi": "Vietnamese",
}  # fmt: skip
# Languages that a few words don't tell apart count as one.
_KIN = {
    kin: one
    for one, kindred in {
        "cs": "sk",
        "da": "no nn",
        "de": "lb",
        "en": "pcm",
        "es": "an ext gl",
        "fr": "oc wa",
        "hr": "bs sr",
        "id": "ms jv",
        "it": "vec lij",
        "nl": "fy",
    }.items()
    for kin in kindred.split()
}


@cache
def _script_of() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """For each code point below 65,536 the number of its script from 1, or 0."""
    table = np.zeros(65_536, np.uint8)
    for number, (_, ranges) in enumerate(_SCRIPTS.values(), start=1):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


def scripts(text: str) -> int:
    """The scripts that a good part of the text is in, a bit for each; 0 with hardly a letter."""
    if _mostly_ascii(text):
        return LATIN if _EIGHT_LETTERS.search(text) else 0
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16)
    letters = np.bincount(_script_of().take(codes), minlength=len(_WEIGHTS)) * _WEIGHTS
    _, latin, chinese, japanese, *rest = letters.tolist()
    if japanese > _KANA_SHARE * (japanese + chinese):
        chinese, japanese = 0, japanese + chinese
    counts = [latin, chinese, japanese, *rest]
    total = sum(counts)
    if total < _LETTERS_MIN:
        return 0
    return sum([1 << bit for bit, count in enumerate(counts) if count >= _SCRIPT_SHARE * total])


def _mostly_ascii(text: str) -> bool:
    """Whether too few characters are others for another script to count."""
    return text.isascii() or 15 * (len(text) - len(text.encode("ascii", "ignore"))) < len(text)


def other_scripts(rows: Sequence[int]) -> tuple[list[tuple[int, str]], int]:
    """(row, what is odd about it) of those without the file's script, and that script's bit.

    The bit is 0 where not nearly all rows share a script. A row in two scripts, as in translation,
    is in both.
    """
    written = np.asarray(rows, dtype=np.uint16)
    lettered = np.count_nonzero(written)
    having = [np.count_nonzero(written & (1 << bit)) for bit in range(len(_NAMES))]
    main = int(np.argmax(having))
    if not lettered or having[main] < _MAIN_SHARE * lettered:
        return [], 0
    others = np.flatnonzero((written != 0) & (written & (1 << main) == 0))
    remarks = []
    for at in others.tolist():
        names = [name for bit, name in enumerate(_NAMES) if written[at] & (1 << bit)]
        remarks.append((at, _odd(f"{names[0]} script", f"{_NAMES[main]} script")))
    return remarks, 1 << main


def _odd(its: str, usual: str) -> str:
    return (
        f"The row seems to be in {its}, and nearly all others are in {usual}. "
        "Translate it or leave it out, unless the model is to speak both."
    )


class Languages:
    """Learns a file's frequent words from its first rows, and finds rows in another language.

    Knows only rows in Latin script. Of a block's, one who knows the `common` words keeps those that
    lack them, and one who does not keeps all. What waits in the whole is bounded: the first rows,
    then those to be asked about at the end.
    """

    def __init__(self, common: frozenset[str] | None = None) -> None:
        self.common = common
        self._waiting: list[tuple[int, str]] = []
        self._usual: list[str] = []  # some rows like most others
        self._rows = 0

    def add(self, line: int, text: str) -> None:
        self._rows += 1
        if self.common is None or _strange(text, self.common):
            self._waiting.append((line, text))

    def merge(self, other: "Languages") -> None:
        """Add the rows that follow."""
        self._rows += other._rows
        waiting = other._waiting
        if self.common is not None and other.common is None:
            waiting = [one for one in waiting if _strange(one[1], self.common)]
        self._waiting += waiting
        if self.common is None and len(self._waiting) >= LEARNING_ROWS:
            self._learn()
        if self.common is not None:
            del self._waiting[PENDING_MAX:]

    def end(self) -> Iterator[tuple[int, str]]:
        """(line, what is odd about it)"""
        if self.common is None:
            self._learn()
        main = _main(self._usual) if self._waiting else None
        if main is None:
            return
        found = []
        for line, text in self._waiting[:PENDING_MAX]:
            language, sure = _language(text)
            if sure >= _SURE and language != main and language in _LANGUAGES:
                found.append((line, language))
        if len(found) > _OTHERS_MAX * self._rows:
            return
        usual = _LANGUAGES.get(main, main)
        for line, language in found:
            yield line, _odd(_LANGUAGES[language], usual)

    def _learn(self) -> None:
        having: Counter[str] = Counter()
        first = [text for _, text in self._waiting[:LEARNING_ROWS]]
        for text in first:
            having.update(dict.fromkeys(text.lower().split(), 1))
        enough = max(3, _COMMON_SHARE * len(first))
        frequent = having.most_common(_COMMON_WORDS)
        common = self.common = frozenset(word for word, count in frequent if count >= enough)
        usual = [text for text in first if not _strange(text, common)]
        self._usual = usual[:: max(1, len(usual) // _ASKED_OF_ALL)][:_ASKED_OF_ALL]
        self._waiting = [one for one in self._waiting if _strange(one[1], common)]


def _strange(text: str, common: frozenset[str]) -> bool:
    words = text.lower().split()
    if len(words) < _WORDS_MIN:
        return False
    return len(common.intersection(words)) <= _STRANGE_SHARE * len(words)


def _main(texts: Sequence[str]) -> str | None:
    """The language that nearly all of the texts are in, if there is one."""
    asked = Counter(_language(text)[0] for text in texts)
    for language, count in asked.most_common(1):
        if count >= _MAIN_LANGUAGE_SHARE * len(texts):
            return language
    return None


@cache
def _identifier() -> LanguageIdentifier:
    """Half a second, and some 60 MB of memory for good."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _language(text: str) -> tuple[str, float]:
    """The likeliest language with its kin, and how likely it is."""
    likely: Counter[str] = Counter()
    for language, probability in _identifier().rank(text):
        likely[_KIN.get(language, language)] += probability
    return max(likely.items(), key=lambda item: item[1])
