"""Reading datasets before anybody pays: what a file holds, what a base model makes of it.

`run` does either in a process of its own, under limits of memory and time. No database and no
storage here: bytes come in, files in a folder come out.
"""

from workers.preflight.duplicates import Sketches
from workers.preflight.encode import ENCODED, HELD_OUT, SKETCHES, encode
from workers.preflight.inspect import FINDINGS, REPORT, inspect
from workers.preflight.mix import MixError, leakage, mix
from workers.preflight.process import Progress, Unreadable, run
from workers.preflight.sequences import EncodeOptions

__all__ = [
    "ENCODED",
    "FINDINGS",
    "HELD_OUT",
    "REPORT",
    "SKETCHES",
    "EncodeOptions",
    "MixError",
    "Progress",
    "Sketches",
    "Unreadable",
    "encode",
    "inspect",
    "leakage",
    "mix",
    "run",
]
