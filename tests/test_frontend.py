"""The portal: builds from its lock to the same bytes, starts small, names no outside host."""

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FRONTEND = Path(__file__).parents[1] / "frontend"
GZIPPED_JS_BYTES_MAX = 250_000
NODE_MISSING = shutil.which("npm") is None

needs_node = pytest.mark.skipif(NODE_MISSING, reason="no Node on this machine")


@pytest.fixture(scope="module")
def installed() -> Path:
    """The front end with exactly the lock's packages: `npm ci` unless they are there already."""
    lock = FRONTEND / "package-lock.json"
    present = FRONTEND / "node_modules" / ".package-lock.json"
    if not present.exists() or present.stat().st_mtime < lock.stat().st_mtime:
        _npm("ci")
    return FRONTEND


@pytest.fixture(scope="module")
def dist(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh build, beside the one that a running service may be serving."""
    return _build(tmp_path_factory.mktemp("portal") / "dist")


@needs_node
def test_types_and_lints_are_clean(installed: Path) -> None:
    _npm("run", "check")


@needs_node
def test_its_own_tests_pass(installed: Path) -> None:
    """Feeds, curves, words in both languages, uploads: frontend/tests."""
    _npm("test")


@needs_node
def test_the_same_lock_builds_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    again = _build(tmp_path / "dist")
    assert _contents(again) == _contents(dist)


@needs_node
def test_it_starts_small(dist: Path) -> None:
    """What a browser loads before the first page: the entry, and all that it imports at once."""
    waiting = re.findall(r'src="/app/(assets/[^"]+\.js)"', (dist / "index.html").read_text())
    first: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in first:
            continue
        first.add(name)
        code = (dist / name).read_text()
        found = re.findall(r'(?:from|import)"\./([^"]+\.js)"', code)
        waiting += [f"assets/{other}" for other in found]
    assert len(first) > 1
    size = sum(len(gzip.compress((dist / name).read_bytes())) for name in first)
    assert size < GZIPPED_JS_BYTES_MAX, f"{size:,} bytes in {sorted(first)}"


@needs_node
def test_the_build_names_no_outside_host(dist: Path) -> None:
    for name, content in _contents(dist).items():
        if name.endswith(".gz"):
            continue
        hosts = set(re.findall(rb"https?://([\w.-]+)", content)) - {b"www.w3.org", b"localhost"}
        assert not hosts, (name, hosts)


@needs_node
def test_the_build_fits_a_strict_content_security_policy(dist: Path) -> None:
    page = (dist / "index.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert "<style" not in page
    assert not any(b"url(data:" in content for content in _contents(dist).values())


def test_every_dependency_is_pinned_exactly() -> None:
    package = json.loads((FRONTEND / "package.json").read_text())
    for group in ("dependencies", "devDependencies"):
        for name, version in package[group].items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version), (name, version)


def test_the_lock_names_no_registry_and_a_hash_for_each_package() -> None:
    packages = json.loads((FRONTEND / "package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        if path:
            assert "resolved" not in package, path
            assert package["integrity"].startswith("sha512-"), path


def test_a_page_says_no_word_of_its_own() -> None:
    """Text between tags is a word that belongs in src/words."""
    for file in FRONTEND.glob("src/**/*.tsx"):
        for text in re.findall(
            r"(?<=[\w\"}])>\s*([^<>{}=;()]*[A-Za-z]{2,}[^<>{}=;()]*)</", file.read_text()
        ):
            pytest.fail(f"{file.name} says {text.strip()!r}")


def _build(out: Path) -> Path:
    _npm("run", "build", "--", "--outDir", str(out), "--emptyOutDir")
    return out


def _contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def _npm(*arguments: str) -> None:
    done = subprocess.run(
        ["npm", *arguments], cwd=FRONTEND, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
