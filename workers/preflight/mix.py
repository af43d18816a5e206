"""Encodings made of encodings: a mixture to train on, and what two of them have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workers.engine.encoded import Encoded, EncodedWriter, Rows
from workers.preflight.duplicates import Sketches, near

Strategy = Literal["concatenate", "interleave", "interleave_all"]
LEAKS_NAMED = 100


class MixError(ValueError):
    """These encodings cannot be mixed."""


def shares(rows: Sequence[int], weights: Sequence[float], strategy: Strategy) -> list[int]:
    """How many rows each file gives. `concatenate`: its weight times its rows. Else the weights are
    shares of the whole, which ends where the first file (`interleave`) or the last one
    (`interleave_all`) is used up."""
    if strategy == "concatenate":
        return [round(n * weight) for n, weight in zip(rows, weights, strict=True)]
    total = sum(weights)
    ends = [n * total / weight for n, weight in zip(rows, weights, strict=True) if n]
    whole = (min if strategy == "interleave" else max)(ends, default=0)
    return [round(whole * weight / total) for weight in weights]


def mix(
    paths: Sequence[Path],
    out: Path,
    *,
    weights: Sequence[float],
    strategy: Strategy,
    seed: int,
    metadata: dict[str, str],
) -> None:
    """Write the mixture. Whole passes over a file, then the rest drawn by a hash of content and
    seed, so that the same files give the same rows. Held-out rows stay held out, each once."""
    files = [Encoded.open(path) for path in paths]
    for name in ("template", "kind", "thinking"):
        found = sorted({file.metadata[name] for file in files})
        if len(found) > 1:
            raise MixError(f"the files differ in {name}: {', '.join(found)}")
    examples = [_examples(file, file.train_rows) for file in files]
    counts = shares([len(one) for one in examples], weights, strategy)
    known = {name: files[0].metadata[name] for name in ("template", "kind", "thinking")}
    with EncodedWriter(out, known | metadata) as writer:
        held_out: list[bool] = []
        for source, (file, own, count) in enumerate(zip(files, examples, counts, strict=True)):
            taken = np.sort(_taken(file, own, count, seed=seed))
            # A source's rows stay in the order of its lines, by which previews find them.
            parts = [(int(row), False) for example in taken for row in _sides(file, example)]
            parts += [(int(row), True) for row in file.held_out_rows]
            for row, held in sorted(parts):
                writer.add(
                    file.ids(row),
                    file.supervised(row),
                    int(file.lines[row]),
                    row_hash=int(file.row_hash[row]),
                    label=int(file.label[row]),
                    source=source,
                )
                held_out.append(held)
        writer.close(0.0, held_out=np.array(held_out, dtype=np.bool_))


def leakage(
    training: Sequence[tuple[Path, Sketches]], validation: tuple[Path, Sketches]
) -> dict[str, Any]:
    """Training rows that a validation row says too, exactly or nearly; the first ones by line."""
    other = Encoded.open(validation[0])
    # All of a validation file is evaluated on, whatever was held out of it.
    theirs = dict(zip(other.row_hash.tolist(), other.lines.tolist(), strict=True))
    counts = {"exact": 0, "near": 0}
    named: list[dict[str, int]] = []
    for number, (path, sketches) in enumerate(training):
        train = Encoded.open(path)
        rows = train.train_rows
        own = zip(train.row_hash[rows].tolist(), train.lines[rows].tolist(), strict=True)
        exact = {line: theirs[key] for key, line in own if key in theirs}
        pairs = near(sketches.of(rows), validation[1])
        close = {line: twin for line, twin in pairs if line not in exact}
        counts["exact"] += len(exact)
        counts["near"] += len(close)
        named += [
            {"file": number, "training": line, "validation": twin}
            for line, twin in sorted((exact | close).items())[:LEAKS_NAMED]
        ]
    return counts | {"lines": named[:LEAKS_NAMED]}


def _examples(file: Encoded, rows: Rows) -> Rows:
    """The first row of each example: a preference pair is two."""
    return rows[::2] if file.metadata["kind"] == "preference" else rows


def _sides(file: Encoded, example: int) -> range:
    return range(example, example + (2 if file.metadata["kind"] == "preference" else 1))


def _taken(file: Encoded, examples: Rows, count: int, *, seed: int) -> npt.NDArray[np.int64]:
    if not len(examples):
        return examples
    passes, rest = divmod(count, len(examples))
    order = np.argsort(_mixed(file.row_hash[examples], seed), kind="stable")
    return np.concatenate([np.tile(examples, passes), examples[order[:rest]]])


def _mixed(hashes: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Another order of the same rows for each seed (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = hashes + np.uint64(0x9E3779B97F4A7C15) * np.uint64(seed + 1)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
