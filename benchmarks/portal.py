"""How fast the portal feels: first load, a curve of 100,000 points, frames while it lives, 2 GB up.

The real API on engines of its own, Chromium without a GPU beside it on the same machine. The job is
a real one on the example data; this process claims it as a worker would, and records 100,000 steps
and then ten a second, so that no training takes the processor while frames are counted. Medians of
RUNS; each run is a new window with an empty cache.

    python -m benchmarks.portal
"""

import json
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from api import jobs, storage
from api.db import transaction
from api.embedded import Engines, migrate
from api.embedded.migration import use
from api.embedded.parts import service_parts
from api.embedded.supervisor import Supervisor
from api.events import Step
from api.settings import settings
from tests.browser import launch

EXAMPLE = Path(__file__).parent.parent / "examples/shop-en.jsonl"
ACCOUNT = {"email": "bench@localhost", "password": "twelve letters"}
POINTS = 100_000
RUNS = 5
LIVE_SECONDS = 10
UPLOAD_BYTES = 2_000_000_000

# Resolves with frames a second, and the longest pause between two frames in milliseconds.
FRAMES = """seconds => new Promise(done => {
  const start = performance.now(); let last = start, frames = 0, longest = 0;
  const frame = now => {
    frames += 1; longest = Math.max(longest, now - last); last = now;
    if (now - start < seconds * 1000) requestAnimationFrame(frame);
    else done([frames / ((now - start) / 1000), longest]);
  };
  requestAnimationFrame(frame);
})"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder, _service(folder) as url:
        claimed = _job(url)
        with sync_playwright() as playwright:
            browser = launch(playwright)
            figures = _measure(browser, url, claimed, Path(folder))
            browser.close()
    print(json.dumps(figures))


@contextmanager
def _service(folder: str) -> Iterator[str]:
    """The API and the worker that reads files; nobody who trains."""
    engines = Engines(Path(folder))
    port = httpx.URL(settings().public_url).port or 8000
    url = f"http://127.0.0.1:{port}"
    use({"DATA_DIR": folder, "PUBLIC_URL": url, "PORT": str(port)} | engines.start())
    supervisor = Supervisor(engines, logs=Path(folder))
    try:
        migrate()
        storage.ensure_bucket()
        supervisor.start(p for p in service_parts(settings()) if p.name in ("api", "worker cpu"))
        yield url
    finally:
        supervisor.stop()


def _job(url: str) -> jobs.Claim:
    """A job of the example data that is ours, with POINTS steps recorded."""
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as http:
        http.post("/auth/sign-up", json=ACCOUNT | {"tenant": "Bench"}).raise_for_status()
        sent = http.post(
            "/files",
            files={"file": (EXAMPLE.name, EXAMPLE.read_bytes())},
            data={"purpose": "fine-tune"},
        )
        body = {"model": "smollm2-135m-instruct", "training_file": sent.json()["id"]}
        made = http.post("/fine_tuning/jobs", json=body | {"suffix": "long-run"})
        made.raise_for_status()
        job = f"/fine_tuning/jobs/{made.json()['id']}"
        until = time.monotonic() + 120
        while http.get(job).json()["status"] != "queued":
            assert time.monotonic() < until, http.get(job).json()
            time.sleep(0.2)
    with transaction() as session:
        claimed = jobs.claim(session, worker="bench")
    assert claimed is not None
    for first in range(1, POINTS + 1, 2_000):
        with transaction() as session:
            jobs.record(session, claimed, [_step(n) for n in range(first, first + 2_000)])
    return claimed


def _step(number: int) -> Step:
    return Step(
        step=number,
        total_steps=2 * POINTS,
        epoch=3 * number / (2 * POINTS),
        loss=2.5 * math.exp(-number / 30_000) + 0.3 * abs(math.sin(number * 12.9898)),
        learning_rate=2e-4 * (1 - number / (2 * POINTS)),
        grad_norm=1 + 0.5 * math.sin(number / 50),
        trained_tokens=number * 700,
        tokens_per_second=900.0,
        eta_seconds=1_000.0,
    )


def _measure(
    browser: Browser, url: str, claimed: jobs.Claim, folder: Path
) -> dict[str, float | int | str]:
    loads = [_first_load(browser, url) for _ in range(RUNS)]
    opens = [_open_job(browser, url) for _ in range(RUNS)]
    with _ten_a_second(claimed), _inside(browser, url) as page:
        _click_job(page)
        _curve(page)
        fps, longest = page.evaluate(FRAMES, LIVE_SECONDS)
    print(f"live   {fps:.1f} frames/s, longest pause {longest:.0f} ms", flush=True)
    upload = _upload(browser, url, folder)
    return {
        "js_gzip_kb": round(max(load["js"] for load in loads) / 1_000, 1),
        "interactive_ms": round(statistics.median(load["ms"] for load in loads)),
        "open_100k_points_ms": round(statistics.median(opens)),
        "fps": round(fps, 1),
        "live_longest_frame_ms": round(longest),
        **upload,
        "points": POINTS,
        "browser": browser.version,
    }


def _first_load(browser: Browser, url: str) -> dict[str, float]:
    """An empty cache: JavaScript as it travels, and the time until the door can be used."""
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/app/sign-in", wait_until="commit")
    page.get_by_role("textbox").first.wait_for()
    ms = page.evaluate("performance.now()")
    page.wait_for_load_state("networkidle")
    js = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.endsWith('.js'))"
        ".reduce((sum, e) => sum + e.encodedBodySize, 0)"
    )
    context.close()
    print(f"load   {js / 1_000:.1f} kB of JavaScript, interactive after {ms:.0f} ms", flush=True)
    return {"js": js, "ms": ms}


def _open_job(browser: Browser, url: str) -> float:
    """From the click in the list to the drawn curve, in milliseconds."""
    with _inside(browser, url) as page:
        page.evaluate("performance.mark('clicked')")
        _click_job(page)
        _curve(page)
        ms: float = page.evaluate(
            "new Promise(done => requestAnimationFrame(() =>"
            " done(performance.now() - performance.getEntriesByName('clicked')[0].startTime)))"
        )
    print(f"open   {ms:.0f} ms", flush=True)
    return ms


def _upload(browser: Browser, url: str, folder: Path) -> dict[str, float | int | str]:
    """A file of 2 GB through the file dialog: how long the page ever stood still."""
    file = folder / "large.jsonl"
    row = b'{"prompt": "Say it", "completion": "%s"}\n' % (b"All of it. " * 90_000)
    with file.open("wb") as out:
        for _ in range(UPLOAD_BYTES // len(row)):
            out.write(row)
    with _inside(browser, url) as page:
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("u")
        chooser.value.set_files(file)
        began = time.monotonic()
        page.evaluate(
            "window.frames_ = { longest: 0, last: performance.now() };"
            "(function frame(now) { const f = window.frames_;"
            " f.longest = Math.max(f.longest, (now ?? f.last) - f.last); f.last = now ?? f.last;"
            " requestAnimationFrame(frame); })()"
        )
        with httpx.Client(base_url=f"{url}/v1", timeout=60) as http:
            http.post("/auth/sign-in", json=ACCOUNT).raise_for_status()
            while not any(f["filename"] == file.name for f in http.get("/files").json()["data"]):
                assert time.monotonic() < began + 600, "the upload never ended"
                page.wait_for_timeout(500)
        seconds = time.monotonic() - began
        longest = page.evaluate("window.frames_.longest")
    rate = file.stat().st_size / seconds / 1e6
    print(f"upload {rate:.0f} MB/s, longest pause {longest:.0f} ms", flush=True)
    return {"upload_mb_per_s": round(rate), "upload_longest_frame_ms": round(longest)}


@contextmanager
def _inside(browser: Browser, url: str) -> Iterator[Page]:
    """A signed-in window on the list of jobs, idle."""
    context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
    answer = context.request.post("/v1/auth/sign-in", data=ACCOUNT)
    assert answer.ok, answer.text()
    page = context.new_page()
    page.goto("/app/jobs")
    page.get_by_text("long-run").first.wait_for()
    page.wait_for_timeout(1_000)
    yield page
    context.close()


def _click_job(page: Page) -> None:
    page.get_by_text("long-run").first.click()


def _curve(page: Page) -> None:
    page.wait_for_selector(".uplot canvas", timeout=60_000)


@contextmanager
def _ten_a_second(claimed: jobs.Claim) -> Iterator[None]:
    stop = threading.Event()

    def record() -> None:
        number = POINTS
        while not stop.wait(0.1):
            number += 1
            with transaction() as session:
                jobs.record(session, claimed, [_step(number)])

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
