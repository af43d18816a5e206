"""S3: key names, put, get, presign, delete. The only file that knows boto3.

Every object of a tenant lives under `tenants/{tenant}/`, so one prefix is one tenant's data; base
models that the operator mirrors live under `models/`.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from api.errors import NotFound, Unavailable
from api.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


COPIED_BYTES_MIN = 5 * 2**20
"""S3 takes no smaller part but the last."""

COPIES_AT_ONCE = 4


class Damaged(Exception):
    """A file's bytes are not what its hash says."""


def dataset_prefix(tenant_id: str, dataset_id: str) -> str:
    return f"tenants/{tenant_id}/datasets/{dataset_id}/"


def dataset_key(tenant_id: str, dataset_id: str) -> str:
    return dataset_prefix(tenant_id, dataset_id) + "source"


def upload_prefix(tenant_id: str, upload_id: str) -> str:
    """The parts of a file that is still coming."""
    return f"tenants/{tenant_id}/uploads/{upload_id}/"


def findings_key(prefix: str) -> str:
    """Beside a dataset's bytes and beside an encoding: every finding, as CSV."""
    return prefix + "findings.csv"


def pieces_key(template: str) -> str:
    """The bytes that each token id of a tokenizer stands for; `template` is its fingerprint."""
    return f"tokenizers/{template}.json"


def encoding_prefix(tenant_id: str, encoding_id: str) -> str:
    return f"tenants/{tenant_id}/encodings/{encoding_id}/"


def checkpoint_prefix(tenant_id: str, job_id: str, *, attempt: int, step: int) -> str:
    """The attempt is part of the name, so a zombie can never write into its successor's files."""
    return f"tenants/{tenant_id}/jobs/{job_id}/{attempt}/step-{step}/"


HELD_OUT = "held_out.json"
"""Beside an encoding: some rows that are never trained on, as messages."""


def adapter_prefix(tenant_id: str, adapter_id: str) -> str:
    return f"tenants/{tenant_id}/adapters/{adapter_id}/"


