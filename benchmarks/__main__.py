"""`python -m benchmarks [NAME …]`: run those benchmarks, or all of them."""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = sorted(path.stem for path in HERE.glob("[a-z]*.py"))

for name in sys.argv[1:] or ALL:
    if name not in ALL:
        raise SystemExit(f"There is no benchmark {name!r}. There are: {', '.join(ALL)}.")
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
