"""The docs name tests for what they promise; each of those tests exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_test_that_the_docs_name_exists() -> None:
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    for page in (ROOT / "docs").glob("*.md"):
        named = set(re.findall(r"`(test_\w+)`", page.read_text("utf-8")))
        assert named <= known, f"{page.name}: {sorted(named - known)}"


def test_every_line_of_a_table_with_tests_names_one() -> None:
    text = (ROOT / "docs" / "datasets.md").read_text("utf-8")
    tables = [block for block in text.split("\n\n") if "| test |" in block]
    lines = [line for block in tables for line in block.splitlines() if line.startswith("|")]
    assert len(lines) > 80
    for line in lines:
        assert "`test_" in line or line.endswith("| test |") or set(line) <= set("|- "), line
