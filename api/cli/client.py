"""The service over REST, as the command sees it: requests, refusals in words, the event stream."""

import json
import os
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import httpx
import typer
from rich.console import Console

from api.settings import settings

console = Console(highlight=False)
CREDENTIALS = "credentials.json"
POLL_SECONDS = 0.2
RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a job's stream."""

    seq: int
    type: str
    event: dict[str, Any]


class Client:
    """A key and a URL. Refusals end the command with the server's own sentence."""

    def __init__(self, *, url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/v1",
            headers={"authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(180, connect=5),
        )
        # A command makes one and lets go of it; its connections go with it.
        weakref.finalize(self, self._http.close)

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(lambda: self._http.get(path, params=query))

    def text(self, path: str, **query: Any) -> str:
        """As it comes: for CSV."""
        return self._checked(lambda: self._http.get(path, params=query)).text

    def post(self, path: str, body: Any = None) -> Any:
        return self._answer(lambda: self._http.post(path, json=body if body is not None else {}))

    def upload(self, path: Path, progress: Callable[[int], None]) -> Any:
        """Send a file for training as a stream; `progress` hears of the bytes sent so far."""
        with path.open("rb") as file:
            watched = cast("BinaryIO", _Watched(file, progress))
            files = {"file": (path.name, watched, "application/octet-stream")}
            return self._answer(
                lambda: self._http.post("/files", files=files, data={"purpose": "fine-tune"})
            )

    def follow(self, job_id: str) -> Iterator[Frame]:
        """Every event of the job, from the first to the last, over broken connections too."""
        last = 0
        while True:
            try:
                for frame in self._stream(job_id, last):
                    last = frame.seq
                    yield frame
                    if frame.type == "status" and frame.event["status"] in _ENDS:
                        return
            except httpx.TransportError:
                console.print("[dim]the stream broke; resuming[/dim]")
            time.sleep(RECONNECT_SECONDS)

    def chat(self, model: str, messages: list[dict[str, str]], *, max_tokens: int = 120) -> str:
        """A whole greedy answer."""
        body = {
            "model": model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        answer: str = self.post("/chat/completions", body)["choices"][0]["message"]["content"]
        return answer

    def chat_pieces(self, model: str, messages: list[dict[str, str]]) -> Iterator[str]:
        body = {"model": model, "messages": messages, "stream": True}
        with self._http.stream("POST", "/chat/completions", json=body) as response:
            if response.status_code >= 400:
                response.read()
                _refuse(response)
            for line in response.iter_lines():
                data = line.removeprefix("data: ")
                if not line.startswith("data: ") or data == "[DONE]":
                    continue
                chunk = json.loads(data)
                if "error" in chunk:
                    _stop(chunk["error"]["message"])
                yield chunk["choices"][0]["delta"].get("content") or ""

    def _stream(self, job_id: str, last: int) -> Iterator[Frame]:
        headers = {"last-event-id": str(last)}
        timeout = httpx.Timeout(60, connect=5)
        with self._http.stream(
            "GET", f"/fine_tuning/jobs/{job_id}/stream", headers=headers, timeout=timeout
        ) as response:
            if response.status_code >= 400:
                response.read()
                _refuse(response)
            seq, kind = 0, ""
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    seq = int(value)
                elif field == "event":
                    kind = value
                elif field == "data":
                    yield Frame(seq, kind, json.loads(value)["event"])

    def _answer(self, send: Callable[[], httpx.Response]) -> Any:
        return self._checked(send).json()

    def _checked(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            response = send()
        except httpx.ConnectError:
            _stop(f"There is no service at {self._http.base_url}. Start one with `tunery up`.")
        except httpx.TransportError as error:
            _stop(f"The connection broke ({type(error).__name__}). Try again.")
        if response.status_code >= 400:
            _refuse(response)
        return response


_ENDS = ("succeeded", "failed", "cancelled")


class _Watched:
    """A file that tells how far it was read."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._progress(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(1 << 16):
            yield chunk


def connect(url: str | None = None, key: str | None = None) -> Client:
    """From options, the environment, or what `tunery up` left in the data folder, in that order."""
    kept: dict[str, str] = {}
    path = settings().data_dir / CREDENTIALS
    if path.exists():
        kept = json.loads(path.read_text("utf-8"))
    key = key or os.environ.get("TUNERY_API_KEY") or kept.get("api_key")
    url = url or os.environ.get("TUNERY_URL") or kept.get("url") or settings().public_url
    if not key:
        _stop("No API key. Set TUNERY_API_KEY, or start a service here with `tunery up`.")
    return Client(url=url, key=key)


def _refuse(response: httpx.Response) -> NoReturn:
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"The service answered {response.status_code}."
    _stop(message)


def _stop(message: str) -> NoReturn:
    console.print(f"[red]✗[/red] {message}", markup=True)
    raise typer.Exit(1)
