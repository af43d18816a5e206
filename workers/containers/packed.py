"""What an upload is packed in: gzip and zip, unpacked by streaming under two limits.

Nothing is extracted to disk and no name from an archive is ever used as a path. The limits count
what really comes out, whatever an archive declares.
"""

import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from api.rows.words import ProblemCode
from api.settings import MIB, Settings
from workers.containers.raw import Broken

_BLOCK = 1 << 16
_RATIO_FROM = 16 * MIB
_DIRECTORY_BYTES_MAX = 1 * MIB  # a zip's list of files: some ten thousand names
_EXTRA_BYTES_MAX = 1 * MIB
_EXTRA = "dataset_info.json"


class _Meter:
    """Counts what goes in and what comes out, and ends a bomb."""

    def __init__(self, limits: Settings) -> None:
        self.packed = self._unpacked = 0
        self._bytes_max = limits.unpacked_bytes_max
        self._ratio_max = limits.unpacked_ratio_max

    def passed(self, data: bytes) -> bytes:
        self._unpacked += len(data)
        if self._unpacked > self._bytes_max:
            most = f"{self._bytes_max:,} bytes (unpacked_bytes_max)"
            says = f"The file unpacks to more than {most}. Split it."
            raise Broken(ProblemCode.UNPACKED_TOO_LARGE, says)
        if self._unpacked > max(_RATIO_FROM, self._ratio_max * self.packed):
            most = f"{self._ratio_max} times its size (unpacked_ratio_max)"
            says = f"The file unpacks to more than {most}, as no dataset does. Upload it unpacked."
            raise Broken(ProblemCode.UNPACKED_TOO_LARGE, says)
        return data


def gunzip(chunks: Iterable[bytes], limits: Settings) -> Iterator[bytes]:
    """The bytes inside, of all members. Raises Broken after what could still be unpacked."""
    meter = _Meter(limits)
    inflater = zlib.decompressobj(wbits=31)
    members = 1
    for block in _blocks(chunks):
        meter.packed += len(block)
        left = block
        while left:
            if inflater.eof:
                left = left.lstrip(b"\0")  # padding, as tapes have it
                if not left:
                    break
                members += 1
                if members > 10_000 and meter.packed < 64 * members:
                    raise _bad("The gzip file is made of too many tiny pieces. Pack it as one.")
                inflater = zlib.decompressobj(wbits=31)
            for piece in _inflated(inflater, left):
                yield meter.passed(piece)
            left = inflater.unused_data
    if not inflater.eof:
        raise _torn()


def spool(chunks: Iterable[bytes], scratch: Path | None) -> IO[bytes]:
    """The bytes in an unnamed file, which the system removes when it is closed."""
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the caller closes it
    try:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def opened(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip whose list of files is not too long to hold."""
    try:
        return zipfile.ZipFile(_Bounded(file))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        says = f"The zip archive is damaged or cut off ({error}). Upload it again."
        raise _bad(says) from error


def chosen(archive: zipfile.ZipFile) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo | None]:
    """The one data file, and the `dataset_info.json` beside it."""
    data: list[zipfile.ZipInfo] = []
    extra: zipfile.ZipInfo | None = None
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        climbs = ".." in path.parts or path.is_absolute() or "\\" in info.filename
        if climbs or info.filename[1:2] == ":":
            says = f"The zip holds a name that leads out of it: {info.filename[:80]!r}."
            raise _bad(f"{says} Pack it again, with plain names.")
        if path.name == _EXTRA:
            extra = info
        elif not (info.is_dir() or _beside(path)):
            data.append(info)
    if not data:
        says = "The zip holds no data file. Put one file with rows into it."
        raise Broken(ProblemCode.EMPTY_FILE, says)
    if len(data) > 1:
        names = ", ".join(repr(info.filename[:80]) for info in data[:10])
        says = f"The zip holds {len(data)} data files: {names}."
        raise _bad(f"{says} Upload them one by one and mix them in the job.")
    return data[0], extra


def member(file: IO[bytes], info: zipfile.ZipInfo, limits: Settings) -> Iterator[bytes]:
    """The bytes of one file in the zip. Raises Broken after what could still be unpacked."""
    if info.flag_bits & 1:
        raise _bad("The zip is encrypted. Pack it again without a password.")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _bad("The zip is compressed in a way we do not read. Use deflate, as most tools do.")
    left = info.compress_size
    crc = 0
    meter = _Meter(limits)
    inflater = zlib.decompressobj(wbits=-15) if info.compress_type else None
    _seek(file, info)
    while left and not (inflater and inflater.eof):
        block = file.read(min(left, _BLOCK))
        if not block:
            raise _torn()
        left -= len(block)
        meter.packed += len(block)
        for piece in _inflated(inflater, block) if inflater else (block,):
            crc = zlib.crc32(piece, crc)
            yield meter.passed(piece)
    if inflater and not inflater.eof:
        raise _torn()
    if crc != info.CRC:
        raise _bad("The archive is damaged: its checksum is wrong. Upload it again.")


def small(file: IO[bytes], info: zipfile.ZipInfo, limits: Settings) -> bytes | None:
    """The first bytes of a file that lies beside the data; None where it is too large."""
    found = bytearray()
    for piece in member(file, info, limits):
        found += piece
        if len(found) > _EXTRA_BYTES_MAX:
            return None
    return bytes(found)


def _seek(file: IO[bytes], info: zipfile.ZipInfo) -> None:
    """To the first byte of a member's data, past the header that repeats its name."""
    if info.header_offset < 0:
        raise _torn()
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise _torn()
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(names, 1)


def _beside(path: PurePosixPath) -> bool:
    """Files that come along and hold no rows."""
    hidden = path.parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in path.parts)
    return hidden or path.name.upper().startswith(("README", "LICENSE"))


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in even blocks, so that what a defect costs is the same for all chunkings."""
    held = bytearray()
    for chunk in chunks:
        for start in range(0, len(chunk), _BLOCK):
            held += chunk[start : start + _BLOCK]
            if len(held) >= _BLOCK:
                yield bytes(held[:_BLOCK])
                del held[:_BLOCK]
    if held:
        yield bytes(held)


def _inflated(inflater: "zlib._Decompress", block: bytes) -> Iterator[bytes]:
    """What a block unpacks to, in pieces. Where it is damaged, up to the damaged byte."""
    while True:
        before = inflater.copy()
        try:
            piece = inflater.decompress(block, _BLOCK)
        except zlib.error as error:
            yield _salvaged(before, block)
            says = f"The archive is damaged or cut off ({error}). Upload it again."
            raise _bad(says) from error
        if piece:
            yield piece
        block = inflater.unconsumed_tail
        if inflater.eof or (not block and len(piece) < _BLOCK):
            return


def _salvaged(inflater: "zlib._Decompress", block: bytes) -> bytes:
    out = bytearray()
    try:
        for at in range(len(block)):
            out += inflater.decompress(block[at : at + 1])
    except zlib.error:
        return bytes(out)
    return bytes(out)


def broken(error: Broken) -> Iterator[bytes]:
    """The rest of a file whose rest cannot be read."""
    yield from ()
    raise error


def _bad(message: str) -> Broken:
    return Broken(ProblemCode.BAD_ARCHIVE, message)


def _torn() -> Broken:
    return _bad("The archive is cut off before its end. Upload it again.")


class _Bounded:
    """A file for zipfile, which would read a list of files of any length at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        most = _DIRECTORY_BYTES_MAX
        data = self._file.read(size if 0 <= size <= most else most + 1)
        if len(data) > most:
            raise _bad("The zip lists too many files, or is damaged. Put one data file into it.")
        return data
