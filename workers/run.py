"""The shell of a training run: claim, fetch, drive the engine, publish, upload, settle.

The engine yields events and knows of nothing else. Cancel, a lost lease and a crash of storage are
all the same act: stop pulling from it. A job that was extended is stopped too, behind a checkpoint.
A base stays in memory between jobs.
"""

import os
import platform
import shutil
import signal
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from threading import Event as Flag
from threading import Thread
from typing import Any

import structlog
from sqlalchemy.orm import Session

from api import __version__, adapters, jobs, storage
from api.catalog import base_model
from api.db import transaction
from api.errors import ErrorCode, TuneryError, Unavailable
from api.events import EngineEvent, Level, Notice, Saved
from api.rows import Message
from api.settings import settings
from api.spec import Precision
from workers import cache
from workers.engine.encoded import Encoded

log = structlog.get_logger()

MANIFEST = "manifest.json"
DISK_BYTES_MIN = 64 * 2**20
SAMPLES = 3
SAMPLE_CHARACTERS_MAX = 2_000
"""With less than this left, whatever broke broke for want of space."""


class Cancelled(Exception):
    """The tenant asked for the run to stop."""


def drain() -> None:
    """Take jobs until none waits."""
    while True:
        with transaction() as session:
            claimed = jobs.claim(session, worker=f"{socket.gethostname()}:{os.getpid()}")
        if claimed is None:
            return
        with structlog.contextvars.bound_contextvars(
            tenant=claimed.tenant_id, job=claimed.job_id, attempt=claimed.attempt
        ):
            work(claimed)


def warm() -> None:
    """Have the default base in memory, and the modules that a first step would wait for."""
    default = base_model(settings().default_base_model)
    _base(default.id, Precision.BF16)


def work(claimed: jobs.Claim) -> None:
    """One job from claim to its end, or to the end of the lease. Leaves nothing on the disk."""
    folder = settings().cache_path() / "runs" / claimed.job_id / str(claimed.attempt)
    courier = Courier(claimed)
    try:
        _train(claimed, folder, courier)
        courier.close()
        if courier.extended():
            raise jobs.Extended
        _finish(claimed, folder)
    except jobs.Fenced:
        log.warning("job.fenced")
    except Cancelled:
        _stop(claimed, courier, jobs.cancelled)
    except jobs.Extended:
        _stop(claimed, courier, jobs.step_aside)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job must not hang in its lease
        courier.stop()
        _fail(claimed, error)
    finally:
        courier.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _stop(
    claimed: jobs.Claim, courier: "Courier", verb: Callable[[Session, jobs.Claim], None]
) -> None:
    """End the attempt as the tenant asked."""
    try:
        courier.close()
        with transaction() as session:
            verb(session, claimed)
    except jobs.Fenced:
        log.warning("job.fenced")


class Courier:
    """Carries events to the table and the watchers, and beats while there are none.

    Whatever has gathered while the last commit ran goes in the next: at a slow pace each event is
    committed at once, at a fast one in batches. If nothing could be renewed for three quarters of
    the lease, the process kills itself, so that it is gone before anyone else may start.
    """

    def __init__(self, claimed: jobs.Claim) -> None:
        self._claimed = claimed
        self._queue: Queue[EngineEvent | None] = Queue()
        self._lost = Flag()
        self._cancel = Flag()
        self._extended = Flag()
        self._renewed_at = time.monotonic()
        self._thread = Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def put(self, event: EngineEvent) -> None:
        """Hand over an event. Raises Fenced or Cancelled where the run must stop."""
        self.check()
        self._queue.put(event)

    def check(self) -> None:
        if self._lost.is_set():
            raise jobs.Fenced
        if self._cancel.is_set():
            raise Cancelled

    def extended(self) -> bool:
        """Whether the job was extended: then the next checkpoint is the attempt's last act."""
        return self._extended.is_set()

    def close(self) -> None:
        """Return once everything handed over is durable. Raises Fenced where it cannot be."""
        self.stop()
        if self._lost.is_set():
            raise jobs.Fenced

    def stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        batch: list[EngineEvent] = []
        ended = False
        while not ended and not self._lost.is_set():
            ended = self._gather(batch)
            while batch or not ended:
                if self._send(batch):
                    batch.clear()
                    break
                if self._lost.is_set():
                    return
                self._kill_if_overdue()
                time.sleep(0.5)

    def _gather(self, batch: list[EngineEvent]) -> bool:
        """Wait for an event or the next beat, then take all there is. True at the end."""
        try:
            item = self._queue.get(timeout=settings().beat_seconds)
            while item is not None:
                batch.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return False
        return True

    def _send(self, batch: list[EngineEvent]) -> bool:
        try:
            with transaction() as session:
                if batch:
                    beat = jobs.record(session, self._claimed, batch)
                else:
                    beat = jobs.beat(session, self._claimed)
        except jobs.Fenced:
            self._lost.set()
            return False
        except Unavailable:
            return False
        self._renewed_at = time.monotonic()
        if beat.cancel:
            self._cancel.set()
        if beat.extended:
            self._extended.set()
        return True

    def _kill_if_overdue(self) -> None:
        if time.monotonic() - self._renewed_at > 0.75 * settings().lease_seconds:
            log.error("job.lease_overdue")
            os.kill(os.getpid(), signal.SIGKILL)


