"""The sealed training room: specs and encoded datasets go in, events come out.

It imports torch, transformers, peft and the words of `api` (spec, events, rows), and nothing else
of the service: no HTTP, SQL, Redis or S3. `python -m workers.engine` runs it alone.
"""
