"""The encoded dataset: what goes in comes out, and the split follows content alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tests.workers.engine.conftest import random_rows
from workers.engine.encoded import Encoded, EncodedError, EncodedWriter

Write = Callable[..., Path]

_rows = st.lists(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 1)), max_size=6), max_size=40
)
_quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_quick
@given(_rows, st.sampled_from([0.0, 0.1, 0.5]))
def test_what_is_written_is_read(
    write_data: Write, rows: list[list[tuple[int, int]]], share: float
) -> None:
    pairs = [([token for token, _ in row], [mask for _, mask in row]) for row in rows]
    data = Encoded.open(write_data(pairs, share=share))
    assert data.rows == len(rows)
    for number, (ids, supervised) in enumerate(pairs):
        assert data.ids(number).tolist() == ids
        assert data.supervised(number).tolist() == supervised
        assert data.lines[number] == number + 1
        assert data.lengths[number] == len(ids)
    assert data.tokens(np.arange(data.rows)) == sum(len(ids) for ids, _ in pairs)


@_quick
@given(_rows, st.sampled_from([0.0, 0.1, 0.5]))
def test_the_split_takes_every_learnable_row_once_and_never_all(
    write_data: Write, rows: list[list[tuple[int, int]]], share: float
) -> None:
    pairs = [([token for token, _ in row], [mask for _, mask in row]) for row in rows]
    data = Encoded.open(write_data(pairs, share=share))
    parts = [data.train_rows, data.held_out_rows, data.unsupervised_rows]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    learnable = [n for n, (_, mask) in enumerate(pairs) if any(mask[1:])]
    assert sorted(np.concatenate(parts[:2]).tolist()) == learnable
    assert len(data.train_rows) or not learnable
    train, held_out = (set(data.row_hash[part].tolist()) for part in parts[:2])
    assert not train & held_out, "a row and its twin stand on both sides"


def test_a_share_of_enough_rows_is_held_out(write_data: Write) -> None:
    data = Encoded.open(write_data(random_rows(2_000), share=0.1))
    assert 150 < len(data.held_out_rows) < 250


def test_no_row_changes_sides_when_a_file_grows(write_data: Write) -> None:
    rows = random_rows(300)
    one = Encoded.open(write_data(rows[:100], share=0.2, name="one"))
    all_ = Encoded.open(write_data(rows, share=0.2, name="all"))
    before = set(one.row_hash[one.held_out_rows].tolist())
    assert before == set(all_.row_hash[all_.held_out_rows].tolist()) & set(one.row_hash.tolist())


def test_labels_sources_and_a_given_hash_travel(tmp_path: Path) -> None:
    path = tmp_path / "pairs.safetensors"
    hashes = {line: (line << 58) % 2**64 for line in range(1, 41)}
    with EncodedWriter(path, {"kind": "preference"}) as writer:
        for line, key in hashes.items():
            for label in (1, 0):
                writer.add([line, 7], [0, 1], line, row_hash=key, label=label, source=3)
        writer.close(0.5)
    data = Encoded.open(path)
    assert data.label.tolist() == [1, 0] * 40
    assert set(data.source.tolist()) == {3}
    assert data.held_out_rows.tolist() == [n for n in range(80) if hashes[n // 2 + 1] < 2**63]


def test_the_split_does_not_depend_on_the_order_of_rows(write_data: Write) -> None:
    rows = random_rows(60)
    one = Encoded.open(write_data(rows, share=0.2, name="one"))
    other = Encoded.open(write_data(rows[::-1], share=0.2, name="other"))
    assert set(one.row_hash[one.held_out_rows]) == set(other.row_hash[other.held_out_rows])


def test_the_file_is_plain_safetensors(write_data: Write) -> None:
    path = write_data(random_rows(20), share=0.1)
    tensors = load_file(path)
    assert {name: str(tensor.dtype) for name, tensor in tensors.items()} == {
        "tokens": "int32",
        "supervised": "uint8",
        "offsets": "int64",
        "lines": "int64",
        "row_hash": "uint64",
        "held_out": "uint8",
        "label": "uint8",
        "source": "uint8",
    }


def test_nothing_appears_before_close(tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    with EncodedWriter(path, {}) as writer:
        writer.add([1, 2], [0, 1], 1)
    assert list(tmp_path.iterdir()) == []


def test_metadata_travels(tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    with EncodedWriter(path, {"cutoff_len": "64"}) as writer:
        writer.close(0.25)
    assert Encoded.open(path).metadata["cutoff_len"] == "64"
    assert Encoded.open(path).metadata["held_out_share"] == "0.25"


@pytest.mark.parametrize("cut", [0, 5, 200, -1])
def test_a_cut_file_is_refused(write_data: Write, cut: int) -> None:
    path = write_data(random_rows(5))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(EncodedError):
        Encoded.open(path)


def test_a_mask_of_another_length_is_refused(tmp_path: Path) -> None:
    with EncodedWriter(tmp_path / "x.safetensors", {}) as writer, pytest.raises(EncodedError):
        writer.add([1, 2], [1], 1)
