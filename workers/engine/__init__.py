"""The sealed training room: specs and encoded datasets go in, events come out.

It imports torch, transformers, peft and the words of `api` (spec, events, rows), and nothing else
of the service: no HTTP, SQL, Redis or S3. `python -m workers.engine` runs it alone.
"""

import os

# OpenMP threads that wait by spinning take the cores from whoever they wait for: where two torch
# processes share a CPU, a step took ten times as long. OpenMP reads this once, when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
