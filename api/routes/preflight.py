"""What a file holds, beyond OpenAI's files: report, findings, how it is read, rows as tokens."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import datasets, encodings, previews, storage
from api.catalog import base_model
from api.encodings import FileRecipe
from api.errors import BadRequest, NotFound
from api.routes.door import InTenant, Who
from api.routes.shapes import files as shapes
from api.rows import REPAIRS, MappingError, ProblemCode, check_mapping, read_dataset_info
from api.settings import settings
from api.spec import Frozen
from api.tables import Dataset, Encoding, own
from api.tenants import Actor

router = APIRouter(prefix="/files", tags=["files"])

EncodingId = Annotated[str | None, Query(description="else the file's default encoding")]


class ReadingBody(Frozen):
    """How a file is to be read. `mapping` is ours (`api.rows.Mapping`) or LLaMA-Factory's
    `dataset_info.json`, whole or one entry; `entry` names one of several."""

    mapping: dict[str, Any] | None = None
    entry: str | None = None
    repairs: list[ProblemCode] | None = Field(
        default=None, description="codes of the repairs that are accepted, from now on these"
    )
    accept_all_repairs: bool = False


@router.get("/{file_id}/report")
def file_report(
    file_id: str, actor: Who, session: InTenant, encoding_id: EncodingId = None
) -> shapes.Report:
    """What inspection found, and what a base model makes of the rows: counts, histograms, what each
    cutoff would lose, and the first findings by line (all of them: `/findings`)."""
    dataset = own(session, Dataset, file_id, tenant_id=actor.tenant_id)
    encoding = _encoding(session, actor, dataset, encoding_id)
    body = dict(encoding.report or {}) if encoding else None
    if body is not None:
        body.pop("key", None)
    found = {
        "object": "file.report",
        "file_id": file_id,
        "status": dataset.status,
        "progress": dataset.progress,
        "mapping": dataset.mapping,
        "repairs": dataset.repairs,
        "report": dataset.report,
        "encoding": {
            "id": encoding.id,
            "status": encoding.status,
            "recipe": encoding.recipe,
            "report": body,
        }
        if encoding
        else None,
    }
    return cast("shapes.Report", found)


@router.post("/{file_id}/reading")
def read_file_as(
    file_id: str, actor: Who, session: InTenant, body: ReadingBody | None = None
) -> shapes.Report:
    """Correct the columns and roles of a file, or accept repairs. It is read again where the
    mapping changed; answers like `/report`."""
    dataset = own(session, Dataset, file_id, tenant_id=actor.tenant_id)
    body = body or ReadingBody()
    try:
        mapping = None
        if body.mapping is not None:
            mapping = (
                read_dataset_info(body.mapping, filename=dataset.filename, entry=body.entry)
                if body.entry is not None
                else check_mapping(body.mapping)
            )
    except MappingError as error:
        raise BadRequest(
            " ".join(error.problems), code="invalid_mapping", param="mapping"
        ) from error
    repairs = list(REPAIRS) if body.accept_all_repairs else body.repairs
    if unknown := sorted(set(repairs or ()) - REPAIRS):
        raise BadRequest(
            f"{', '.join(unknown)}: no repairs. There are: {', '.join(sorted(REPAIRS))}.",
            param="repairs",
        )
    datasets.read_as(session, actor.tenant_id, file_id, mapping=mapping, repairs=repairs)
    session.flush()
    return file_report(file_id, actor, session)


@router.get("/{file_id}/findings", response_class=StreamingResponse)
def file_findings(
    file_id: str, actor: Who, session: InTenant, encoding_id: EncodingId = None
) -> StreamingResponse:
    """Every finding as CSV: line, verdict, code, field, message. First those of the file, then what
    a base model makes of its rows."""
    dataset = own(session, Dataset, file_id, tenant_id=actor.tenant_id)
    if dataset.status == "uploaded":
        raise NotFound(f"{file_id} is still being read. Ask again shortly.")
    prefixes = [storage.dataset_prefix(actor.tenant_id, file_id)]
    encoding = _encoding(session, actor, dataset, encoding_id)
    if encoding is not None and encoding.status != "pending":
        prefixes.append(storage.encoding_prefix(actor.tenant_id, encoding.id))
    found = [key for prefix in prefixes if storage.exists(key := storage.findings_key(prefix))]
    name = "".join(
        c if (c.isascii() and c.isalnum()) or c in "-_." else "_" for c in dataset.filename
    )
    return StreamingResponse(
        _joined(found),
        media_type="text/csv; charset=utf-8",
        headers={
            "content-disposition": f'attachment; filename="{name}.findings.csv"',
            "x-content-type-options": "nosniff",
        },
    )


@router.get("/{file_id}/preview")
def file_preview(
    file_id: str,
    actor: Who,
    session: InTenant,
    line: Annotated[
        int | None, Query(ge=1, description="of the file, where the row starts; else its first row")
    ] = None,
    encoding_id: EncodingId = None,
) -> previews.Preview:
    """A row as the model will see it: exact tokens, the learned ones marked; both sides of a
    preference pair. Ask for another base or cutoff by the `encoding_id` of a quote."""
    dataset = own(session, Dataset, file_id, tenant_id=actor.tenant_id)
    encoding = _encoding(session, actor, dataset, encoding_id)
    if encoding is None or encoding.status == "pending":
        raise NotFound(f"{file_id} is not encoded yet. Ask again shortly.", code="preparing")
    if encoding.status == "failed":
        raise NotFound((encoding.report or {}).get("fault", "It cannot be encoded."))
    source = 0
    if encoding.parts:
        # In a mixture a file is a source by its place.
        parts = [session.get(Encoding, part) for part in encoding.parts]
        places = [n for n, part in enumerate(parts) if part and _is_of(part, dataset)]
        if not places:
            raise NotFound(f"{encoding.id} is not made of {file_id}.", param="encoding_id")
        source = places[0]
    elif not _is_of(encoding, dataset):
        raise NotFound(f"{encoding.id} is not made of {file_id}.", param="encoding_id")
    return previews.preview(encoding.report or {}, line, source=source)


def _is_of(encoding: Encoding, dataset: Dataset) -> bool:
    """Uploads of the same bytes share what is made of them."""
    return encoding.dataset_id == dataset.id or encoding.recipe.get("sha256") == dataset.sha256


def _encoding(
    session: Session, actor: Actor, dataset: Dataset, encoding_id: str | None
) -> Encoding | None:
    """The one asked for, else the one made for the default base when the file was read."""
    if encoding_id is not None:
        return own(session, Encoding, encoding_id, tenant_id=actor.tenant_id, param="encoding_id")
    recipe: FileRecipe = encodings.file_recipe(dataset, base_model(settings().default_base_model))
    return session.execute(
        select(Encoding).where(
            Encoding.tenant_id == actor.tenant_id, Encoding.key == encodings.key_of(recipe)
        )
    ).scalar_one_or_none()


def _joined(keys: list[str]) -> Iterator[bytes]:
    """The files after one another, under one header."""
    for number, key in enumerate(keys):
        lines = storage.stream(key)
        first = next(lines, b"")
        yield first if number == 0 else first.partition(b"\n")[2]
        yield from lines
