"""The loop: one run on a resident base, yielding events. `train` is all of it in one screenful.

To stop a run, stop pulling: between two events the base is as it was and nothing is half done.
A checkpoint may be resumed with more epochs: the rows go on in the order in which they would have
come, and the learning rate follows the schedule of the new total from there on.
"""

# ruff: noqa: N806 - shapes are suffixes of names, as the docstring lists them

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from api.events import EngineEvent, Eval, Level, Notice, Sample, Saved, Step
from api.rows import Message
from api.spec import JobSpec, steps_per_epoch, total_steps
from workers.engine import checkpoint
from workers.engine.batch import passes, step_rows
from workers.engine.encoded import Encoded, Rows
from workers.engine.evaluate import Score, evaluate, sample
from workers.engine.export import save_adapter
from workers.engine.lora import LoraAdapter, new_adapter
from workers.engine.model import Base
from workers.engine.objectives import OBJECTIVES
from workers.engine.optim import AdamW

TEMPLATE_KEY = "template"  # in an encoded dataset's metadata: the fingerprint it was encoded with
_LINES_NAMED = 20
_SPEED_MEMORY = 0.8  # share of the past in the smoothed speed


class RunRefused(ValueError):
    """The run cannot start: its data or its checkpoint does not belong to its spec or base."""


