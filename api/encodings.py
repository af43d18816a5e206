"""What is made of files for a base model, once: recipes, their life, and what is forgotten.

An encoding is keyed by its recipe, which names content by hash, so two uploads of the same bytes
share it within a tenant. It is claimed like a job, by a lease and an attempt number. What mixes or
compares other encodings waits until those are ready.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter
from sqlalchemy import ColumnElement, Select, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from api import dispatch, storage
from api.catalog import BaseModel
from api.db import after_commit
from api.events import TERMINAL
from api.rows import Mapping, ProblemCode
from api.settings import settings
from api.spec import Frozen
from api.tables import Dataset, Encoding, Job, QuoteRow, new_id

LEASE_SECONDS = 60
ATTEMPTS_MAX = 3
ENCODING_VERSION = 2
"""Raised when the same row would be encoded differently, so that no stale encoding is used."""

DEFAULT_HELD_OUT_SHARE = 0.1
DEFAULT_CUTOFF_LEN_MAX = 4_096
WEIGHT_MAX = 100.0


class FileRecipe(Frozen):
    """One file as one base model reads it."""

    type: Literal["file"] = "file"
    version: int = ENCODING_VERSION
    sha256: str
    extension: str = Field(default="", description="the name breaks ties about what a file is")
    mapping: Mapping | None = None
    repairs: tuple[ProblemCode, ...] = ()
    base_model: str
    base_revision: str
    cutoff_len: int
    held_out_share: float
    over_long: Literal["drop", "cut"] = "drop"
    train_on: Literal["all", "last"] = "all"
    thinking: bool | None = Field(default=None, description="None: as the file's answers have it")


class MixRecipe(Frozen):
    """Several encodings in one. Weights are how often a row of that file counts (`concatenate`),
    or the files' shares among all rows (`interleave`: until the first file is used up, nothing
    repeated; `interleave_all`: until each is used up, smaller ones repeated)."""

    type: Literal["mix"] = "mix"
    keys: tuple[str, ...]
    weights: tuple[float, ...]
    strategy: Literal["concatenate", "interleave", "interleave_all"] = "concatenate"
    seed: int = 0


class LeakageRecipe(Frozen):
    """Which training rows say what a validation row says; nothing to train on. The last key is
    the validation file's."""

    type: Literal["leakage"] = "leakage"
    keys: tuple[str, ...]


Recipe = Annotated[FileRecipe | MixRecipe | LeakageRecipe, Field(discriminator="type")]
_RECIPE: TypeAdapter[FileRecipe | MixRecipe | LeakageRecipe] = TypeAdapter(Recipe)


def recipe_of(encoding: Encoding) -> FileRecipe | MixRecipe | LeakageRecipe:
    return _RECIPE.validate_python(encoding.recipe)


def key_of(recipe: FileRecipe | MixRecipe | LeakageRecipe) -> str:
    body = recipe.model_dump(mode="json")
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def extension(filename: str) -> str:
    """`jsonl.gz` of `Shop.JSONL.gz`: all that a name may decide."""
    return ".".join(filename.lower().split(".")[1:][-2:])


def default_cutoff(base: BaseModel) -> int:
    return min(base.context, DEFAULT_CUTOFF_LEN_MAX)


def file_recipe(
    dataset: Dataset,
    base: BaseModel,
    *,
    cutoff_len: int | None = None,
    held_out_share: float = DEFAULT_HELD_OUT_SHARE,
    over_long: Literal["drop", "cut"] = "drop",
    train_on: Literal["all", "last"] = "all",
    thinking: bool | None = None,
) -> FileRecipe:
    """How `base` is to read the dataset as it is mapped and repaired now."""
    return FileRecipe(
        sha256=dataset.sha256,
        extension=extension(dataset.filename),
        mapping=Mapping.model_validate(dataset.mapping) if dataset.mapping else None,
        repairs=tuple(ProblemCode(code) for code in sorted(dataset.repairs or [])),
        base_model=base.id,
        base_revision=base.revision,
        cutoff_len=default_cutoff(base) if cutoff_len is None else cutoff_len,
        held_out_share=held_out_share,
        over_long=over_long,
        train_on=train_on,
        thinking=thinking,
    )


def want(session: Session, dataset: Dataset, recipe: FileRecipe) -> Encoding:
    """The dataset encoded by this recipe: found, or asked for."""
    encoding, made = _want(session, dataset, recipe, parts=())
    if made and dataset.status != "uploaded":
        after_commit(session, partial(dispatch.encode, encoding.id))
    return encoding


