"""The settings and their list in `.env.example`, which people copy."""

import re
from pathlib import Path

from pydantic import SecretStr

from api.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_in_the_example_with_its_default() -> None:
    listed = dict(
        re.findall(r"^#([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    assert listed == {name.upper(): _default(name) for name in Settings.model_fields}


def test_the_example_changes_nothing_as_it_stands() -> None:
    text = (ROOT / ".env.example").read_text()
    assert not [line for line in text.splitlines() if line and not line.startswith("#")]


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return "" if default is None else str(default)