class NonFinite(ArithmeticError):
    """Loss or gradient is not a number; raised before the update. `lines`: the batch's rows."""

    def __init__(self, step: int, lines: tuple[int, ...]) -> None:
        self.step, self.lines = step, lines
        super().__init__(
            f"loss or gradient is not finite at step {step}; rows of lines {_list(lines)}"
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One job for the loop: a spec, an encoded dataset, and a folder of its own to write to.

    `save_now` is asked after each step whether to save a checkpoint that is not due.
    """

    spec: JobSpec
    data: Path
    out: Path
    validation: Path | None = None
    resume: Path | None = None
    samples: tuple[tuple[Message, ...], ...] = ()
    save_now: Callable[[], bool] = lambda: False


def train(base: Base, run: Run) -> Iterator[EngineEvent]:
    """Train one adapter to the end of its spec; `run.out / "adapter"` then holds it."""
    job = _prepare(base, run)
    yield from _opening(job)
    while job.step < job.total_steps:
        started = time.monotonic()
        rows = _next_rows(job)
        loss = _forward_backward(job, rows)
        grad_norm = job.optimizer.grad_norm()
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise NonFinite(job.step + 1, tuple(job.data.lines[rows].tolist()))
        update = job.optimizer.step(job.step, job.total_steps, grad_norm)
        _count(job, rows, loss, seconds=time.monotonic() - started)
        yield Step(
            step=job.step,
            total_steps=job.total_steps,
            epoch=job.epoch,
            loss=loss,
            learning_rate=update.learning_rate,
            grad_norm=update.grad_norm,
            trained_tokens=job.trained_tokens,
            tokens_per_second=job.pace_tokens / job.pace_seconds,
            eta_seconds=(job.total_steps - job.step) * job.pace_seconds,
        )
        if job.step == 1:
            # Where the run began is what the base says without the adapter. It can be asked at any
            # time, so nobody waits for it before the first loss.
            yield from _assess(job, adapter=None, step=0)
        if _evaluation_due(job):
            yield from _assess(job, adapter=job.adapter, step=job.step)
        if _checkpoint_due(job) or run.save_now():
            yield _save(job)
    _publish_adapter(job)


@dataclass(slots=True)
class _Job:
    """A run in progress: what the loop reads, and the few numbers that move."""

    base: Base
    run: Run
    data: Encoded
    evaluation: tuple[Encoded, Rows]
    adapter: LoraAdapter
    optimizer: AdamW
    total_steps: int
    step: int = 0
    trained_tokens: int = 0
    loss: float | None = None
    score: Score | None = None
    pace_seconds: float = 0.0
    pace_tokens: float = 0.0
    sampled_halves: int = 0
    notices: list[Notice] = field(default_factory=list)

    @property
    def spec(self) -> JobSpec:
        return self.run.spec

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.data.train_rows), self.spec.hyperparameters.batch_size)

    @property
    def epoch(self) -> float:
        return self.step / self.steps_per_epoch


def _prepare(base: Base, run: Run) -> _Job:
    data = _open(base, run.data)
    if not len(data.train_rows):
        raise RunRefused("no row of the dataset has anything to learn from")
    hyperparameters = run.spec.hyperparameters
    stored = checkpoint.load(base, run.resume) if run.resume else None
    adapter = stored.adapter if stored else _fresh_adapter(base, run.spec)
    job = _Job(
        base=base,
        run=run,
        data=data,
        evaluation=_evaluation(base, run, data),
        adapter=adapter,
        optimizer=AdamW(adapter, hyperparameters),
        total_steps=total_steps(len(data.train_rows), hyperparameters),
    )
    if stored:
        _resume(job, stored)
    return job


def _open(base: Base, path: Path) -> Encoded:
    data = Encoded.open(path)
    if data.metadata.get(TEMPLATE_KEY, base.template.fingerprint) != base.template.fingerprint:
        raise RunRefused(f"{path.name} was encoded with another tokenizer or chat template")
    return data


def _fresh_adapter(base: Base, spec: JobSpec) -> LoraAdapter:
    return new_adapter(list(base.places.values()), spec.method, seed=spec.seed, dtype=base.dtype)


def _evaluation(base: Base, run: Run, data: Encoded) -> tuple[Encoded, Rows]:
    """What is evaluated on: the validation file, else the rows held out of the data."""
    if run.validation is None:
        return data, data.held_out_rows
    validation = _open(base, run.validation)
    return validation, np.sort(np.concatenate([validation.train_rows, validation.held_out_rows]))


def _resume(job: _Job, stored: checkpoint.Checkpoint) -> None:
    state = stored.state
    if (state.spec_sha256, state.data_sha256) != (_sha256(job.spec), job.data.fingerprint):
        raise RunRefused("the checkpoint belongs to another spec or another dataset")
    if state.step > job.total_steps:
        raise RunRefused(
            f"the checkpoint is of step {state.step} and the spec trains only {job.total_steps}"
        )
    job.optimizer.restore(stored.moments)
    job.step, job.trained_tokens, job.loss = state.step, state.trained_tokens, state.loss
    job.sampled_halves = 2 * job.step // job.total_steps
    if state.eval_loss is not None and state.eval_token_accuracy is not None:
        rows = len(job.evaluation[1])
        job.score = Score(state.eval_loss, state.eval_token_accuracy, rows)


def _opening(job: _Job) -> Iterator[Notice]:
    base, data = job.base, job.data
    parameters = job.adapter.weights.numel()
    yield Notice(
        code="base_loaded",
        message=f"base model ready on {base.device.type}, {parameters:,} parameters to train",
        data={
            "trainable_parameters": parameters,
            "train_rows": len(data.train_rows),
            "held_out_rows": len(job.evaluation[1]),
            "pass_tokens": base.pass_tokens,
            "packs": int(base.packs),
        },
    )
    if job.step:
        yield Notice(
            code="resumed", message=f"resumed after step {job.step}", data={"step": job.step}
        )
    skipped = data.lines[data.unsupervised_rows].tolist()
    if skipped:
        yield Notice(
            level=Level.WARN,
            code="rows_skipped",
            message=f"{len(skipped)} rows have nothing to learn from and are skipped: lines "
            f"{_list(tuple(skipped))}",
            data={"rows": len(skipped)},
        )


def _next_rows(job: _Job) -> Rows:
    return step_rows(
        job.data.train_rows,
        batch_size=job.spec.hyperparameters.batch_size,
        seed=job.spec.seed,
        step=job.step,
    )


def _forward_backward(job: _Job, rows: Rows) -> float:
    """Gradients of one step, in as many passes as it takes; the mean loss per supervised token."""
    base, objective = job.base, OBJECTIVES[job.spec.objective]
    step = list(passes(base, job.data, rows))
    supervised = sum(len(batch.targets_N) for batch in step)
    total = 0.0
    with base.lend(job.adapter, training=True):
        for batch in step:
            hidden_TD = base.hidden(batch.tokens_T, batch.positions_T, batch.row_lengths)
            loss = objective(base.head, hidden_TD, batch)
            torch.autograd.backward(loss / supervised)
            total += float(loss.detach())
    return total / supervised


def _count(job: _Job, rows: Rows, loss: float, *, seconds: float) -> None:
    tokens = job.data.tokens(rows)
    memory = _SPEED_MEMORY if job.pace_seconds else 0.0
    job.pace_seconds = memory * job.pace_seconds + (1 - memory) * seconds
    job.pace_tokens = memory * job.pace_tokens + (1 - memory) * tokens
    job.step += 1
    job.trained_tokens += tokens
    job.loss = loss


def _evaluation_due(job: _Job) -> bool:
    every = job.spec.hyperparameters.eval_steps or job.steps_per_epoch
    return job.step % every == 0 or job.step == job.total_steps


def _assess(job: _Job, *, adapter: LoraAdapter | None, step: int) -> Iterator[Eval | Sample]:
    data, rows = job.evaluation
    if len(rows):
        score = job.score = evaluate(job.base, adapter, data, rows)
        yield Eval(
            step=step,
            epoch=step / job.steps_per_epoch,
            loss=score.loss,
            token_accuracy=score.token_accuracy,
            rows=score.rows,
        )
    if adapter is not None and not _samples_due(job):
        return
    for messages in job.run.samples:
        text = sample(job.base, adapter, messages)
        yield Sample(step=step, prompt=messages[-1].content, text=text)


def _samples_due(job: _Job) -> bool:
    """Halfway and at the end: generating is slow beside training, and who watches a short job
    should not wait for words."""
    half = 2 * job.step // job.total_steps
    due = half > job.sampled_halves
    job.sampled_halves = half
    return due


def _checkpoint_due(job: _Job) -> bool:
    every = job.spec.hyperparameters.checkpoint_steps or max(1, job.total_steps // 10)
    return job.step % every == 0 or job.step == job.total_steps


def _save(job: _Job) -> Saved:
    folder = f"checkpoints/step-{job.step}"
    score = job.score
    state = checkpoint.State(
        step=job.step,
        trained_tokens=job.trained_tokens,
        loss=job.loss,
        eval_loss=score.loss if score else None,
        eval_token_accuracy=score.token_accuracy if score else None,
        spec_sha256=_sha256(job.spec),
        data_sha256=job.data.fingerprint,
    )
    (job.run.out / folder).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(
        job.run.out / folder,
        state,
        base=job.base,
        adapter=job.adapter,
        moments=job.optimizer.moments(),
        base_model=job.spec.base_model,
    )
    return Saved(
        step=state.step,
        trained_tokens=state.trained_tokens,
        folder=folder,
        train_loss=state.loss,
        eval_loss=state.eval_loss,
        eval_token_accuracy=state.eval_token_accuracy,
    )


def _publish_adapter(job: _Job) -> None:
    temporary = job.run.out / f".adapter.{os.getpid()}"
    save_adapter(job.base, job.adapter, temporary, base_model=job.spec.base_model)
    checkpoint.publish(temporary, job.run.out / "adapter")


def _sha256(spec: JobSpec) -> str:
    """Of all that a checkpoint depends on: the number of epochs says only where the run ends."""
    said = spec.model_dump_json(exclude={"hyperparameters": {"n_epochs"}})
    return hashlib.sha256(said.encode()).hexdigest()


def _list(lines: tuple[int, ...]) -> str:
    named = ", ".join(str(line) for line in lines[:_LINES_NAMED])
    return named if len(lines) <= _LINES_NAMED else f"{named} and {len(lines) - _LINES_NAMED} more"