def want_mix(
    session: Session,
    dataset: Dataset,
    parts: Sequence[Encoding],
    *,
    weights: Sequence[float],
    strategy: Literal["concatenate", "interleave", "interleave_all"],
) -> Encoding:
    """These encodings mixed into one. `dataset` is the first one's file."""
    keys = tuple(part.key for part in parts)
    recipe = MixRecipe(keys=keys, weights=tuple(weights), strategy=strategy)
    return _want_made_of(session, dataset, recipe, parts)


def want_leakage(
    session: Session, dataset: Dataset, files: Sequence[Encoding], validation: Encoding
) -> Encoding:
    """What training and validation rows have in common. `dataset` is the first training file."""
    parts = (*files, validation)
    recipe = LeakageRecipe(keys=tuple(part.key for part in parts))
    return _want_made_of(session, dataset, recipe, parts)


def _want_made_of(
    session: Session, dataset: Dataset, recipe: MixRecipe | LeakageRecipe, parts: Sequence[Encoding]
) -> Encoding:
    encoding, made = _want(session, dataset, recipe, parts=[part.id for part in parts])
    if made and all(part.status != "pending" for part in parts):
        after_commit(session, partial(dispatch.encode, encoding.id))
    return encoding


def _want(
    session: Session,
    dataset: Dataset,
    recipe: FileRecipe | MixRecipe | LeakageRecipe,
    *,
    parts: Sequence[str],
) -> tuple[Encoding, bool]:
    key = key_of(recipe)
    made = session.execute(
        upsert(Encoding)
        .values(
            id=new_id("enc-"),
            tenant_id=dataset.tenant_id,
            dataset_id=dataset.id,
            key=key,
            recipe=recipe.model_dump(mode="json"),
            parts=list(parts),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "key"])
        .returning(Encoding.id)
    ).scalar_one_or_none()
    encoding = session.execute(
        select(Encoding).where(Encoding.tenant_id == dataset.tenant_id, Encoding.key == key)
    ).scalar_one()
    if made is None:
        _touch(session, encoding)
    return encoding, made is not None


def _touch(session: Session, encoding: Encoding) -> None:
    """It was asked for again; said at most once an hour, since a row is written for it."""
    session.execute(
        update(Encoding)
        .where(Encoding.id == encoding.id, Encoding.used_at < func.now() - text("interval '1 h'"))
        .values(used_at=func.now())
        .execution_options(synchronize_session=False)
    )


# -- a worker's side (system transaction) ----------------------------------------------------------

_PARTS_ARE_THERE = text(
    "NOT EXISTS (SELECT FROM jsonb_array_elements_text(encodings.parts) AS part"
    " JOIN encodings AS p ON p.id = part WHERE p.status = 'pending')"
)


def claim(session: Session, encoding_id: str) -> tuple[Encoding, Dataset, list[Encoding]] | None:
    """The encoding, leased to the caller, its inspected file and its parts; None where it is not
    to be had yet."""
    encoding = session.execute(
        update(Encoding)
        .where(
            Encoding.id == encoding_id,
            Encoding.status == "pending",
            free(Encoding.lease_expires_at),
            Encoding.dataset_id.in_(select(Dataset.id).where(Dataset.status != "uploaded")),
            _PARTS_ARE_THERE,
        )
        .values(attempt=Encoding.attempt + 1, lease_expires_at=lease_end())
        .returning(Encoding)
    ).scalar_one_or_none()
    if encoding is None:
        return None
    dataset = session.execute(select(Dataset).where(Dataset.id == encoding.dataset_id)).scalar_one()
    found = {
        part.id: part
        for part in session.execute(
            select(Encoding).where(Encoding.id.in_(encoding.parts))
        ).scalars()
    }
    return encoding, dataset, [found[part_id] for part_id in encoding.parts]


def renew(session: Session, encoding: Encoding) -> bool:
    """Whether the caller still holds it."""
    done = session.execute(
        update(Encoding)
        .where(Encoding.id == encoding.id, Encoding.attempt == encoding.attempt)
        .values(lease_expires_at=lease_end())
        .returning(Encoding.id)
    )
    return done.scalar_one_or_none() is not None


def done(session: Session, encoding: Encoding, *, report: dict[str, Any], usable: bool) -> bool:
    """The artifact is in storage (or cannot be made). False where another attempt took over."""
    written = session.execute(
        update(Encoding)
        .where(
            Encoding.id == encoding.id,
            Encoding.attempt == encoding.attempt,
            Encoding.status == "pending",
        )
        .values(status="ready" if usable else "failed", report=report, lease_expires_at=None)
        .returning(Encoding.id)
    )
    if written.scalar_one_or_none() is None:
        return False
    waiting = select(Encoding.id).where(
        Encoding.status == "pending", Encoding.parts.contains([encoding.id])
    )
    _ring(session, waiting)
    return True


