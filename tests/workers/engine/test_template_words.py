"""Words that are looked up: the same ids as the tokenizer's own, for whatever text."""

import json
import sysconfig
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.workers.engine.families import FAMILIES, Twin, small_tokenizer
from workers.engine.template.cuts import Cutter, _alphabet
from workers.engine.template.lexicon import Lexicon

_settings = settings(max_examples=60, deadline=None)
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TAIL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_GPT2 = _TAIL | {"use_regex": True}


def _split(regex: str, behavior: str = "Isolated", *, invert: bool = False) -> dict[str, Any]:
    pattern = {"Regex": regex}
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def _digits(*, individual: bool) -> dict[str, Any]:
    return {"type": "Digits", "individual_digits": individual}


_TAKEN = {
    "gpt2": [_GPT2],
    "smollm": [_digits(individual=True), _GPT2],
    "numbers": [_digits(individual=False), _GPT2],
    "llama3": [_split(_LLAMA3), _TAIL],
    "qwen": [_split(_LLAMA3.replace("{1,3}", "")), _TAIL],
    "cl100k": [_split(_CL100K, "Removed", invert=True), _TAIL],
    "o200k": [_split(_O200K), _TAIL],
    "deepseek": [_split(r"\p{N}{1,3}"), _split("[一-龥\u3040-ゟ゠-ヿ]+"), _split(_DEEPSEEK), _TAIL],
    "drops": [_split(r"\p{L}+|[0-9a-f\-]", "Removed", invert=True), _TAIL],
}
_LEFT = {
    "a prefix": [_GPT2 | {"add_prefix_space": True}],
    "whole texts": [_TAIL],
    "no byte level": [_split(_LLAMA3)],
    "byte level first": [_GPT2, _digits(individual=True)],
    "punctuation": [{"type": "Punctuation", "behavior": "Isolated"}, _TAIL],
    "a literal": [_split("x") | {"pattern": {"String": "x"}}, _TAIL],
    "merged": [_split(_LLAMA3, "MergedWithNext"), _TAIL],
    "removed": [_split(_LLAMA3, "Removed"), _TAIL],
    **{
        f"expression {regex}": [_split(regex), _TAIL]
        for regex in (
            *("a*", "(?=b)", "a|", "(?:a?)", ".", "^a", "a$", r"\bx", r"\w+", r"\d", r"(a)\1"),
            *("a+?", "a??", "a{2}?", "a{1,2}+", "(?:a|b)++", "(?<!a)b", "(?i)a", "(?i:straSSe)"),
            *("(?i:é)", "[[:alpha:]]", "[a-z&&b]", r"[^\S]", r"[\w]", r"\P{L}", r"\p{^L}"),
            *(r"\p{Han}", r"[\p{L}-z]", "[", "(", r"\x41", "(?>a)", "a{,2}"),
        )
    },
}

