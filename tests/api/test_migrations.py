"""The migrations go up, down and up again, and come to exactly what the tables say."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import FreshEngines

ROOT = Path(__file__).parent.parent.parent


def test_migrations_go_up_down_and_up_and_match_the_tables(fresh_engines: FreshEngines) -> None:
    engines = fresh_engines("postgres")
    environment = os.environ | engines.start()

    def alembic(*words: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "alembic", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    for words in (["upgrade", "head"], ["downgrade", "base"], ["upgrade", "head"]):
        alembic(*words)
    assert "No new upgrade operations detected" in alembic("check")
