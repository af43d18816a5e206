"""One child process: born with a log of its own, gone when told, and never outliving us.

Linux can send a child a signal when its parent dies, but means the parent's *thread* by that: so
every child is born from one thread that lives as long as the interpreter. The wish is made by a few
lines of Python which then become the program, because fork hooks are unsafe beside threads and
because entering a user namespace on the way may drop the wish.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from api.errors import Unavailable

_BORN = """
import ctypes, os, sys
parent, number, *argv = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(number))
if os.getppid() == int(parent):
    os.execv(argv[0], argv)
"""

_midwife = ThreadPoolExecutor(max_workers=1, thread_name_prefix="midwife")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how it wishes to end."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    prefix: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    grace_seconds: float = 10.0


class Process:
    """A process that may be born many times, at most one of it alive at a time."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._command: Command | None = None
        self._log_start = 0
        self._closed = False
        if log.exists():
            log.replace(log.with_name(log.name + ".1"))

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll() if self._popen else None

    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def open(self) -> None:
        """Allow births again after a stop."""
        self._closed = False

    def spawn(self, command: Command) -> None:
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self.name} is being stopped.")
            self._end()  # what a dead one may have left of its group
            self._command = command
            self._popen = _midwife.submit(self._bear, command).result()

    def stop(self) -> None:
        """Ask it to end, insist after its grace, and bear no more until `open`."""
        with self._lock:
            self._closed = True
            if self._popen is None or self._command is None:
                return
            self._signal(self._command.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(self._command.grace_seconds)
            self._end()

    def kill(self) -> None:
        """As `kill -9` would; it may be born again. Takes no lock: it must work amid a stop."""
        self._end()

    def output(self) -> str:
        """What it has written since its last birth."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._log_start)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_words(self, lines: int = 12) -> str:
        return "\n".join(self.output().strip().splitlines()[-lines:])

    def _bear(self, command: Command) -> "subprocess.Popen[bytes]":
        wish = (sys.executable, "-I", "-S", "-c", _BORN, str(os.getpid()))
        argv = (*command.prefix, *wish, str(int(command.orphan_signal)), *command.argv)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(
                argv,
                cwd=command.cwd,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C in a terminal reaches us, and we end them in order.
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        if self.alive() and self._popen:
            self._popen.send_signal(number)

    def _end(self) -> None:
        """Kill whatever is left of the group, and see it gone."""
        if self._popen is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        _await_group(self._popen.pid)


def _await_group(group: int, *, patience_seconds: float = 2.0) -> None:
    """Children of the dead leader are reaped by init, a moment later."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
