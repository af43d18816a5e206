"""The real engines, once for the whole run; tests that kill some get their own."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api import storage
from api.embedded import Engines, migrate
from api.settings import settings

FreshEngines = Callable[..., Engines]


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory of a short name, since a socket's path may have only about a hundred letters."""
    path = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """PostgreSQL with our tables, Valkey and S3 with our bucket; this process's settings name them.

    Engines that the environment names are used as they are.
    """
    path = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        started = Engines(path)
        try:
            for name, value in {"DATA_DIR": str(path), **started.start()}.items():
                patch.setenv(name, value)
            settings.cache_clear()
            migrate()
            storage.ensure_bucket()
            yield started
        finally:
            started.stop()
    settings.cache_clear()
    shutil.rmtree(path)


@pytest.fixture
def fresh_engines(short_dir: Path) -> Iterator[FreshEngines]:
    """`fresh_engines("postgres", …)`: engines of this test alone, all three where none is named.

    They are not started, and this process's settings do not name them.
    """
    made: list[Engines] = []

    def make(*names: str) -> Engines:
        only = names or ("postgres", "valkey", "seaweedfs")
        made.append(Engines(short_dir / "data", only=only))
        return made[-1]

    yield make
    for each in made:
        each.stop()
