"""How long a newcomer waits for the first loss, and how long a warm service takes to show one.

Clones the repository into an empty folder and runs `make run` there, set-up and all (with whatever
package caches the machine has), until the first loss is on screen. Then submits the example data to
that warm service a few times and takes the median from submit to the first step event.

    python -m benchmarks.first_loss
"""

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from api.cli.client import Client

REPOSITORY = Path(__file__).parent.parent
WARM_RUNS = 5
PATIENCE_SECONDS = 900
MARK = re.compile(r"\s*([\d.]+) s\s+(.+?) \(\+([\d.]+) s\)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "tunery"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
        figures = _measure(clone)
    print(json.dumps(figures))


def _measure(clone: Path) -> dict[str, object]:
    port = _free_port()
    environment = os.environ | {
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "VIRTUAL_ENV": "",
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    started = time.monotonic()
    with subprocess.Popen(
        ["make", "run"],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as make:
        try:
            marks = _cold(make, started)
            cold = time.monotonic() - started
            _until(make, "facts right")
            warm = [_warm(clone, port) for _ in range(WARM_RUNS)]
        finally:
            os.killpg(make.pid, signal.SIGINT)
            make.communicate(timeout=60)
    inside = marks[-1][0] if marks else cold
    where = {"set-up": round(cold - inside, 1)} | {name: took for _, name, took in marks}
    print(f"cold to first loss {cold:.1f} s: {where}")
    print(f"submit to first loss, warm: {sorted(round(w, 2) for w in warm)}")
    return {
        "cold_to_first_loss_s": round(cold, 1),
        "submit_to_first_loss_s": round(statistics.median(warm), 2),
        "where_s": where,
        "cores": os.cpu_count(),
    }


def _cold(make: subprocess.Popen[str], started: float) -> list[tuple[float, str, float]]:
    """Read until the first loss is printed. Returns (seconds, what, seconds it took)."""
    marks = []
    assert make.stdout
    for line in make.stdout:
        print(line, end="")
        if match := MARK.match(line):
            marks.append((float(match[1]), match[2], float(match[3])))
            if match[2] == "first loss":
                return marks
        if time.monotonic() - started > PATIENCE_SECONDS:
            break
    raise SystemExit("`make run` ended without a loss")


def _until(make: subprocess.Popen[str], words: str) -> None:
    assert make.stdout
    for line in make.stdout:
        print(line, end="")
        if words in line:
            return
    raise SystemExit("`make run` ended early")


def _warm(clone: Path, port: int) -> float:
    """Seconds from submit to the first step of a new job on data that is already read."""
    kept = json.loads((clone / ".tunery" / "credentials.json").read_text("utf-8"))
    client = Client(url=f"http://127.0.0.1:{port}", key=kept["api_key"])
    file_id = client.get("/files", limit=1)["data"][0]["id"]
    model = client.get("/models")["data"][0]["id"]
    body = {"model": model, "training_file": file_id}
    started = time.monotonic()
    job = client.post("/fine_tuning/jobs", body)
    for frame in client.follow(job["id"]):
        if frame.type == "step":
            break
    took = time.monotonic() - started
    client.post(f"/fine_tuning/jobs/{job['id']}/cancel")
    while client.get(f"/fine_tuning/jobs/{job['id']}")["status"] == "running":
        time.sleep(0.2)
    return took


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
