"""The OpenAPI document: every answer has a shape, every code is used, and the client is its own."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from api.app import create_app
from api.errors import ErrorCode
from api.events import NoticeCode
from api.rows import ProblemCode

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "frontend"
GENERATOR = FRONTEND / "node_modules" / ".bin" / "openapi-typescript"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_json_answer_has_a_named_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                if kind == "application/json":
                    assert "$ref" in content["schema"], f"{name} {status}"


def test_every_route_refuses_in_one_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert "422" not in operation["responses"], name
        refusal = operation["responses"]["default"]["content"]["application/json"]["schema"]
        assert refusal == {"$ref": "#/components/schemas/Error"}, name


def test_operations_are_named_for_their_functions_and_once(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert sorted(set(names)) == sorted(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_shapes_have_plain_names(document: dict[str, Any]) -> None:
    """One thing of a name, and none that is asked for in one shape and answered in another."""
    for name in document["components"]["schemas"]:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name), name


def test_events_and_codes_are_in_the_document(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"Record", "Status", "Step", "Eval", "Sample", "Saved", "Notice"} <= schemas.keys()
    assert schemas["ErrorCode"]["enum"] == list(error_codes())
    assert schemas["NoticeCode"]["enum"] == list(notice_codes())
    assert schemas["ProblemCode"]["enum"] == [code.value for code in ProblemCode]


def test_every_setting_of_a_job_says_what_it_is(document: dict[str, Any]) -> None:
    """A form can be made of these alone: default, bounds and a sentence for each."""
    for shape in ("Tuning", "WireHyperparameters"):
        for name, setting in document["components"]["schemas"][shape]["properties"].items():
            assert setting.get("description"), f"{shape}.{name}"


def test_what_is_answered_has_every_field(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("Job", "JobSpec", "Hyperparameters", "Quote", "QuoteAnswer", "File", "Limits"):
        assert set(schemas[name]["required"]) == schemas[name]["properties"].keys(), name


@pytest.mark.parametrize("kind", ["errors", "notices"])
def test_every_code_is_given_by_somebody(kind: str) -> None:
    codes, home = (
        (error_codes(), ROOT / "api/errors.py")
        if kind == "errors"
        else (notice_codes(), ROOT / "api/events.py")
    )
    assert len(set(codes)) == len(codes)
    text = "\n".join(
        path.read_text("utf-8")
        for folder in ("api", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if path != home
    )
    if kind == "errors":
        # The classes' own codes stand beside the list.
        text += (ROOT / "api/errors.py").read_text("utf-8").partition("class TuneryError")[2]
    unused = [code for code in codes if f'"{code}"' not in text]
    assert not unused


def error_codes() -> tuple[str, ...]:
    return get_args(ErrorCode.__value__)


def notice_codes() -> tuple[str, ...]:
    return get_args(NoticeCode.__value__)


@pytest.mark.skipif(not GENERATOR.exists(), reason="the front end's packages are not installed")
def test_the_portals_client_is_made_of_this_document(tmp_path: Path) -> None:
    """`npm run client` in frontend/ makes it anew."""
    script = json.loads((FRONTEND / "package.json").read_text("utf-8"))["scripts"]["client"]
    printed = subprocess.run(
        [sys.executable, "-m", "api.openapi"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    (tmp_path / "openapi.json").write_bytes(printed.stdout)
    (command,) = [part.strip() for part in script.split("&&") if "openapi-typescript" in part]
    made = tmp_path / "schema.d.ts"
    arguments = command.replace("src/client/schema.d.ts", str(made)).split()[1:]
    subprocess.run(
        [str(GENERATOR), *arguments], cwd=tmp_path, capture_output=True, check=True, timeout=60
    )
    kept = FRONTEND / "src" / "client" / "schema.d.ts"
    assert made.read_text("utf-8") == kept.read_text("utf-8"), "run `npm run client` in frontend/"


def test_the_command_prints_the_document(document: dict[str, Any]) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "api.openapi"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert json.loads(printed.stdout) == json.loads(json.dumps(document))
