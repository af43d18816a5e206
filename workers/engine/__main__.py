"""A whole run with no services: `python -m workers.engine spec.json data out/ --base FOLDER`.

The teaching copy. Everything the hosted service does to a model happens here in order: encode the
rows, load the base, train, write the adapter. `spec.json` is an `api.spec.JobSpec`; `data` is an
encoded dataset (`.safetensors`), or JSON lines of `{"messages": [{"role": …, "content": …}, …]}`,
which are encoded first. Read on in `loop.py`.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import assert_never

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.events import EngineEvent, Eval, Notice, Sample, Saved, Step
from api.rows import Message, Row
from api.spec import JobSpec
from workers.engine.encoded import EncodedWriter
from workers.engine.loop import TEMPLATE_KEY, Run, train
from workers.engine.model import load_base
from workers.engine.template import Conversation, Template, TemplateError

_ROWS_AT_ONCE = 512


def main() -> None:
    arguments = _arguments()
    console = Console()
    try:
        spec = JobSpec.model_validate_json(arguments.spec.read_text(encoding="utf-8"))
        arguments.out.mkdir(parents=True, exist_ok=True)
        data = _encoded(arguments.data, arguments.out, arguments.base, spec)
        base = load_base(arguments.base, spec.precision)
        run = Run(spec=spec, data=data, out=arguments.out, resume=arguments.resume)
        _follow(train(base, run), console)
    except (OSError, ValueError, ArithmeticError) as error:
        raise SystemExit(f"tunery: {error}") from error
    console.print(f"adapter: {arguments.out / 'adapter'}")


def encode_rows(template: Template, rows: Iterable[Row], path: Path, spec: JobSpec) -> None:
    """Rows to an encoded dataset, a few hundred at a time."""
    hyperparameters = spec.hyperparameters
    metadata = {TEMPLATE_KEY: template.fingerprint, "cutoff_len": str(hyperparameters.cutoff_len)}
    waiting = iter(rows)
    with EncodedWriter(path, metadata) as writer:
        while together := list(islice(waiting, _ROWS_AT_ONCE)):
            encoded = template.encode_batch([Conversation(row.messages) for row in together])
            for row, whole in zip(together, encoded, strict=True):
                if isinstance(whole, TemplateError):
                    raise ValueError(f"line {row.line}: {whole}")  # noqa: TRY004 - not a type
                if len(whole.ids) > hyperparameters.cutoff_len:
                    raise ValueError(
                        f"line {row.line} has {len(whole.ids)} tokens, over cutoff_len; nothing "
                        "is cut here: shorten it, or raise cutoff_len"
                    )
                writer.add(whole.ids, whole.supervised, row.line)
        writer.close(hyperparameters.held_out_share)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.engine", description=__doc__)
    parser.add_argument("spec", type=Path, help="a JobSpec as JSON")
    parser.add_argument("data", type=Path, help="an encoded dataset, or JSON lines of messages")
    parser.add_argument("out", type=Path, help="a folder for checkpoints and the adapter")
    parser.add_argument("--base", type=Path, required=True, help="the base model's folder")
    parser.add_argument("--resume", type=Path, help="a checkpoint folder to go on from")
    return parser.parse_args()


def _encoded(data: Path, out: Path, base: Path, spec: JobSpec) -> Path:
    if data.suffix == ".safetensors":
        return data
    path = out / "encoded.safetensors"
    encode_rows(Template.load(base), _read_rows(data), path, spec)
    return path


def _read_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                messages = json.loads(text)["messages"]
                yield Row(line=number, messages=tuple(Message(**message) for message in messages))
            except (ValueError, KeyError, TypeError, ValidationError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from error


def _follow(events: Iterator[EngineEvent], console: Console) -> None:
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:.0f} tokens/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("train", total=None, loss=float("nan"), speed=0.0)
        for event in events:
            if isinstance(event, Step):
                progress.update(
                    bar,
                    total=event.total_steps,
                    completed=event.step,
                    loss=event.loss,
                    speed=event.tokens_per_second,
                )
            else:
                progress.console.print(_line(event), highlight=False, markup=False)


def _line(event: Eval | Sample | Saved | Notice) -> str:
    match event:
        case Eval():
            accuracy = f"{event.token_accuracy:.1%} of tokens right"
            return f"step {event.step}: held-out loss {event.loss:.4f}, {accuracy}"
        case Sample():
            return f"step {event.step}: {event.prompt!r} -> {event.text!r}"
        case Saved():
            return f"step {event.step}: saved {event.folder}"
        case Notice():
            return event.message
        case _:
            assert_never(event)


if __name__ == "__main__":
    main()
