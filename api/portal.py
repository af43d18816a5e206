"""The built portal under `/app/`: one page for every address in it, and its files.

A file's name under `assets/` changes with its content, so it may be kept for a year; the page is
asked for again each time and answered by its ETag. What the build compressed is sent as it lies.
"""

import mimetypes
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from api.errors import NotFound

PAGE = "index.html"
ASSETS = "assets/"

SECURITY = {
    "content-security-policy": "default-src 'self'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""The smaller one first."""


class Portal(StaticFiles):
    """Mounted by the app where the portal was built."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        return await run_in_threadpool(self._answer, path, Headers(scope=scope))

    def _answer(self, path: str, asked: Headers) -> Response:
        file = self._file(path)
        if file is None:
            if _names_a_file(path):
                raise NotFound(f"There is nothing at /app/{path}.")
            # An address inside the portal, reloaded or sent to somebody.
            path, file = PAGE, self._file(PAGE)
        if file is None:
            raise NotFound("The portal is not built: run `npm run build` in frontend/.")
        headers = SECURITY | {
            "cache-control": "public, max-age=31536000, immutable"
            if path.startswith(ASSETS)
            else "no-cache",
            "vary": "Accept-Encoding",
        }
        sent = file
        for encoding in _accepted(asked.get("accept-encoding", "")):
            if packed := self._file(path + _ENCODINGS[encoding]):
                sent = packed
                headers["content-encoding"] = encoding
                break
        answer = FileResponse(
            sent,
            headers=headers,
            media_type=mimetypes.guess_type(file)[0] or "application/octet-stream",
            stat_result=sent.stat(),
        )
        if self.is_not_modified(answer.headers, asked):
            return NotModifiedResponse(answer.headers)
        return answer

    def _file(self, path: str) -> Path | None:
        """The file at a path, which leads nowhere outside the folder."""
        found, _ = self.lookup_path(path)
        return Path(found) if found and Path(found).is_file() else None


def _names_a_file(path: str) -> bool:
    """By its place or its ending; `models/qwen2.5-7b` is an address, for nothing ends in .5-7b."""
    return path.startswith(ASSETS) or mimetypes.guess_type(path)[0] is not None


def _accepted(header: str) -> list[str]:
    """Which of our encodings the client takes."""
    taken = set()
    for part in header.lower().split(","):
        name, _, quality = part.partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0"):
            taken.add(name.strip())
    return [encoding for encoding in _ENCODINGS if encoding in taken or "*" in taken]