def let_go(session: Session, encoding: Encoding) -> None:
    """This attempt broke; the sweep rings for the next one."""
    session.execute(
        update(Encoding)
        .where(Encoding.id == encoding.id, Encoding.attempt == encoding.attempt)
        .values(lease_expires_at=func.now())
    )


def sweep(session: Session) -> None:
    """Ring for what waits and nobody holds, give up on what was tried too often, and forget what
    nobody has used for `encoding_days_max`."""
    gave_up = {"fault": f"Encoding this file failed {ATTEMPTS_MAX} times. Ask your operator."}
    session.execute(
        update(Encoding)
        .where(
            Encoding.status == "pending",
            Encoding.attempt >= ATTEMPTS_MAX,
            Encoding.lease_expires_at < func.now(),
        )
        .values(status="failed", report=gave_up, lease_expires_at=None)
    )
    waiting = (
        select(Encoding.id)
        .join(Dataset, Dataset.id == Encoding.dataset_id)
        .where(
            Encoding.status == "pending",
            Encoding.created_at < func.now() - text("interval '5 s'"),
            Dataset.status != "uploaded",
            free(Encoding.lease_expires_at),
            _PARTS_ARE_THERE,
        )
    )
    _ring(session, waiting)
    _forget_unused(session)


def _ring(session: Session, waiting: Select[Any]) -> None:
    for encoding_id in session.execute(waiting.limit(100)).scalars():
        after_commit(session, partial(dispatch.encode, encoding_id))


def _forget_unused(session: Session) -> None:
    days = text(f"interval '{settings().encoding_days_max} days'")
    running = select(Job.encoding_id).where(Job.status.not_in(TERMINAL))
    validating = select(Job.validation_encoding_id).where(
        Job.status.not_in(TERMINAL), Job.validation_encoding_id.is_not(None)
    )
    quoted = select(QuoteRow.encoding_id).where(QuoteRow.expires_at > func.now())
    unused = select(Encoding).where(
        Encoding.used_at < func.now() - days,
        Encoding.status != "pending",
        Encoding.key.not_like(f"{_FORGOTTEN}%"),
        Encoding.id.not_in(running.union(validating, quoted)),
    )
    forget(
        session,
        session.execute(unused.order_by(Encoding.used_at).limit(100)).scalars(),
        why="It was not used for long.",
    )


_FORGOTTEN = "forgotten:"


def forget(session: Session, encodings: Iterable[Encoding], *, why: str) -> None:
    """The objects go; the row stays for the jobs that name it, under a key that nothing finds."""
    for encoding in list(encodings):
        encoding.key = _FORGOTTEN + encoding.id
        encoding.status = "failed"
        encoding.report = {"fault": f"What was made of the file is gone. {why}"}
        prefix = storage.encoding_prefix(encoding.tenant_id, encoding.id)
        after_commit(session, partial(storage.delete_prefix, prefix))


def made_of(session: Session, dataset: Dataset) -> list[Encoding]:
    """Everything that was made of a file: by itself, mixed with others, or compared."""
    kept = select(Encoding).where(
        Encoding.tenant_id == dataset.tenant_id, Encoding.key.not_like(f"{_FORGOTTEN}%")
    )
    own = session.execute(kept.where(Encoding.dataset_id == dataset.id)).scalars().all()
    found = {encoding.id: encoding for encoding in own}
    for encoding in own:
        mixed = session.execute(kept.where(Encoding.parts.contains([encoding.id]))).scalars()
        found |= {other.id: other for other in mixed}
    return list(found.values())


def twin_of(session: Session, dataset: Dataset) -> str | None:
    """Another file of the tenant's with the same bytes and the same kind of name."""
    others = session.execute(
        select(Dataset.id, Dataset.filename).where(
            Dataset.tenant_id == dataset.tenant_id,
            Dataset.sha256 == dataset.sha256,
            Dataset.id != dataset.id,
            Dataset.deleted_at.is_(None),
        )
    )
    wanted = extension(dataset.filename)
    return next((row.id for row in others if extension(row.filename) == wanted), None)


def lease_end() -> ColumnElement[Any]:
    return func.now() + text(f"interval '{LEASE_SECONDS} s'")


def free(lease: Any) -> ColumnElement[bool]:
    return or_(lease.is_(None), lease < func.now())
