"""Equal rows are found, nearly equal rows across a split too, and unrelated rows are not."""

import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.rows.words import Kind, Message, Row, ToolCall
from workers.preflight.duplicates import (
    SKETCH_SIZE,
    Duplicates,
    Sketches,
    content_hash,
    near,
    sketch,
)

CALL = ToolCall(name="look_up", arguments='{"id": 1}', id="call_1")
CHOSEN = (Message(role="assistant", content="Yes."),)


def row(line: int, question: str, answer: str = "", **more: Any) -> Row:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Row(line=line, messages=turns, **more)


def words(seed: int, count: int, vocabulary: int = 5_000) -> list[str]:
    picked = random.Random(seed)
    return [f"w{picked.randrange(vocabulary)}" for _ in range(count)]


def sketches(*rows: Row) -> Sketches:
    made = Sketches()
    for each in rows:
        made.add(each)
    return made


def pairs(train: list[Row], held_out: list[Row]) -> list[tuple[int, int]]:
    return list(near(sketches(*train), sketches(*held_out)))


def test_equal_rows_are_named_with_the_first_of_them() -> None:
    found = Duplicates()
    for line, question in ((1, "a"), (2, "b"), (4, "a"), (7, "a"), (9, "b"), (10, "c")):
        found.add(row(line, question))
    assert list(found.end()) == [(4, 1), (7, 1), (9, 2)]
    assert found.count == 3
    assert list(Duplicates().end()) == []
    assert Duplicates().count == 0


@pytest.mark.parametrize(
    "other",
    [
        row(1, "Is it open?", "No."),
        row(1, "Is it open?Yes.", ""),
        row(1, "Is it open?", "Yes.", kind=Kind.KTO, label=True),
        row(1, "Is it open?", "Yes.", tools="[]"),
        Row(line=1, messages=row(1, "Is it open?").messages[:1], chosen=CHOSEN),
        Row(line=1, messages=row(1, "Is it open?").messages[:1], rejected=CHOSEN),
        Row(
            line=1,
            messages=(
                Message(role="user", content="Is it open?"),
                Message(role="assistant", content="Yes.", weight=0),
            ),
        ),
        Row(
            line=1,
            messages=(
                Message(role="user", content="Is it open?"),
                Message(role="assistant", content="Yes.", reasoning="It is ten."),
            ),
        ),
        Row(
            line=1,
            messages=(
                Message(role="user", content="Is it open?"),
                Message(role="assistant", content="Yes.", tool_calls=(CALL,)),
            ),
        ),
        Row(line=1, kind=Kind.TEXT, text="Is it open?Yes."),
    ],
)
def test_whatever_is_trained_tells_rows_apart(other: Row) -> None:
    assert content_hash(other) != content_hash(row(1, "Is it open?", "Yes."))


def test_neither_the_line_nor_the_id_of_a_call_tells_rows_apart() -> None:
    def called(line: int, number: str) -> Row:
        calls = (CALL.model_copy(update={"id": number}),)
        return Row(line=line, messages=(Message(role="assistant", content="", tool_calls=calls),))

    assert content_hash(called(1, "call_1")) == content_hash(called(2, "call_2"))


def test_a_content_hash_is_the_same_in_every_process() -> None:
    assert content_hash(row(5, "Is it open?", "Yes.")) == 11_273_268_236_354_979_380


def test_nearly_equal_rows_are_found_whatever_the_case_and_the_punctuation() -> None:
    text = words(1, 60)
    changed = [*text[:30], "another", *text[31:]]
    train = [
        row(1, " ".join(text).upper(), "!"),
        row(2, ", ".join(changed)),
        row(3, " ".join(words(2, 60))),
        row(4, " ".join([*text[:30], *words(3, 30)])),
    ]
    assert pairs(train, [row(10, " ".join(words(4, 60))), row(11, " ".join(text))]) == [
        (1, 11),
        (2, 11),
    ]


def test_chinese_is_compared_by_characters() -> None:
    text = (
        "订单满八十八元就免运费，不满的话要收八块钱，"
        "茶具的保修期是两年，没拆封的话三十天之内拿来就能退。"
    )
    train = [
        row(1, text.replace("两年", "三年")),
        row(2, "我们的吉祥物是一只叫团团的水獭，它住在钟楼站旁边的小店里。"),
    ]
    assert pairs(train, [row(9, text)]) == [(1, 9)]


