"""Tests of the sealed training room: no services, real small models."""

import workers.engine  # noqa: F401 - before torch: it sets how OpenMP waits
