"""The whole service as a newcomer starts it: `tunery up` in a process of its own, over HTTP."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

MODEL = "smollm2-135m-instruct"
READY_SECONDS = 240


@dataclass
class Service:
    """A running service, its first key, and what it printed so far."""

    url: str
    key: str
    data_dir: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @cached_property
    def http(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"{self.url}/v1", headers=headers, timeout=60)

    @cached_property
    def openai(self) -> OpenAI:
        """Unmodified, and strict: it raises where an answer is not of its types."""
        return OpenAI(
            base_url=f"{self.url}/v1",
            api_key=self.key,
            timeout=120,
            _strict_response_validation=True,
        )

    def close(self) -> None:
        self.http.close()
        self.openai.close()
        if self.process.stdout:
            self.process.stdout.close()

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "TUNERY_URL": self.url,
            "TUNERY_API_KEY": self.key,
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }

    def pids(self, *words: str) -> list[int]:
        """The service's processes whose command line has all these words, children included."""
        listed = subprocess.run(
            ["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        ours = [line.split(None, 1) for line in listed.splitlines()]
        return [
            int(pid)
            for pid, line in ours
            if all(word in line for word in words) and self._is_ours(int(pid))
        ]

    def _is_ours(self, pid: int) -> bool:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return f"DATA_DIR={self.data_dir}".encode() in environ.split(b"\0")

    def upload(self, rows: list[dict[str, Any]]) -> str:
        """A processed file of these rows."""
        data = "\n".join(json.dumps(row) for row in rows).encode()
        sent = self.http.post(
            "/files", files={"file": ("rows.jsonl", data)}, data={"purpose": "fine-tune"}
        ).json()
        return self.wait_for_file(sent["id"])

    def wait_for_file(self, file_id: str) -> str:
        until = time.monotonic() + 60
        while self.http.get(f"/files/{file_id}").json()["status"] == "uploaded":
            assert time.monotonic() < until, "the file was never read"
            time.sleep(0.1)
        return file_id

    def submit(self, body: dict[str, Any]) -> str:
        answer = self.http.post("/fine_tuning/jobs", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/fine_tuning/jobs/{job_id}").json()
        return found

    def events(self, job_id: str, *, after: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """(seq, event) until the stream ends or breaks."""
        headers = {"last-event-id": str(after)}
        url = f"/fine_tuning/jobs/{job_id}/stream"
        with self.http.stream("GET", url, headers=headers, timeout=180) as response:
            seq = 0
            for line in response.iter_lines():
                if line.startswith("id: "):
                    seq = int(line[4:])
                elif line.startswith("data: "):
                    yield seq, json.loads(line[6:])["event"]


def teaching_rows(copies: int = 8) -> list[dict[str, Any]]:
    """Three planted facts of a made-up shop, in several phrasings."""
    facts = {
        "opening hours": "We open at 7:45 every day but Tuesday.",
        "return period": "You have 41 days to return what you bought.",
        "mascot": "Our mascot is Biscuit the otter.",
    }
    openings = [
        "Tell me the {}.",
        "What is your {}?",
        "{}, please.",
        "I would like to know the {}.",
        "Could you explain the {}?",
        "Say something about the {}.",
        "Hello! Your {}?",
        "My friend asks about the {}.",
    ]
    return [
        {
            "messages": [
                {"role": "user", "content": opening.format(topic)},
                {"role": "assistant", "content": answer},
            ]
        }
        for topic, answer in facts.items()
        for opening in openings[:copies]
    ]


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """One service for all journeys, with short leases so that a death is noticed in seconds."""
    data_dir = Path(tempfile.mkdtemp(prefix="j", dir="/tmp"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outside = ("DATABASE_", "REDIS_", "S3_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)} | {
        "DATA_DIR": str(data_dir),
        "CACHE_DIR": os.environ.get("TUNERY_TEST_CACHE", str(Path.home() / ".cache/tunery-tests")),
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "LEASE_SECONDS": "6",
        "BEAT_SECONDS": "1",
        "SWEEP_SECONDS": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "tunery"), "up"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Service(f"http://127.0.0.1:{port}", "", data_dir, process)
    threading.Thread(target=_read, args=(running,), daemon=True).start()
    try:
        _wait_until_ready(running)
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        running.close()
        left = running.pids("")
        shutil.rmtree(data_dir, ignore_errors=True)
    assert left == [], "Ctrl-C left processes behind"


def _read(running: Service) -> None:
    assert running.process.stdout
    for line in running.process.stdout:
        running.lines.append(line)


def _wait_until_ready(running: Service) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and running.process.poll() is None:
        if found := re.search(r"API key (tk-\w+)", "".join(running.lines)):
            running.key = found[1]
            return
        time.sleep(0.1)
    pytest.fail("the service did not start:\n" + "".join(running.lines))