def test_short_rows_must_be_equal() -> None:
    train = [row(1, "Thank you", "Sure"), row(2, "thank you", "Sure!"), row(3, "谢谢你", "不客气")]
    assert pairs(train, [row(9, "Thank you", "Sure"), row(8, "谢谢您", "不客气")]) == [(1, 9)]


def test_a_prompt_that_all_rows_share_makes_none_of_them_alike() -> None:
    system = Message(role="system", content=" ".join(words(0, 300)))
    task = " ".join(words(1, 60))
    rows = [
        Row(line=n, messages=(system, *row(n, task, " ".join(words(n + 10, 25))).messages))
        for n in range(1, 201)
    ]
    assert pairs(rows[:180], rows[180:]) == []
    again = rows[190].model_copy(update={"line": 500})
    assert pairs([*rows[:180], again], rows[180:]) == [(500, 191)]


def test_the_nearest_held_out_row_is_named_once_for_a_line() -> None:
    text = words(1, 100)
    made = Sketches()
    made.add(row(7, " ".join(text)), copies=3)
    held_out = sketches(
        row(1, " ".join([*text[:98], "x", "y"])),
        row(2, " ".join([*text[:99], "x"])),
        row(3, " ".join([*text[:95], "x", "y"])),
    )
    assert len(made) == 3
    assert list(near(made, held_out)) == [(7, 2)]


def test_sketches_are_saved_and_chosen_by_their_numbers(tmp_path: Path) -> None:
    made = sketches(*(row(n, " ".join(words(n, 30))) for n in range(1, 11)))
    made.save(tmp_path / "sketches.npz")
    again = Sketches.load(tmp_path / "sketches.npz")
    assert np.array_equal(again.values, made.values)
    assert list(near(again.of([0, 4]), made.of([4, 9]))) == [(5, 5)]
    assert list(near(Sketches(), made)) == list(near(made, Sketches())) == []


def test_sketches_do_not_depend_on_what_is_swept_together() -> None:
    rows = [row(n, " ".join(words(n, n % 400))) for n in range(1, 1_200)]
    together = sketches(*rows).values
    for n in (3, 17, 700, 1_198):
        alone = np.array(sketch(rows[n]), np.uint32)
        assert np.array_equal(together[n, : len(alone)], alone)
        assert len(alone) <= SKETCH_SIZE


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_text_has_a_sketch_and_equals_itself(texts: list[str]) -> None:
    rows = [row(n, text, "\ud800") for n, text in enumerate(texts, start=1)]
    found = pairs(rows, rows)
    assert [line for line, _ in found] == [each.line for each in rows]
    assert found == pairs(rows, rows)
    for line, twin in found:
        assert content_hash(rows[line - 1]) == content_hash(rows[twin - 1]) or sketch(
            rows[line - 1]
        )


def test_planted_near_duplicates_are_found_among_a_hundred_thousand() -> None:
    """Speed is printed, not asserted: machines differ."""
    texts = [words(n, 50) for n in range(2_000)]
    train, held_out = Sketches(), Sketches()
    for line in range(1, 100_001):
        if line <= 1_000:  # one word of fifty differs
            text = [*texts[line][:25], "other", *texts[line][26:]]
        else:
            start = line * 7 % 1_900
            text = [f"{word}{line}" for word in texts[start]]
        train.add(row(line, " ".join(text)))
    rows = [row(line + 1, " ".join(text)) for line, text in enumerate(texts)]
    started = time.process_time()
    for each in rows:
        held_out.add(each, key=-each.line % 2**64)
    assert (len(train), len(held_out)) == (100_000, 2_000)
    sketched = time.process_time() - started
    started = time.process_time()
    found = list(near(train, held_out))
    spent = time.process_time() - started
    sys.stdout.write(f"sketch {sketched * 500:.1f} µs a row, near {spent:.2f} s\n")
    assert all(twin == line + 1 and line <= 1_000 for line, twin in found)
    assert len(found) > 900
