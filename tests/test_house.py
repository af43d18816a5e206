"""House rules that no linter has: files say what they are for, stay short, and are named well."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 480  # about 400; a test file may tell a longer story
TEST_LINES_MAX = 700
VAGUE = re.compile(
    r"(^|_)(utils?|common|helpers?|misc|manager|handler|service)(_|$)", re.IGNORECASE
)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).exists()]


PYTHON = [path for path in tracked("*.py") if path.stat().st_size]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_is_for_and_fits_its_room(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "begin with what this file is for"
    if "migrations/versions" not in str(path):
        most = TEST_LINES_MAX if path.is_relative_to(ROOT / "tests") else LINES_MAX
        assert len(text.splitlines()) <= most, "make it a folder with the same exports"
    assert not VAGUE.search(path.stem), "name it for what it does"


def test_nothing_speaks_of_this_machine() -> None:
    words = re.compile(r"/(root|work|home)/|(pypi|pythonhosted|npmjs)\.(org|com)")
    for path in tracked("*.py", "*.md", "*.toml", "*.txt", "*.yaml", "*.json", "Makefile"):
        if path.name == Path(__file__).name:
            continue
        found = words.search(path.read_text("utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_the_readme_draws_every_room() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for folder in ("api", "workers"):
        for path in sorted((ROOT / folder).iterdir()):
            if path.name.startswith("_") or path.suffix not in {"", ".py"}:
                continue
            name = path.name if path.suffix else f"{path.name}/"
            assert name in readme, f"README.md does not show {folder}/{name}"