def _samples(claimed: jobs.Claim) -> tuple[tuple[Message, ...], ...]:
    """A few prompts of rows that are never trained on, for people to watch it learn by."""
    source = claimed.validation or claimed.data
    rows = storage.get_json(source.key.rsplit("/", 1)[0] + "/" + storage.HELD_OUT)
    prompts = (_prompt(row["messages"]) for row in rows)
    return tuple(islice(filter(None, prompts), SAMPLES))


def _prompt(said: list[dict[str, Any]]) -> tuple[Message, ...]:
    """A row up to its last answer; empty where that is not a short question in plain text."""
    last = max((n for n, turn in enumerate(said) if turn["role"] == "assistant"), default=0)
    asked = said[:last]
    if not asked or asked[-1]["role"] != "user":
        return ()
    if any(turn.keys() != {"role", "content"} for turn in asked):
        return ()
    if sum(len(turn["content"]) for turn in asked) > SAMPLE_CHARACTERS_MAX:
        return ()
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in asked)


def _train(claimed: jobs.Claim, folder: Path, courier: Courier) -> None:
    """Pull the engine to its end; what it saves is uploaded before anybody hears of it."""
    from workers.engine.loop import Run, train

    base = _base(claimed.spec.base_model, claimed.spec.precision)
    run = Run(
        spec=claimed.spec,
        data=cache.artifact(claimed.data.key, claimed.data.sha256),
        out=folder,
        validation=(
            cache.artifact(claimed.validation.key, claimed.validation.sha256)
            if claimed.validation
            else None
        ),
        resume=_resume_from(claimed, folder, courier),
        samples=_samples(claimed),
        save_now=courier.extended,
    )
    for event in train(base, run):
        if isinstance(event, Saved):
            _keep(claimed, event, folder)
        courier.put(event)
        if isinstance(event, Saved) and courier.extended():
            raise jobs.Extended
    courier.check()


@dataclass(frozen=True, slots=True)
class _Resident:
    key: tuple[str, str, Precision]
    base: Any


_resident: _Resident | None = None


def _base(model_id: str, precision: Precision) -> Any:
    """The base in memory; another one makes room first."""
    from workers.engine.model import load_base

    global _resident  # noqa: PLW0603 - the one thing that outlives a job in this process
    model = base_model(model_id)
    key = (model.id, model.revision, precision)
    if _resident is None or _resident.key != key:
        _resident = None
        started = time.monotonic()
        _resident = _Resident(key, load_base(cache.base_folder(model), precision))
        log.info("base.loaded", base=model.id, seconds=round(time.monotonic() - started, 2))
    return _resident.base


def _resume_from(claimed: jobs.Claim, folder: Path, courier: Courier) -> Path | None:
    """The newest checkpoint whose files are what they were; each that is not is told of."""
    for saved in claimed.checkpoints:
        target = folder / "resume" / f"step-{saved.step}"
        try:
            for name, sha256 in saved.files.items():
                storage.get_file(saved.prefix + name, target / name, sha256=sha256)
        except (storage.Damaged, TuneryError) as error:
            if isinstance(error, Unavailable):
                raise
            shutil.rmtree(target, ignore_errors=True)
            courier.put(
                Notice(
                    level=Level.WARN,
                    code="checkpoint_damaged",
                    message=f"The checkpoint of step {saved.step} is damaged; using the one before",
                )
            )
            continue
        courier.put(
            Notice(code="resumed", message=f"Going on from the checkpoint of step {saved.step}")
        )
        return target
    return None


