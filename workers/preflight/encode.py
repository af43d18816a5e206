"""A file as one base model reads it: token ids, loss mask, split, and what was left out and why."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from api.rows import Kind, Problem, ProblemCode, Verdict
from api.settings import settings
from workers.engine.encoded import Encoded, EncodedWriter
from workers.engine.template import Template
from workers.preflight import pool
from workers.preflight.blocks import Block
from workers.preflight.duplicates import Sketches, near
from workers.preflight.findings import Findings
from workers.preflight.histogram import SHARE_EDGES, TOKEN_EDGES, histogram
from workers.preflight.inspect import FINDINGS, REPORT
from workers.preflight.process import Page, Try
from workers.preflight.sequences import EncodeOptions, Encoder, Encodings, Smallest
from workers.preflight.source import BLOCK_ROWS, Source

ENCODED = "encoded.safetensors"
HELD_OUT = "held_out.json"
SKETCHES = "sketches.npz"
CUTOFFS = (512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768)


def encode(
    chunks: Iterable[bytes], page: Page, this: Try, folder: Path, options: dict[str, Any]
) -> None:
    """Encode the file; the artifact, its sketches, some held-out rows, the report and every
    finding of this stage then lie in `folder`. See EncodeOptions."""
    wanted = EncodeOptions.model_validate(options)
    template = Template.load(wanted.base_folder)
    metadata = {
        "template": template.fingerprint,
        "cutoff_len": str(wanted.cutoff_len),
        "thinking": str(int(wanted.thinking)),
    }
    source = Source(
        chunks,
        filename=wanted.filename,
        mapping=wanted.mapping,
        limits=settings(),
        scratch=folder,
        crashes=this.crashes,
        block_rows=1 if this.careful else BLOCK_ROWS,
    )
    with (
        Findings(folder / FINDINGS, kept_max=settings().problems_max) as findings,
        EncodedWriter(folder / ENCODED, metadata | wanted.metadata) as writer,
    ):
        whole = _Whole(wanted, writer, findings)
        for made in pool.in_order(
            Encoder(wanted, template),
            _told(source.blocks(), page),
            count=this.processes,
            started=page.employ,
        ):
            whole.add(made)
        page.write(0, 0, 0)
        writer.metadata["kind"] = source.reading.kind.value
        writer.close(wanted.held_out_share)
        whole.end(Encoded.open(folder / ENCODED), folder, source.reading.kind)


def _told(blocks: Iterable[Block], page: Page) -> Iterator[Block]:
    for block in blocks:
        page.write(block.first, 0, 0)
        yield block


class _Whole:
    """Blocks to the writer, and the tally of what they come to. About 120 bytes of memory a row."""

    def __init__(self, wanted: EncodeOptions, writer: EncodedWriter, findings: Findings) -> None:
        self._wanted = wanted
        self._writer = writer
        self._findings = findings
        self._lengths = array("i")
        self._shares = array("f")
        self._sketches = Sketches()
        self._smallest = Smallest()
        self._bad = self._unrepaired = self._too_long = self._cut = 0

    def add(self, made: Encodings) -> None:
        self._writer.add_block(
            made.tokens,
            made.mask,
            made.sizes,
            lines=made.lines,
            hashes=made.hashes,
            labels=made.labels,
        )
        self._lengths += made.lengths
        self._shares += made.shares
        self._sketches.merge(made.sketches)
        for row in made.smallest:
            self._smallest.add(row)
        if made.found is not None:
            self._findings.add(made.found)
        self._bad += made.bad
        self._unrepaired += made.unrepaired
        self._too_long += made.too_long
        self._cut += made.cut

    def end(self, data: Encoded, folder: Path, kind: Kind) -> None:
        """Near-duplicates over the split, then everything that people want to know."""
        train, held_out = data.train_rows, data.held_out_rows
        self._sketches.save(folder / SKETCHES)
        self._findings.add_all(_leaks(self._sketches.of(train), self._sketches.of(held_out)))
        leaked = self._findings.counts[ProblemCode.NEAR_DUPLICATE]
        shown = self._smallest.shown()
        # Nothing is held out of a validation file: all of it is never trained on.
        sides = 2 if kind is Kind.PREFERENCE else 1
        if self._wanted.held_out_share:
            del shown[len(held_out) // sides :]
        (folder / HELD_OUT).write_bytes(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        lengths = np.array(self._lengths, dtype=np.int64)
        report = {
            "kind": kind.value,
            "thinking": self._wanted.thinking,
            "bad_rows": self._bad,
            "unrepaired_rows": self._unrepaired,
            "too_long_rows": self._too_long,
            "cut_rows": self._cut,
            "near_duplicates": leaked,
            "problems": [p.model_dump(mode="json") for p in self._findings.kept],
            "problem_counts": {code.value: n for code, n in self._findings.counts.items()},
            "train_rows": len(train) // sides,
            "train_tokens": data.tokens(train),
            "held_out_rows": len(held_out) // sides,
            "held_out_tokens": data.tokens(held_out),
            "supervised_tokens": data.supervised_tokens(train),
            "unlearnable_rows": len(data.unsupervised_rows) // sides,
            "longest_row": int(lengths.max(initial=0)),
            "tokens": _dumped(lengths, TOKEN_EDGES),
            "supervised_share": _dumped(np.array(self._shares), SHARE_EDGES),
            "cutoffs": cutoffs(lengths, self._wanted.context),
            "proposed_cutoff_len": proposed_cutoff(lengths, self._wanted.context),
        }
        (folder / REPORT).write_bytes(orjson.dumps(report))


def _leaks(train: Sketches, held_out: Sketches) -> Iterator[Problem]:
    for line, twin in near(train, held_out):
        message = (
            f"The row nearly equals line {twin}, which is held out, so the held-out loss will "
            "look better than it is. Remove one of them."
        )
        code, verdict = ProblemCode.NEAR_DUPLICATE, Verdict.WARNED
        yield Problem(line=line, code=code, message=message, verdict=verdict)


def cutoffs(lengths: npt.NDArray[np.int64], context: int) -> list[dict[str, int]]:
    """What each cutoff would lose of rows and tokens if longer rows were left out."""
    table = []
    for cutoff in CUTOFFS:
        if cutoff <= context:
            over = lengths[lengths > cutoff]
            table.append({"cutoff_len": cutoff, "rows": len(over), "tokens": int(over.sum())})
    return table


def proposed_cutoff(lengths: npt.NDArray[np.int64], context: int) -> int:
    """The smallest usual cutoff that keeps every row; the context where none does."""
    longest = int(lengths.max(initial=0))
    return next((cutoff for cutoff in CUTOFFS if longest <= cutoff <= context), context)


def _dumped(values: Any, edges: Sequence[float]) -> dict[str, Any] | None:
    return histogram(values, edges).model_dump(mode="json") if len(values) else None
