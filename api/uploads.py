"""A large file's way in, in parts: start, add a part, put together, cancel; what is left behind.

Parts come in any order, each an object of its own, and one that is sent twice is one. Completing is
leased, since it takes as long as storage needs: `claim`, `put_together` outside any transaction,
then `seal` or `let_go`. Objects of an upload that has ended are removed by the sweep.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, cast

import orjson
import structlog
from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.orm import Session

from api import datasets, quotas, storage
from api.db import after_commit
from api.errors import BadRequest, Conflict, TooLarge, Unavailable
from api.settings import settings
from api.tables import Upload, UploadPart, new_id, own

log = structlog.get_logger()

Status = Literal["pending", "completed", "cancelled", "expired"]

PARTS_MAX = 10_000
UPLOADS_MAX = 100
"""Of one tenant at a time."""

SLOWEST_BYTES_PER_SECOND = 10 * 2**20
"""What storage manages at the very least when parts are put together; the lease hangs on it."""

SWEPT_AT_ONCE = 20
KEPT_DAYS = 30
"""So long one can still ask how an upload ended."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """An upload whose parts are being put together as the file `dataset_id`, in this order."""

    upload_id: str
    tenant_id: str
    dataset_id: str
    size: int
    pieces: tuple[tuple[str, int], ...]
    asked_hash: str

    @property
    def key(self) -> str:
        return storage.dataset_key(self.tenant_id, self.dataset_id)


def start(
    session: Session,
    tenant_id: str,
    *,
    filename: str,
    purpose: str,
    mime_type: str,
    size: int,
    created_by: str,
) -> Upload:
    """From here on its bytes count as stored. Raises TooLarge, BadRequest."""
    most = settings().resumable_upload_bytes_max
    if size > most:
        raise TooLarge(
            f"A file that is uploaded in parts has at most {most:,} bytes "
            f"(resumable_upload_bytes_max); this one has {size:,}. Split it into several.",
            param="bytes",
        )
    quotas.refuse_storage(session, tenant_id, size)
    mine = (Upload.tenant_id == tenant_id, Upload.status == "pending")
    if session.execute(select(func.count()).where(*mine)).scalar_one() >= UPLOADS_MAX:
        raise BadRequest(
            f"{UPLOADS_MAX} uploads are open, which is the most. Complete or cancel some.",
            code="uploads_max",
        )
    row = Upload(
        id=new_id("upload_"),
        tenant_id=tenant_id,
        created_by=created_by,
        filename=filename,
        purpose=purpose,
        mime_type=mime_type,
        bytes=size,
        status="pending",
        expires_at=datetime.now(UTC) + timedelta(hours=settings().upload_hours),
    )
    session.add(row)
    session.flush()
    return row


def parts(session: Session, upload: Upload) -> list[UploadPart]:
    """What has arrived: by number where the client numbered them, else as they came."""
    query = select(UploadPart).where(UploadPart.upload_id == upload.id)
    order = (UploadPart.number.asc().nulls_last(), UploadPart.created_at, UploadPart.id)
    return list(session.execute(query.order_by(*order)).scalars())


def status(upload: Upload) -> Status:
    """One whose time is over is expired, whether it was swept yet or not."""
    over = upload.status == "pending" and upload.expires_at <= datetime.now(UTC)
    return "expired" if over and not _leased(upload) else cast("Status", upload.status)


def refuse_ended(upload: Upload) -> None:
    """Raises BadRequest where nothing more can be done with it, Conflict where just not now."""
    found = status(upload)
    if found != "pending":
        raise BadRequest(
            f"The upload {upload.id!r} is {found}; start another one.", code="upload_not_pending"
        )
    if _leased(upload):
        raise Conflict(
            f"The upload {upload.id!r} is being completed. Ask for it until it is.",
            code="upload_completing",
            headers={"retry-after": "2"},
        )


def new_part(tenant_id: str, upload_id: str) -> tuple[str, str]:
    """An id, and the key that its bytes go to before there is a row."""
    part_id = new_id("part_")
    return part_id, storage.upload_prefix(tenant_id, upload_id) + part_id


def add_part(
    session: Session,
    tenant_id: str,
    upload_id: str,
    *,
    part_id: str,
    number: int | None,
    size: int,
    sha256: str,
) -> UploadPart:
    """A part whose bytes are in storage. The one that was there before where it is the same again,
    whose new object is then superfluous; other bytes under the same number take its place."""
    upload = own(session, Upload, upload_id, tenant_id=tenant_id, lock=True)
    refuse_ended(upload)
    there = parts(session, upload)
    before = [p for p in there if (p.number == number if number else p.sha256 == sha256)]
    if before and before[0].sha256 == sha256:
        return before[0]
    replaced = before if number else []
    total = sum(part.bytes for part in there) - sum(part.bytes for part in replaced) + size
    if total > upload.bytes:
        raise BadRequest(
            f"The parts have {total:,} bytes with this one; {upload.bytes:,} were declared. Cancel "
            "the upload and start it again with the right size.",
            code="upload_size_mismatch",
            param="data",
        )
    if len(there) >= PARTS_MAX:
        raise BadRequest(f"An upload has at most {PARTS_MAX:,} parts.", param="data")
    for part in replaced:
        session.delete(part)
        key = storage.upload_prefix(tenant_id, upload_id) + part.id
        after_commit(session, partial(storage.delete_prefix, key))
    session.flush()
    row = UploadPart(
        id=part_id,
        tenant_id=tenant_id,
        upload_id=upload_id,
        number=number,
        bytes=size,
        sha256=sha256,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def claim(
    session: Session, tenant_id: str, upload_id: str, *, part_ids: Sequence[str]
) -> Assembly | Upload:
    """The upload, leased to the caller; or the completed one, where the same was asked before."""
    upload = own(session, Upload, upload_id, tenant_id=tenant_id, lock=True)
    asked_hash = hashlib.sha256(orjson.dumps(list(part_ids))).hexdigest()
    if upload.status == "completed" and upload.completed_hash == asked_hash:
        return upload
    refuse_ended(upload)
    sizes = {part.id: part.bytes for part in parts(session, upload)}
    if unknown := [part_id for part_id in part_ids if part_id not in sizes]:
        raise BadRequest(
            f"These are no parts of this upload: {', '.join(unknown[:20])}.",
            code="unknown_parts",
            param="part_ids",
        )
    total = sum(sizes[part_id] for part_id in part_ids)
    if total != upload.bytes:
        raise BadRequest(
            f"The parts have {total:,} bytes together; {upload.bytes:,} were declared. Name every "
            "part, or send what is missing.",
            code="upload_size_mismatch",
            param="part_ids",
        )
    if upload.sealing_id is not None:  # who had the lease before died over it
        after_commit(session, partial(_remove_file, tenant_id, upload.sealing_id))
    prefix = storage.upload_prefix(tenant_id, upload_id)
    dataset_id = datasets.new_dataset_id()
    upload.sealing_id = dataset_id
    seconds = 60 + upload.bytes / SLOWEST_BYTES_PER_SECOND
    upload.lease_expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    session.flush()
    return Assembly(
        upload_id=upload_id,
        tenant_id=tenant_id,
        dataset_id=dataset_id,
        size=upload.bytes,
        pieces=tuple((prefix + part_id, sizes[part_id]) for part_id in part_ids),
        asked_hash=asked_hash,
    )


def put_together(assembly: Assembly, *, sha256: str | None, md5: str | None) -> str:
    """The file's bytes are in storage afterwards; its sha256. Raises BadRequest where a checksum
    is not the one that was asked for. No transaction."""
    whole = hashlib.sha256()
    wanted = [("sha256", sha256, whole)]
    if md5 is not None:
        wanted.append(("md5", md5, hashlib.md5(usedforsecurity=False)))

    def read(chunk: bytes) -> None:
        for _, _, digest in wanted:
            digest.update(chunk)

    storage.compose(assembly.key, assembly.pieces, read)
    for name, asked, digest in wanted:
        if asked is not None and asked.lower() != digest.hexdigest():
            raise BadRequest(
                f"The parts come to the {name} {digest.hexdigest()}, not {asked[:64]}: they are "
                "not the file, or not in its order.",
                code="checksum_mismatch",
                param=name,
            )
    return whole.hexdigest()


def seal(session: Session, assembly: Assembly, *, sha256: str) -> Upload:
    """The file is there and so is its row. Raises Conflict where the lease was lost meanwhile."""
    upload = own(session, Upload, assembly.upload_id, tenant_id=assembly.tenant_id, lock=True)
    if upload.status != "pending" or upload.sealing_id != assembly.dataset_id:
        raise Conflict(
            f"The upload {upload.id!r} was {status(upload)} by another request meanwhile.",
            code="upload_completing",
        )
    datasets.seal(
        session,
        dataset_id=assembly.dataset_id,
        tenant_id=assembly.tenant_id,
        filename=upload.filename,
        purpose=upload.purpose,
        size=assembly.size,
        sha256=sha256,
    )
    upload.status, upload.dataset_id = "completed", assembly.dataset_id
    upload.completed_hash = assembly.asked_hash
    upload.sealing_id = upload.lease_expires_at = None
    session.flush()
    return upload


def let_go(session: Session, assembly: Assembly) -> None:
    """It was not to be: the parts stay, and completing may be asked for again."""
    session.execute(
        update(Upload)
        .where(Upload.id == assembly.upload_id, Upload.sealing_id == assembly.dataset_id)
        .values(sealing_id=None, lease_expires_at=None)
    )


def end_lease(session: Session, assembly: Assembly) -> None:
    """Sealing broke, and nobody knows how far it came: the next one need not wait."""
    session.execute(
        update(Upload)
        .where(Upload.id == assembly.upload_id, Upload.sealing_id == assembly.dataset_id)
        .values(lease_expires_at=None)
    )


def discard(assembly: Assembly) -> None:
    """What was put together is not wanted. No transaction."""
    _remove_file(assembly.tenant_id, assembly.dataset_id)


def cancel(session: Session, tenant_id: str, upload_id: str) -> Upload:
    """Its parts go. To cancel again is no error."""
    upload = own(session, Upload, upload_id, tenant_id=tenant_id, lock=True)
    if upload.status != "cancelled":
        refuse_ended(upload)
        upload.status = "cancelled"
        session.flush()
    return upload


def sweep(session: Session) -> None:
    """End what expired, and remove from storage what belongs to no upload any more (system
    transaction). Where storage is away it is tried again with the next sweep."""
    idle = or_(Upload.lease_expires_at.is_(None), Upload.lease_expires_at < func.now())
    session.execute(
        update(Upload)
        .where(Upload.status == "pending", Upload.expires_at < func.now(), idle)
        .values(status="expired")
    )
    ended = (
        select(Upload)
        .where(Upload.cleared_at.is_(None), Upload.status != "pending")
        .limit(SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    for upload in session.execute(ended).scalars():
        try:
            _clear(session, upload)
        except Unavailable as error:
            log.warning("uploads.not_cleared", upload=upload.id, error=error.message)
            break
    old = func.now() - text(f"interval '{KEPT_DAYS} days'")
    session.execute(delete(Upload).where(Upload.cleared_at < old))


def _clear(session: Session, upload: Upload) -> None:
    prefix = storage.upload_prefix(upload.tenant_id, upload.id)
    storage.delete_prefix(prefix)
    storage.abort_unfinished(prefix)
    if upload.sealing_id is not None:
        _remove_file(upload.tenant_id, upload.sealing_id)
        upload.sealing_id = None
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
    upload.cleared_at = datetime.now(UTC)
    session.flush()


def _remove_file(tenant_id: str, dataset_id: str) -> None:
    """What a request that never sealed it left of a file."""
    prefix = storage.dataset_prefix(tenant_id, dataset_id)
    storage.delete_prefix(prefix)
    storage.abort_unfinished(prefix)


def _leased(upload: Upload) -> bool:
    return upload.lease_expires_at is not None and upload.lease_expires_at > datetime.now(UTC)