def ensure_bucket() -> None:
    """Make the bucket where it is missing; on a hosted S3 it is there already."""
    with _refusals(settings().s3_bucket):
        try:
            _client().head_bucket(Bucket=settings().s3_bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            _client().create_bucket(Bucket=settings().s3_bucket)


def put(
    key: str, data: bytes | BinaryIO, *, content_type: str = "application/octet-stream"
) -> None:
    with _refusals(key):
        _client().put_object(
            Bucket=settings().s3_bucket, Key=key, Body=data, ContentType=content_type
        )


def put_file(key: str, path: Path) -> str:
    """Upload a local file, in parts where it is large. Returns its sha256."""
    with _refusals(key):
        _client().upload_file(str(path), settings().s3_bucket, key)
    return sha256_of(path)


def get(key: str) -> bytes:
    with _refusals(key):
        body = _client().get_object(Bucket=settings().s3_bucket, Key=key)["Body"]
        return body.read()


def get_range(key: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of an object."""
    if end <= start:
        return b""
    with _refusals(key):
        body = _client().get_object(
            Bucket=settings().s3_bucket, Key=key, Range=f"bytes={start}-{end - 1}"
        )["Body"]
        return body.read()


def exists(key: str) -> bool:
    return next(keys(key), None) == key


def json_bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def get_json(key: str) -> Any:
    return orjson.loads(get(key))


def stream(key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
    """The object's bytes, a chunk at a time."""
    with _refusals(key):
        body = _client().get_object(Bucket=settings().s3_bucket, Key=key)["Body"]
        yield from body.iter_chunks(chunk_bytes)


def get_file(key: str, path: Path, *, sha256: str | None = None) -> None:
    """Download to `path`; what was cut off or is Damaged never has that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _refusals(key):
            _client().download_file(settings().s3_bucket, key, str(partial))
        if sha256 is not None and sha256_of(partial) != sha256:
            raise Damaged(key)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def keys(prefix: str) -> Iterator[str]:
    with _refusals(prefix):
        pages = _client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=settings().s3_bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"]


def delete_prefix(prefix: str) -> None:
    """Delete every object whose key starts with `prefix`; nothing there is no error."""
    batch = list(keys(prefix))
    with _refusals(prefix):
        for start in range(0, len(batch), 1000):
            objects = [{"Key": key} for key in batch[start : start + 1000]]
            _client().delete_objects(
                Bucket=settings().s3_bucket,
                Delete={"Objects": objects, "Quiet": True},  # type: ignore[typeddict-item]
            )


def abort_unfinished(prefix: str) -> None:
    """Forget the sent parts of objects that were never completed, as a process that died left."""
    bucket = settings().s3_bucket
    with _refusals(prefix):
        pages = _client().get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Uploads", []):
                _client().abort_multipart_upload(
                    Bucket=bucket, Key=found["Key"], UploadId=found["UploadId"]
                )


def compose(key: str, pieces: Sequence[tuple[str, int]], read: Callable[[bytes], object]) -> None:
    """Make one object of others (key and size), in their order, and `read` all of its bytes on the
    way. It appears whole or not at all.

    S3 copies the pieces itself where they are large enough; else the bytes are sent again.
    """
    if all(size >= COPIED_BYTES_MIN for _, size in pieces[:-1]):
        _compose_by_copying(key, [piece for piece, _ in pieces], read)
        return
    sink = Upload(key)
    try:
        for piece, _ in pieces:
            for chunk in stream(piece):
                read(chunk)
                sink.write(chunk)
        sink.complete()
    except BaseException:
        sink.abort()
        raise


def _compose_by_copying(key: str, pieces: Sequence[str], read: Callable[[bytes], object]) -> None:
    bucket = settings().s3_bucket
    with _refusals(key):
        upload_id = _client().create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def copy(number: int) -> "CompletedPartTypeDef":
        copied = _client().upload_part_copy(
            Bucket=bucket,
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": pieces[number - 1]},
        )
        return {"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]}

    pool = ThreadPoolExecutor(COPIES_AT_ONCE)
    try:
        copies = [pool.submit(copy, number) for number in range(1, len(pieces) + 1)]
        for piece in pieces:
            for chunk in stream(piece):
                read(chunk)
        with _refusals(key):
            _client().complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": [each.result() for each in copies]},
            )
    except BaseException:
        pool.shutdown(cancel_futures=True)
        with _refusals(key):
            _client().abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        raise
    finally:
        pool.shutdown()


def presign_get(key: str, *, filename: str) -> str:
    """A link that downloads the object as `filename` for `presign_seconds`."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in filename)
    return _public_client().generate_presigned_url(
        "get_object",
        Params={
            "Bucket": settings().s3_bucket,
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{safe}"',
        },
        ExpiresIn=settings().presign_seconds,
    )


class Upload:
    """A streamed upload: bytes go in, parts go out, and the object appears whole or not at all.

    At most one part is held in memory. `size` and `sha256` are of what was written so far.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.size = 0
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)
        self._buffer += data
        if len(self._buffer) >= settings().upload_part_bytes:
            self._send_part()

    def complete(self) -> None:
        """The object exists from here on."""
        if self._upload_id is None:
            put(self.key, bytes(self._buffer))
            return
        if self._buffer:
            self._send_part()
        with _refusals(self.key):
            _client().complete_multipart_upload(
                Bucket=settings().s3_bucket,
                Key=self.key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
            )

    def abort(self) -> None:
        """Forget every part that was sent."""
        if self._upload_id is not None:
            with _refusals(self.key):
                _client().abort_multipart_upload(
                    Bucket=settings().s3_bucket, Key=self.key, UploadId=self._upload_id
                )

    def _send_part(self) -> None:
        with _refusals(self.key):
            if self._upload_id is None:
                started = _client().create_multipart_upload(
                    Bucket=settings().s3_bucket, Key=self.key
                )
                self._upload_id = started["UploadId"]
            number = len(self._parts) + 1
            sent = _client().upload_part(
                Bucket=settings().s3_bucket,
                Key=self.key,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=bytes(self._buffer),
            )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._buffer.clear()


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_client(endpoint: str) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings().s3_region,
        aws_access_key_id=settings().s3_access_key or None,
        aws_secret_access_key=settings().s3_secret_key.get_secret_value() or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=3,
            read_timeout=60,
        ),
    )


@lru_cache
def _client() -> "S3Client":
    return _make_client(settings().s3_endpoint)


@lru_cache
def _public_client() -> "S3Client":
    return _make_client(settings().s3_public_endpoint or settings().s3_endpoint)


@contextmanager
def _refusals(key: str) -> Iterator[None]:
    """boto's errors in our words: not there, or not reachable."""
    try:
        yield
    except ClientError as error:
        code = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code == 404:
            raise NotFound(f"There is no object {key!r} in storage.") from error
        if code < 500 and code not in (408, 429):
            raise
        raise Unavailable("Object storage refused for now; try again shortly.") from error
    except BotoCoreError as error:
        raise Unavailable("Object storage cannot be reached; try again shortly.") from error
