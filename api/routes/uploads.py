"""Uploads in parts, on OpenAI's wire; beside it what has arrived, so that a browser can go on.

Of ours: a part may be sent with its `number` and `sha256`, `GET` lists the parts, and completing
may be asked for with the whole's `sha256`.
"""

from functools import partial
from typing import Annotated, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import storage, uploads
from api.db import transaction
from api.errors import BadRequest, Conflict, TooLarge, TuneryError
from api.routes.door import InTenant, Who, unix
from api.routes.files import file_object, plain_name
from api.routes.multipart import Form, receive
from api.routes.shapes import uploads as shapes
from api.settings import settings
from api.spec import Frozen
from api.tables import Dataset, Upload, UploadPart, own

router = APIRouter(prefix="/uploads", tags=["uploads"])

COMPLETED_AT_ONCE = 4
"""By one process: putting parts together takes as long as storage does, and a thread."""

Words = Annotated[str, Field(min_length=1, max_length=255)]


class ExpiresAfter(Frozen):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3_600, le=2_592_000)]


class NewUpload(Frozen):
    bytes: Annotated[int, Field(gt=0, lt=2**62)]
    filename: Words
    purpose: Literal["fine-tune", "assistants", "batch", "vision", "user_data", "evals"]
    mime_type: Words
    expires_after: ExpiresAfter | None = Field(
        default=None, description="accepted for OpenAI's clients; files are kept until deleted"
    )


class Completion(Frozen):
    part_ids: Annotated[list[Words], Field(min_length=1, max_length=uploads.PARTS_MAX)]
    md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None


@router.post("")
def create_upload(body: NewUpload, actor: Who, session: InTenant) -> shapes.Upload:
    """Say what will come. Refused here where it is too large or does not fit in storage."""
    row = uploads.start(
        session,
        actor.tenant_id,
        filename=plain_name(body.filename),
        purpose=body.purpose,
        mime_type=body.mime_type,
        size=body.bytes,
        created_by=actor.name,
    )
    session.refresh(row)
    return _upload(session, row)


@router.get("/{upload_id}")
def retrieve_upload(upload_id: str, actor: Who, session: InTenant) -> shapes.ReceivedUpload:
    """How far it is: the parts that have arrived need not be sent again."""
    row = own(session, Upload, upload_id, tenant_id=actor.tenant_id)
    parts = uploads.parts(session, row)
    return {
        **_upload(session, row),
        "received_bytes": sum(part.bytes for part in parts),
        "parts": [_part(part) for part in parts],
    }


@router.post(
    "/{upload_id}/parts",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["data"],
                        "properties": {
                            "number": {"type": "integer", "minimum": 1},
                            "sha256": {"type": "string"},
                            "data": {"type": "string", "format": "binary"},
                        },
                    }
                }
            },
        }
    },
)
async def add_upload_part(upload_id: str, request: Request, actor: Who) -> shapes.UploadPart:
    """Some bytes of the file. To send the same part again gives the same answer."""

    def refuse_early() -> None:
        with transaction(actor.tenant_id) as session:
            uploads.refuse_ended(own(session, Upload, upload_id, tenant_id=actor.tenant_id))

    await run_in_threadpool(refuse_early)
    form = Form(request.headers.get("content-type", ""), file="data")
    part_id, key = uploads.new_part(actor.tenant_id, upload_id)
    sink = storage.Upload(key)
    most = settings().received_part_bytes_max
    refusal = TooLarge(
        f"A part has at most {most:,} bytes (received_part_bytes_max). Send smaller ones.",
        param="data",
    )
    try:
        await receive(request, form, sink, bytes_max=most, refusal=refusal)
        number = _checked(form, sink)
        await run_in_threadpool(sink.complete)
    except BaseException:
        await run_in_threadpool(sink.abort)
        raise

    def add() -> shapes.UploadPart:
        with transaction(actor.tenant_id) as session:
            row = uploads.add_part(
                session,
                actor.tenant_id,
                upload_id,
                part_id=part_id,
                number=number,
                size=sink.size,
                sha256=sink.sha256,
            )
            return _part(row)

    try:
        part = await run_in_threadpool(add)
    except TuneryError as error:
        # Where it is not known whether the row is there, the bytes stay until the upload ends.
        if error.status < 500:
            await run_in_threadpool(storage.delete_prefix, key)
        raise
    if part["id"] != part_id:
        await run_in_threadpool(storage.delete_prefix, key)
    return part


@router.post("/{upload_id}/complete")
async def complete_upload(upload_id: str, body: Completion, actor: Who) -> shapes.Upload:
    """Make a file of the parts, in the order they are named. To ask for the same again is safe."""
    ask = partial(_complete, actor.tenant_id, upload_id, body)
    return await to_thread.run_sync(ask, limiter=_completing)


@router.post("/{upload_id}/cancel")
def cancel_upload(upload_id: str, actor: Who, session: InTenant) -> shapes.Upload:
    """Nothing comes of it; what has arrived is thrown away."""
    return _upload(session, uploads.cancel(session, actor.tenant_id, upload_id))


_completing = CapacityLimiter(COMPLETED_AT_ONCE)


def _complete(tenant_id: str, upload_id: str, body: Completion) -> shapes.Upload:
    with transaction(tenant_id) as session:
        claimed = uploads.claim(session, tenant_id, upload_id, part_ids=body.part_ids)
        if isinstance(claimed, Upload):
            return _upload(session, claimed)
    try:
        sha256 = uploads.put_together(claimed, sha256=body.sha256, md5=body.md5)
    except BaseException:
        uploads.discard(claimed)
        with transaction(tenant_id) as session:
            uploads.let_go(session, claimed)
        raise
    try:
        with transaction(tenant_id) as session:
            return _upload(session, uploads.seal(session, claimed, sha256=sha256))
    except Conflict:
        uploads.discard(claimed)
        raise
    except BaseException:
        # The commit may have come through all the same, so the bytes stay; if it has not, whoever
        # completes or sweeps the upload next removes them.
        with transaction(tenant_id) as session:
            uploads.end_lease(session, claimed)
        raise


def _checked(form: Form, sink: storage.Upload) -> int | None:
    """The part's number, where the client said one."""
    if form.filename is None:
        raise BadRequest("The form has no part named `data`.", param="data")
    if sink.size == 0:
        raise BadRequest("The part is empty.", code="empty_file", param="data")
    asked = form.fields.get("sha256", "")
    if asked and asked.lower() != sink.sha256:
        raise BadRequest(
            f"The bytes that arrived have the sha256 {sink.sha256}, not {asked[:64]}. Send the "
            "part again.",
            code="checksum_mismatch",
            param="sha256",
        )
    said = form.fields.get("number")
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and 1 <= int(said[:6]) <= uploads.PARTS_MAX):
        raise BadRequest(f"A part's number is 1 to {uploads.PARTS_MAX:,}.", param="number")
    return int(said)


def _upload(session: InTenant, row: Upload) -> shapes.Upload:
    file = session.get(Dataset, row.dataset_id) if row.dataset_id else None
    return {
        "id": row.id,
        "object": "upload",
        "bytes": row.bytes,
        "created_at": unix(row.created_at),
        "expires_at": unix(row.expires_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "mime_type": row.mime_type,
        "status": uploads.status(row),
        "file": file_object(file) if file and file.deleted_at is None else None,
    }


def _part(row: UploadPart) -> shapes.UploadPart:
    return {
        "id": row.id,
        "object": "upload.part",
        "created_at": unix(row.created_at),
        "upload_id": row.upload_id,
        "number": row.number,
        "bytes": row.bytes,
        "sha256": row.sha256,
    }