def _keep(claimed: jobs.Claim, saved: Saved, folder: Path) -> None:
    """Upload a checkpoint, its manifest last, then commit the row that makes it one."""
    source = folder / saved.folder
    prefix = storage.checkpoint_prefix(
        claimed.tenant_id, claimed.job_id, attempt=claimed.attempt, step=saved.step
    )
    paths = sorted(_files(source), key=lambda path: path.name == "MANIFEST.json")
    files = {
        str(path.relative_to(source)): storage.put_file(
            prefix + str(path.relative_to(source)), path
        )
        for path in paths
    }
    with transaction() as session:
        jobs.checkpoint(session, claimed, saved, prefix=prefix, files=files)


def _finish(claimed: jobs.Claim, folder: Path) -> None:
    """Upload the adapter, each file and all in one archive, then end the job."""
    source = folder / "adapter"
    adapter_id = adapters.new_adapter_id()
    prefix = storage.adapter_prefix(claimed.tenant_id, adapter_id)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": storage.sha256_of(path)}
        for path in sorted(_files(source))
    }
    manifest = _manifest(claimed, adapter_id, files)
    (source / MANIFEST).write_bytes(storage.json_bytes(manifest))
    archive = folder / adapters.ARCHIVE
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(_files(source)):
            packed.write(path, path.name)
    for path in sorted(_files(source), key=lambda path: path.name == MANIFEST):
        storage.put_file(prefix + path.name, path)
    storage.put_file(prefix + adapters.ARCHIVE, archive)
    try:
        with transaction() as session:
            name = jobs.finish(
                session,
                claimed,
                adapter_id=adapter_id,
                prefix=prefix,
                manifest=manifest,
                size=archive.stat().st_size,
            )
    except jobs.Extended:
        storage.delete_prefix(prefix)
        raise
    log.info("job.succeeded", model=name)


def _manifest(claimed: jobs.Claim, adapter_id: str, files: dict[str, Any]) -> dict[str, Any]:
    """What the adapter is made of, enough to make it again."""
    import torch
    import transformers

    spec = claimed.spec
    encoded = Encoded.open(cache.artifact(claimed.data.key, claimed.data.sha256)).metadata
    return {
        "adapter_id": adapter_id,
        "job_id": claimed.job_id,
        "attempt": claimed.attempt,
        "base_model": spec.base_model,
        "base_revision": spec.base_revision,
        "base_source": base_model(spec.base_model).source,
        "spec": spec.model_dump(mode="json"),
        "dataset_sha256": claimed.dataset_sha256,
        "encoded_sha256": claimed.data.sha256,
        "thinking": encoded.get("thinking") == "1",
        "cutoff_len": encoded.get("cutoff_len"),
        "code": {
            "tunery": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "files": files,
    }


def _fail(claimed: jobs.Claim, error: Exception) -> None:
    """What the user can mend fails the job; what is ours gives it back to be tried again."""
    from workers.engine.loop import NonFinite, RunRefused
    from workers.engine.lora import NoSuchModule

    users: dict[type[Exception], ErrorCode] = {
        NonFinite: "non_finite",
        NoSuchModule: "invalid_target_modules",
        RunRefused: "run_refused",
    }
    log.error("job.broke", error=type(error).__name__, exc_info=error)
    try:
        with transaction() as session:
            if code := users.get(type(error)):
                jobs.fail(session, claimed, code=code, message=str(error), user_fault=True)
            else:
                jobs.hand_back(session, claimed, why=_why(error))
    except jobs.Fenced:
        log.warning("job.fenced")
    except Unavailable:
        # The lease runs out by itself, and the sweep does the same.
        log.warning("job.hand_back_failed")


def _why(error: Exception) -> str:
    """The fault in words; a full disk comes in as many kinds of errors as there are libraries."""
    if shutil.disk_usage(settings().cache_path()).free < DISK_BYTES_MIN:
        return "The worker's disk is full"
    return f"The worker broke on our side ({type(error).__name__})"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
