"""What a file holds, before anybody pays: a verdict for each row, counts, and every finding."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from api.rows import Mapping, Report, Verdict
from api.settings import settings
from workers.preflight import pool
from workers.preflight.blocks import Block
from workers.preflight.findings import Findings, Found
from workers.preflight.histogram import TURN_EDGES, histogram
from workers.preflight.process import Page, Try
from workers.preflight.source import BLOCK_ROWS, Source
from workers.preflight.tally import Tally

REPORT = "report.json"
FINDINGS = "findings.csv"

_Task = tuple[Block, frozenset[str] | None]


def inspect(
    chunks: Iterable[bytes],
    page: Page,
    this: Try,
    folder: Path,
    options: dict[str, Any],
) -> None:
    """Read the file to its end; `report.json` and `findings.csv` then lie in `folder`.

    Options: `filename`, and `mapping` where a person corrected the reading.
    """
    started = time.monotonic()
    mapping = options.get("mapping")
    source = Source(
        chunks,
        filename=options["filename"],
        mapping=Mapping.model_validate(mapping) if mapping else None,
        limits=settings(),
        scratch=folder,
        crashes=this.crashes,
        block_rows=1 if this.careful else BLOCK_ROWS,
    )
    whole = Tally()
    with Findings(folder / FINDINGS, kept_max=settings().problems_max) as findings:
        for tally, found in pool.in_order(
            _looked_at,
            _tasks(source, whole, page),
            count=this.processes,
            started=page.employ,
        ):
            whole.merge(tally)
            if found is not None:
                findings.add(found)
        page.write(0, 0, 0)
        findings.add_all(whole.end())
        report = _report(source, whole, findings, seconds=time.monotonic() - started)
    (folder / REPORT).write_text(report.model_dump_json(), encoding="utf-8")


def _tasks(source: Source, whole: Tally, page: Page) -> Iterator[_Task]:
    """Blocks, with the file's frequent words once they are known."""
    for block in source.blocks():
        bad = whole.counts[Verdict.BAD]
        page.write(block.first, whole.counts.total() - bad, bad)
        yield block, whole.common


def _looked_at(task: _Task) -> tuple[Tally, Found | None]:
    """What one block comes to, and what is found in it, if anything."""
    block, common = task
    limits = settings()
    tally = Tally(common)
    problems = tally.take(block.read(limits, tally.ignored), in_rows=block.in_rows)
    return tally, Found.of(problems, kept_max=limits.problems_max) if problems else None


def _report(source: Source, whole: Tally, findings: Findings, *, seconds: float) -> Report:
    reader, counts = source.reader, whole.counts
    return Report(
        container=reader.container,
        packing=reader.packing,
        form=source.reading.form,
        kind=source.reading.kind,
        mapping=source.reading.mapping,
        columns=reader.columns,
        rows=counts.total(),
        good=counts[Verdict.GOOD],
        warned=counts[Verdict.WARNED],
        repairable=counts[Verdict.REPAIRABLE],
        bad=counts[Verdict.BAD],
        complete=not findings.ended,
        problems=tuple(findings.kept),
        problem_counts=dict(findings.counts),
        duplicates=whole.duplicates,
        messages=whole.messages,
        characters=whole.characters,
        turns=histogram(np.frombuffer(whole.turns, np.intc), TURN_EDGES) if whole.turns else None,
        reasoning=whole.reasoning(),
        tools=whole.tools,
        empty_lines=reader.empty_lines,
        ignored=dict(whole.ignored),
        seconds=round(seconds, 3),
    )
