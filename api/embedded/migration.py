"""The tables, brought up to date by their owner; the environment that everyone else then reads."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import api
from api.errors import Unavailable
from api.settings import settings

ROOT = Path(api.__file__).parent.parent


def use(environment: Mapping[str, str]) -> None:
    """Make these the settings of this process and of those it starts."""
    os.environ.update(environment)
    settings.cache_clear()


def migrate() -> None:
    """Run every migration that the database lacks, as its owner."""
    # Alembic runs from the root, whose pyproject configures it; a `.env` where we stand counts on.
    urls = {
        "DATABASE_URL": settings().database_url,
        "DATABASE_SYSTEM_URL": settings().system_url(),
        "DATABASE_OWNER_URL": settings().owner_url(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env=os.environ | urls,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"The database could not be migrated:\n{done.stderr.strip()}")
