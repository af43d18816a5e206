"""The encoded dataset: what the preview shows, the quote counts and the loop trains on.

One safetensors container of token ids, the loss mask and a record a row; written by streaming,
read by memory map. Numpy only, so a CPU worker needs no torch.

A row here is one sequence of tokens. A preference pair is two rows after one another, the chosen
and the rejected, with the same line and hash; `label` is 1 for what is chosen or praised, else 0.
`source` numbers the file a row comes from where several are mixed.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

FORMAT = "tunery.encoded.2"
HEADER_BYTES_MAX = 1 << 20
_BLOCK_ROWS = 4_096
HELD_OUT_ROWS_MIN = 10  # below this, a share of rows says nothing and costs training rows

_HASHES = 2.0**64

Rows = npt.NDArray[np.int64]

_DTYPES: dict[str, tuple[str, type[np.generic]]] = {
    "offsets": ("I64", np.int64),
    "lines": ("I64", np.int64),
    "row_hash": ("U64", np.uint64),
    "tokens": ("I32", np.int32),
    "supervised": ("U8", np.uint8),
    "held_out": ("U8", np.uint8),
    "label": ("U8", np.uint8),
    "source": ("U8", np.uint8),
}


class EncodedError(ValueError):
    """The file is not an encoded dataset, or a row cannot be put into one."""


class EncodedWriter:
    """Streams rows into an encoded dataset; the file appears, whole, on `close`."""

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self.path = path
        self.metadata = dict(metadata)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Tokens and mask go to disk as they come: a row costs 27 bytes of memory, however long.
        self._tokens: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
        self._supervised: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
        self._offsets = array("q", [0])
        self._lines = array("q")
        self._hashes = array("Q")
        self._learnable = bytearray()
        self._labels = bytearray()
        self._sources = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tokens.close()
        self._supervised.close()

    def add(
        self,
        ids: Sequence[int] | npt.NDArray[np.int32],
        supervised: Sequence[int] | bytes | npt.NDArray[np.uint8],
        line: int,
        *,
        row_hash: int | None = None,
        label: int = 1,
        source: int = 0,
    ) -> None:
        """Append a row. `row_hash` (64 bits, of what the row says) decides on which side of the
        split it stands; without one, the tokens' own."""
        if len(ids) != len(supervised):
            raise EncodedError(f"line {line}: {len(ids)} tokens with {len(supervised)} mask values")
        tokens = ids.tobytes() if isinstance(ids, np.ndarray) else array("i", ids).tobytes()
        mask = supervised if isinstance(supervised, bytes) else bytes(map(bool, supervised))
        self._tokens.write(tokens)
        self._supervised.write(mask)
        self._offsets.append(self._offsets[-1] + len(ids))
        self._lines.append(line)
        if row_hash is None:
            digest = hashlib.blake2b(tokens + mask, digest_size=8).digest()
            row_hash = int.from_bytes(digest, "little")
        self._hashes.append(row_hash)
        self._learnable.append(b"\x01" in mask[1:])
        self._labels.append(label)
        self._sources.append(source)

    def add_block(
        self,
        tokens: bytes,
        supervised: bytes | bytearray,
        sizes: "array[int]",
        *,
        lines: "array[int]",
        hashes: "array[int]",
        labels: bytes | bytearray,
    ) -> None:
        """Append many rows: their tokens (of 4 bytes) and masks joined, and of each how many there
        are. The arrays are of the types `i`, `q` and `Q`."""
        ends = np.cumsum(np.frombuffer(sizes, np.intc), dtype=np.int64)
        count = int(ends[-1]) if len(ends) else 0
        if len(tokens) != 4 * count or len(supervised) != count:
            raise EncodedError(f"{len(tokens)} bytes of tokens and {len(supervised)} mask values")
        learned = np.concatenate(([0], np.cumsum(np.frombuffer(supervised, np.uint8) != 0)))
        first = np.minimum(ends - np.frombuffer(sizes, np.intc) + 1, ends)
        self._tokens.write(tokens)
        self._supervised.write(supervised)
        self._offsets.frombytes((ends + self._offsets[-1]).tobytes())
        self._lines += lines
        self._hashes += hashes
        self._learnable += (learned[ends] > learned[first]).tobytes()
        self._labels += labels
        self._sources += bytes(len(ends))

    @property
    def rows(self) -> int:
        return len(self._lines)

    def close(
        self, held_out_share: float, *, held_out: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """Choose the held-out rows, then write the container beside the target and rename it."""
        hashes = np.array(self._hashes, dtype=np.uint64)
        if held_out is None:
            learnable = np.frombuffer(bytes(self._learnable), dtype=np.bool_)
            held_out = held_out_rows(hashes, learnable, held_out_share)
        small: dict[str, npt.NDArray[Any]] = {
            "offsets": np.array(self._offsets, dtype=np.int64),
            "lines": np.array(self._lines, dtype=np.int64),
            "row_hash": hashes,
            "held_out": held_out.astype(np.uint8),
            "label": np.frombuffer(bytes(self._labels), dtype=np.uint8),
            "source": np.frombuffer(bytes(self._sources), dtype=np.uint8),
        }
        self.metadata |= {"format": FORMAT, "held_out_share": repr(float(held_out_share))}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as out:
                out.write(_header(int(self._offsets[-1]), len(hashes), self.metadata))
                for name in _DTYPES:
                    self._write_tensor(out, name, small)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self.path)
            _sync_folder(self.path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            self._tokens.close()
            self._supervised.close()

    def _write_tensor(
        self, out: IO[bytes], name: str, small: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        if name in small:
            out.write(small[name].tobytes())
            return
        spilled = self._tokens if name == "tokens" else self._supervised
        spilled.seek(0)
        shutil.copyfileobj(spilled, out, 1 << 20)


class Encoded:
    """An encoded dataset, memory-mapped. Row numbers index every array here."""

    def __init__(
        self, path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str]
    ):
        self.path = path
        self.metadata = metadata
        self._tokens = arrays["tokens"]
        self._supervised = arrays["supervised"]
        self._offsets = arrays["offsets"]
        self.lines: Rows = arrays["lines"]
        self.row_hash: npt.NDArray[np.uint64] = arrays["row_hash"]
        self.label: npt.NDArray[np.uint8] = arrays["label"]
        self.source: npt.NDArray[np.uint8] = arrays["source"]
        self.lengths: Rows = np.diff(self._offsets)
        self._check()
        learnable = self._learnable_rows()
        held_out = arrays["held_out"] != 0
        self.train_rows: Rows = np.flatnonzero(learnable & ~held_out)
        self.held_out_rows: Rows = np.flatnonzero(learnable & held_out)
        self.unsupervised_rows: Rows = np.flatnonzero(~learnable)

    @classmethod
    def open(cls, path: Path) -> "Encoded":
        try:
            raw = np.memmap(path, dtype=np.uint8, mode="r")
        except ValueError as error:
            raise EncodedError(f"{path.name} is empty") from error
        header, body = _read_header(raw, path)
        metadata = header.pop("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise EncodedError(f"{path.name} is not a {FORMAT} file")
        return cls(path, {name: _view(raw, body, header, name) for name in _DTYPES}, metadata)

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def fingerprint(self) -> str:
        """What is trained: content and split, whatever the file is called."""
        digest = hashlib.sha256(json.dumps(self.metadata, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.row_hash).tobytes())
        digest.update(self.held_out_rows.tobytes())
        return digest.hexdigest()

    def ids(self, row: int) -> npt.NDArray[np.int32]:
        return self._tokens[self._offsets[row] : self._offsets[row + 1]]

    def supervised(self, row: int) -> npt.NDArray[np.uint8]:
        return self._supervised[self._offsets[row] : self._offsets[row + 1]]

    def tokens(self, rows: npt.ArrayLike) -> int:
        """Real tokens in these rows, prompts included: what an epoch over them trains and costs."""
        return int(self.lengths[np.asarray(rows, dtype=np.int64)].sum())

    def supervised_tokens(self, rows: npt.ArrayLike) -> int:
        """How many tokens of these rows are learned."""
        wanted = np.zeros(self.rows, dtype=np.bool_)
        wanted[np.asarray(rows, dtype=np.int64)] = True
        total = 0
        for first in range(0, self.rows, _BLOCK_ROWS):
            offsets = self._offsets[first : first + _BLOCK_ROWS + 1]
            learned = self._learned_before(offsets)
            counts = learned[offsets[1:] - offsets[0]] - learned[offsets[:-1] - offsets[0]]
            total += int(counts[wanted[first : first + len(counts)]].sum())
        return total

    def _learned_before(self, offsets: Rows) -> Rows:
        """Cumulated counts of learned tokens over a block of rows."""
        mask = self._supervised[offsets[0] : offsets[-1]]
        return np.concatenate(([0], np.cumsum(mask, dtype=np.int64)))

    def _learnable_rows(self) -> npt.NDArray[np.bool_]:
        """A row teaches something where a token after its first is supervised."""
        result = np.zeros(self.rows, dtype=np.bool_)
        for first in range(0, self.rows, _BLOCK_ROWS):  # memory stays flat in the number of tokens
            offsets = self._offsets[first : first + _BLOCK_ROWS + 1]
            learned = self._learned_before(offsets)
            ends = offsets[1:] - offsets[0]
            starts = np.minimum(offsets[:-1] - offsets[0] + 1, ends)
            result[first : first + len(ends)] = learned[ends] > learned[starts]
        return result

    def _check(self) -> None:
        sound = (
            len(self._offsets) == len(self.lines) + 1
            and len(self.row_hash) == len(self.lines)
            and len(self.label) == len(self.source) == len(self.lines)
            and len(self._supervised) == len(self._tokens)
            and self._offsets[0] == 0
            and self._offsets[-1] == len(self._tokens)
            and bool((self.lengths >= 0).all())
        )
        if not sound:
            raise EncodedError(f"{self.path.name}: row offsets do not fit the tokens")


def held_out_rows(
    hashes: npt.NDArray[np.uint64], learnable: npt.NDArray[np.bool_], share: float
) -> npt.NDArray[np.bool_]:
    """The split: a row is held out where its hash falls into the first `share` of all hashes.

    So twins stand on the same side, and where a file grows or comes again no row changes sides.
    Of HELD_OUT_ROWS_MIN rows or more at least one is held out, and never all of them.
    """
    nobody = np.zeros(len(hashes), dtype=np.bool_)
    candidates = hashes[learnable]
    if share <= 0 or not len(candidates):
        return nobody
    held_out: npt.NDArray[np.bool_] = learnable & (hashes < np.uint64(share * _HASHES))
    if not held_out.any() and len(candidates) >= HELD_OUT_ROWS_MIN:
        held_out = learnable & (hashes == candidates.min())
    if held_out.sum() == len(candidates):
        held_out = learnable & (hashes == candidates.min()) & (candidates.min() != candidates.max())
    return held_out


def _header(tokens: int, rows: int, metadata: Mapping[str, str]) -> bytes:
    lengths = {"tokens": tokens, "supervised": tokens, "offsets": rows + 1}
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, (code, dtype) in _DTYPES.items():
        length = lengths.get(name, rows)
        begin, end = end, end + length * np.dtype(dtype).itemsize
        entries[name] = {"dtype": code, "shape": [length], "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_BYTES_MAX:
        raise EncodedError(f"metadata of {len(text)} bytes is more than {HEADER_BYTES_MAX}")
    return struct.pack("<Q", len(text)) + text


def _read_header(raw: npt.NDArray[np.uint8], path: Path) -> tuple[dict[str, Any], int]:
    if len(raw) < 8:
        raise EncodedError(f"{path.name} is too short")
    (length,) = struct.unpack("<Q", raw[:8].tobytes())
    if length > min(HEADER_BYTES_MAX, len(raw) - 8):
        raise EncodedError(f"{path.name} has a header of {length} bytes")
    try:
        header = json.loads(raw[8 : 8 + length].tobytes())
    except ValueError as error:
        raise EncodedError(f"{path.name} has an unreadable header") from error
    if not isinstance(header, dict):
        raise EncodedError(f"{path.name} has an unreadable header")
    return header, 8 + length


def _view(
    raw: npt.NDArray[np.uint8], body: int, header: Mapping[str, Any], name: str
) -> npt.NDArray[Any]:
    code, dtype = _DTYPES[name]
    try:
        entry = header[name]
        begin, end = entry["data_offsets"]
        sound = entry["dtype"] == code and 0 <= begin <= end <= len(raw) - body
        array = raw[body + begin : body + end].view(np.ndarray).view(dtype)
    except (KeyError, TypeError, ValueError) as error:
        raise EncodedError(f"tensor {name} is missing or malformed") from error
    if not sound or entry["shape"] != [len(array)]:
        raise EncodedError(f"tensor {name} is missing or malformed")
    return array


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
