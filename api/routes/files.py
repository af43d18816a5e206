"""Files: upload streamed into storage, list, look, read, report, delete."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api import datasets, quotas, storage
from api.db import transaction
from api.errors import BadRequest, TooLarge
from api.routes.door import InTenant, Who, listed, unix
from api.routes.multipart import Form, receive
from api.routes.shapes import files as shapes
from api.settings import settings
from api.tables import Dataset, own

router = APIRouter(prefix="/files", tags=["files"])

PURPOSES = ("fine-tune", "assistants", "batch", "vision", "user_data", "evals")


@router.post(
    "",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file", "purpose"],
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "purpose": {"type": "string", "enum": list(PURPOSES)},
                        },
                    }
                }
            },
        }
    },
)
async def upload_file(request: Request, actor: Who) -> shapes.File:
    """Store a file as it arrives; a worker then reads every row of it."""
    dataset_id = datasets.new_dataset_id()
    key = storage.dataset_key(actor.tenant_id, dataset_id)
    sink = storage.Upload(key)
    form = Form(request.headers.get("content-type", ""))
    try:
        most = settings().upload_bytes_max
        await receive(request, form, sink, bytes_max=most, refusal=_too_large())
        purpose = _checked(form, sink)
        await run_in_threadpool(sink.complete)
    except BaseException:
        await run_in_threadpool(sink.abort)
        raise

    def seal() -> shapes.File:
        with transaction(actor.tenant_id) as session:
            quotas.refuse_storage(session, actor.tenant_id, sink.size)
            return file_object(
                datasets.seal(
                    session,
                    dataset_id=dataset_id,
                    tenant_id=actor.tenant_id,
                    filename=plain_name(form.filename or ""),
                    purpose=purpose,
                    size=sink.size,
                    sha256=sink.sha256,
                )
            )

    try:
        return await run_in_threadpool(seal)
    except BaseException:
        await run_in_threadpool(storage.delete_prefix, key)
        raise


@router.get("")
def list_files(
    actor: Who,
    session: InTenant,
    after: str | None = None,
    limit: Annotated[int, Query(ge=0)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> shapes.FileList:
    limit = min(limit or 10_000, 10_000)
    found = datasets.page(
        session,
        actor.tenant_id,
        after=after,
        limit=limit,
        newest_first=order == "desc",
        purpose=purpose,
    )
    return listed([file_object(row) for row in found], limit)


@router.get("/{file_id}")
def retrieve_file(file_id: str, actor: Who, session: InTenant) -> shapes.File:
    return file_object(own(session, Dataset, file_id, tenant_id=actor.tenant_id))


@router.get("/{file_id}/content", response_class=StreamingResponse)
def download_file(file_id: str, actor: Who, session: InTenant) -> StreamingResponse:
    dataset = own(session, Dataset, file_id, tenant_id=actor.tenant_id)
    chunks = _started(storage.stream(storage.dataset_key(actor.tenant_id, file_id)))
    return StreamingResponse(
        chunks,
        media_type="application/octet-stream",
        headers={
            "content-length": str(dataset.bytes),
            "content-disposition": f'attachment; filename="{_ascii(dataset.filename)}"',
            "x-content-type-options": "nosniff",
        },
    )


@router.delete("/{file_id}")
def delete_file(file_id: str, actor: Who, session: InTenant) -> shapes.DeletedFile:
    datasets.delete(session, actor.tenant_id, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


def _too_large() -> TooLarge:
    return TooLarge(
        f"A file has at most {settings().upload_bytes_max:,} bytes (upload_bytes_max). "
        "Split it into several.",
        param="file",
    )


def _checked(form: Form, sink: storage.Upload) -> str:
    purpose = form.fields.get("purpose", "")
    if purpose not in PURPOSES:
        raise BadRequest(
            f"The purpose is {purpose!r}. Send one of {', '.join(PURPOSES)}; "
            '"fine-tune" for training data.',
            param="purpose",
        )
    if form.filename is None:
        raise BadRequest("There is no part named `file`.", param="file")
    if sink.size == 0:
        raise BadRequest("The file is empty.", code="empty_file", param="file")
    return purpose


def file_object(row: Dataset) -> shapes.File:
    report = row.report or {}
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": unix(row.created_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": cast("shapes.FileStatus", row.status),
        "status_details": report.get("fault"),
        "sha256": row.sha256,
        "form": report.get("form"),
        "kind": report.get("kind"),
        "rows": report.get("rows"),
        "good_rows": report.get("good"),
        "warned_rows": report.get("warned"),
        "repairable_rows": report.get("repairable"),
        "bad_rows": report.get("bad"),
    }


def plain_name(name: str) -> str:
    """The name is data only: no path, no control characters."""
    tail = re.split(r"[\\/]", name)[-1]
    return "".join(c for c in tail if c.isprintable())[:255] or "upload"


def _ascii(name: str) -> str:
    return "".join(c if c.isascii() and c not in '"\\' else "_" for c in name)


def _started(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Fetch the first chunk now, while a missing object can still be answered with an error."""
    first = next(chunks, b"")

    def all_chunks() -> Iterator[bytes]:
        yield first
        yield from chunks

    return all_chunks()