_sorts = st.text(
    st.sampled_from("abSTsdmtlvrexyZ") | st.sampled_from(" '\t\r\n0123456789.,_-/[]&$^")
    | st.characters(max_codepoint=0x7F),
    max_size=60,
)  # fmt: skip
_wide = st.text(
    st.characters(max_codepoint=0x7F)
    | st.sampled_from(sorted(_alphabet()))
    | st.sampled_from("éß’—“”…\xa0²Жπ✓😀\ufe0f'sS \n.7"),
    max_size=60,
)
_anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of a tokenizer is believed, without a look at how it cuts."""
    monkeypatch.setattr(Cutter, "_as_the_tokenizer", lambda *_: True)


def _tokenizer(
    steps: list[dict[str, Any]] | None = None, **more: Any
) -> tuple[dict[str, Any], Tokenizer]:
    parsed: dict[str, Any] = json.loads(small_tokenizer())
    if steps is not None:
        parsed["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    parsed |= more
    return parsed, Tokenizer.from_str(json.dumps(parsed))


def _cut(tokenizer: Tokenizer, text: str) -> list[str]:
    places = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in places]


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


@pytest.mark.parametrize("name", _TAKEN)
def test_words_and_ids_are_those_of_the_tokenizer(name: str) -> None:
    parsed, tokenizer = _tokenizer(_TAKEN[name])
    lexicon, cutter = Lexicon(parsed, tokenizer), Cutter(parsed, tokenizer)
    assert cutter.cuts

    @_settings
    @given(_sorts | _wide)
    def cut(text: str) -> None:
        assert cutter.words(text) == _cut(tokenizer, text)

    @_settings
    @given(st.lists(_sorts | _wide | _anything, max_size=5))
    def encode(texts: list[str]) -> None:
        assert lexicon.encode(texts) == _ids(tokenizer, texts)
        assert lexicon.encode(texts) == _ids(tokenizer, texts)

    cut()
    encode()


@pytest.mark.parametrize("name", _TAKEN)
def test_every_character_is_of_the_class_that_the_tokenizer_says(name: str) -> None:
    parsed, tokenizer = _tokenizer(_TAKEN[name])
    cutter = Cutter(parsed, tokenizer)
    around = ("", "a", " ", "7", ".", "\n", "'", "A")
    for letter in sorted(_alphabet()):
        text = "\r\n".join(f"{before}{letter}{after}" for before in around for after in around)
        assert cutter.words(text) == _cut(tokenizer, text), hex(ord(letter))


@pytest.mark.parametrize("name", _LEFT)
@pytest.mark.usefixtures("trusted")
def test_what_is_not_surely_read_alike_is_left_to_the_tokenizer(name: str) -> None:
    parsed, tokenizer = _tokenizer()
    parsed["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": _LEFT[name]}
    assert not Cutter(parsed, tokenizer).cuts


@pytest.mark.usefixtures("trusted")
def test_models_and_normalizers_that_see_more_than_a_word_are_left_to_the_tokenizer() -> None:
    parsed, tokenizer = _tokenizer()
    nfc = {"type": "NFC"}
    for taken in (nfc, {"type": "Sequence", "normalizers": []}):
        assert Cutter(parsed | {"normalizer": taken}, tokenizer).cuts
    changes: list[dict[str, Any]] = [
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": {"type": "Sequence", "normalizers": [nfc, {"type": "Lowercase"}]}},
        {"model": parsed["model"] | {"dropout": 0.1}},
        {"model": parsed["model"] | {"type": "WordPiece"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}},
    ]
    for change in changes:
        assert not Cutter(parsed | change, tokenizer).cuts


def test_a_tokenizer_that_cuts_otherwise_than_it_says_is_found_out() -> None:
    parsed, _ = _tokenizer(_TAKEN["llama3"])
    _, other = _tokenizer(_TAKEN["gpt2"])
    assert not Cutter(parsed, other).cuts


def test_text_is_composed_only_where_that_changes_nothing() -> None:
    parsed, tokenizer = _tokenizer(normalizer={"type": "NFC"})
    lexicon = Lexicon(parsed, tokenizer)
    texts = ["e\u0301", "\u212b \u037e", "é ok", "a\u0328\u0301", "\u1100\u1161", "ö\u0304"]
    assert lexicon.encode(texts) == _ids(tokenizer, texts)
    assert [one for one in texts if lexicon._cutter.words(one)] == ["é ok"]


def test_a_text_with_an_added_token_is_not_cut() -> None:
    tokenizer = Tokenizer.from_str(small_tokenizer())
    tokenizer.add_tokens(["  ", "    ", "\t\t", "\n\n\n"])
    parsed = json.loads(tokenizer.to_str())
    lexicon = Lexicon(parsed, tokenizer)
    assert sorted(lexicon._cutter._added) == ["\t\t", "\n\n\n", "  "]

    @_settings
    @given(st.lists(st.text("ab \t\n.", max_size=20), max_size=4))
    def check(texts: list[str]) -> None:
        assert lexicon.encode(texts) == _ids(tokenizer, texts)

    check()
    assert lexicon._cutter.words("a b\n\nc") is not None
    assert lexicon._cutter.words("a  b") is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.name))
def test_every_familys_texts_are_encoded_as_by_its_tokenizer(
    family: Any, smollm2_folder: Path
) -> None:
    tokens = Twin(family, smollm2_folder).ours._tokens
    byte_level = family.name not in {"llama2", "mistral", "gemma", "phi3", "deepseek2", "baichuan"}
    assert tokens._opening._cutter.cuts is byte_level

    @_settings
    @given(st.lists(_sorts | _wide | _anything, max_size=5), st.booleans())
    def check(texts: list[str], opening: bool) -> None:
        lexicon = tokens._opening if opening else tokens._inner
        assert tokens.encode(texts, opening=opening) == _ids(lexicon._tokenizer, texts)

    check()


def test_source_files_and_licences_are_encoded_as_by_the_real_tokenizer(
    smollm2_folder: Path,
) -> None:
    parsed = json.loads((smollm2_folder / "tokenizer.json").read_text(encoding="utf-8"))
    parsed["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(parsed))
    lexicon = Lexicon(parsed, tokenizer)
    folder = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("purelib"))
    files = [*islice(sorted(folder.glob("*.py")), 60), *sorted(packages.glob("*/licenses/**/LIC*"))]
    texts = [file.read_text(encoding="utf-8") for file in files[:120]]
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    texts += [text.replace("\n", "\r\n") for text in texts[:20]]
    assert lexicon.encode(texts) == _ids(tokenizer, texts)
    assert lexicon.encode(lines) == _ids(tokenizer, lines)


def test_words_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.engine.template.lexicon._WORDS_MAX", 3)
    parsed, tokenizer = _tokenizer()
    lexicon = Lexicon(parsed, tokenizer)
    for texts in (["the fox", "the"], ["a b c d e"], ["the fox"]):
        assert lexicon.encode(texts) == _ids(tokenizer, texts)
        assert len(lexicon._known) <= 3
    assert set(lexicon._known) == {"the", " fox"}


def test_long_words_are_not_kept() -> None:
    parsed, tokenizer = _tokenizer()
    lexicon = Lexicon(parsed, tokenizer)
    long = "a" * 129
    texts = [long, f"the {long} runs", long[1:]]
    assert lexicon.encode(texts) == _ids(tokenizer, texts)
    assert set(lexicon._known) == {long[1:]}
