"""Everything of Tunery that a worker process runs; only `workers.engine` touches torch models."""
