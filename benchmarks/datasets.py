"""How fast a dataset becomes training data, beside LLaMA-Factory and plain `datasets.map`.

Rows in OpenAI's form are read, checked, put through the chat template, tokenized, masked and
written: everything between "here is a file" and "encoded rows on disk". The peers' clock leaves
out imports and loading the tokenizer; ours starts its child processes inside of it. The peers take
the first rows of the same file, in environments of their own that are made on first use; what they
take for a row does not depend on how many there are. Memory is that of a side's whole process
tree, sampled ten times a second.

    python -m benchmarks.datasets      (ROWS=1000000 PEER_ROWS=50000 RUNS=2)
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from api.catalog import base_model
from api.rows import Message
from workers.cache import base_folder
from workers.engine.encoded import Encoded

ROWS = int(os.environ.get("ROWS") or 1_000_000)
PEER_ROWS = min(ROWS, int(os.environ.get("PEER_ROWS") or 50_000))
RUNS = int(os.environ.get("RUNS") or 2)  # of each setting; the fastest counts
CACHE = Path(os.environ.get("TUNERY_BENCH_CACHE") or Path.home() / ".cache" / "tunery-bench")
PEERS = Path(__file__).parent / "_datasets_peers.py"
BASE_MODEL = "smollm2-135m-instruct"
SAMPLE_SECONDS = 0.1

# The two peers' environments. Torch is what the registry or a folder of wheels gives; its kin for
# pictures and sound would replace it and are not used on text.
LLAMAFACTORY = (
    "llamafactory==0.9.5",
    "datasets==4.0.0",
    "huggingface-hub==1.33.0",
    "numpy==2.4.6",
    "pyarrow==26.0.1",
    "tokenizers==0.22.2",
    "torch==2.13.0",
    "transformers==5.6.0",
)
LEFT_OUT = ("torchvision", "torchaudio")
DATASETS = (
    "datasets==5.2.0",
    "huggingface-hub==2.4.0",
    "jinja2==3.1.6",
    "numpy==2.4.6",
    "pyarrow==26.0.1",
    "tokenizers==0.23.3",
    "transformers==5.24.0",
)


@dataclass(slots=True)
class Figures:
    """What one side did with a file, and what it took."""

    rows: int
    tokens: int
    learned: int
    seconds: float
    cpu_seconds: float = 0.0  # its processes' together; tells a busy machine from a slow side
    longest: int = 0
    peak_rss_mb: float = 0.0  # the tree's resident memory; shared pages count in each process
    peak_own_mb: float = 0.0  # without pages of files that are mapped and may be dropped
    head: list[list[int]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds


def main() -> None:
    if sys.argv[1:2] == ["--ours"]:
        *given, result = map(Path, sys.argv[2:])
        result.write_text(json.dumps(asdict(_ours(*given))), "utf-8")
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = _base_folder()
    whole = _rows_file(folder, ROWS)
    few, tenth = _first_lines(whole, PEER_ROWS), _first_lines(whole, ROWS // 10)
    # Ours first: what does not work fails before the peers' minutes.
    ours = {
        name: _fastest(f"ours, {name}", partial(_ours_measured, path, folder))
        for name, path in (("whole", whole), ("a tenth", tenth), ("the peers' rows", few))
    }
    peers = {name: _peer(name, few, folder) for name in ("llamafactory", "map", "map_batched")}
    print(f"ids of first rows equal to ours: {_same_ids(few, folder, peers)}")
    print(json.dumps(_summary(ours, peers)))


def _summary(ours: dict[str, Figures], peers: dict[str, dict[str, Figures]]) -> dict[str, object]:
    """Ratios are of tokens/s, each against the better of a peer's two settings."""
    whole, same = ours["whole"], ours["the peers' rows"]
    best = {name: max(by.values(), key=lambda f: f.tokens_per_s) for name, by in peers.items()}
    ratios = {name: round(whole.tokens_per_s / f.tokens_per_s, 2) for name, f in best.items()}
    return {
        "tokens_per_s": round(whole.tokens_per_s),
        "ratio_vs_llamafactory": ratios["llamafactory"],
        "ratio_vs_datasets_map": ratios["map"],
        "peak_memory_mb": round(whole.peak_rss_mb),
        "rows": whole.rows,
        "ratio_vs_datasets_map_batched": ratios["map_batched"],
        "ratios_on_the_same_rows": {
            name: round(same.tokens_per_s / f.tokens_per_s, 2) for name, f in best.items()
        },
        "peer_rows": PEER_ROWS,
        "ours": {name: _brief(figures) for name, figures in ours.items()},
        "peers": {
            name: {setting: _brief(figures) for setting, figures in by.items()}
            for name, by in peers.items()
        },
        "versions": {name: f.versions for name, f in best.items()},
        "cores": os.cpu_count(),
    }


def _brief(figures: Figures) -> dict[str, float]:
    return {
        "tokens_per_s": round(figures.tokens_per_s),
        "rows_per_s": round(figures.rows_per_s),
        "seconds": round(figures.seconds, 2),
        "cpu_seconds": round(figures.cpu_seconds, 2),
        "tokens": figures.tokens,
        "learned": figures.learned,
        "peak_rss_mb": round(figures.peak_rss_mb),
        "peak_own_mb": round(figures.peak_own_mb),
    }


def _fastest(name: str, measure: Callable[[], Figures]) -> Figures:
    """The fastest of RUNS, each of which is printed with the load it met."""
    runs = []
    for _ in range(RUNS):
        load = os.getloadavg()[0]
        runs.append(measure())
        took = runs[-1]
        print(
            f"{name}: {took.seconds:.2f} s ({took.cpu_seconds:.1f} s of CPU), "
            f"{took.rows_per_s:,.0f} rows/s, {took.tokens_per_s:,.0f} tokens/s, "
            f"{took.peak_rss_mb:,.0f} MB resident, {took.peak_own_mb:,.0f} MB of its own; "
            f"load average before {load:.2f}",
            flush=True,
        )
    return min(runs, key=lambda figures: figures.seconds)


# Our side.


def _ours(path: Path, folder: Path, scratch: Path) -> Figures:
    """A file into an encoded dataset in `scratch`: both passes of the CPU worker, each in its
    child process and under its limits, without a service around them."""
    if find_spec("workers.preflight") is None:
        raise SystemExit("There is no workers.preflight here, so our side cannot be measured.")
    preflight: Any = import_module("workers.preflight")
    options = preflight.EncodeOptions(
        filename=path.name,
        base_folder=folder,
        context=base_model(BASE_MODEL).context,
        cutoff_len=2_048,
        held_out_share=0.0,
    )
    passes = (
        (preflight.inspect, {"filename": path.name}),
        (preflight.encode, options.model_dump(mode="json")),
    )
    started = time.monotonic()
    for work, how in passes:
        part = scratch / work.__name__
        part.mkdir()
        with path.open("rb") as file:
            chunks = iter(partial(file.read, 1 << 20), b"")
            preflight.run(work, lambda chunks=chunks: chunks, folder=part, options=how)
    seconds = time.monotonic() - started
    data = Encoded.open(scratch / "encode" / preflight.ENCODED)
    rows = np.arange(data.rows)
    return Figures(data.rows, data.tokens(rows), data.supervised_tokens(rows), seconds)


def _ours_measured(path: Path, folder: Path) -> Figures:
    def command(scratch: Path, result: Path) -> list[str]:
        ours = [sys.executable, "-m", "benchmarks.datasets", "--ours"]
        return [*ours, str(path), str(folder), str(scratch), str(result)]

    return _in_child(command)


# The peers.


def _peer(way: str, path: Path, folder: Path) -> dict[str, Figures]:
    """One process, as is the default, and two."""
    packages = LLAMAFACTORY if way == "llamafactory" else DATASETS
    python = _environment("llamafactory" if way == "llamafactory" else "datasets", packages)

    def measured(processes: int) -> Figures:
        def command(scratch: Path, result: Path) -> list[str]:
            # -P: or `import datasets` would find this file.
            script = [str(python), "-P", str(PEERS), way]
            return [*script, *map(str, (path, folder, scratch, processes, result))]

        name = f"{way}, {PEER_ROWS:,} rows, num_proc={processes}"
        return _fastest(name, lambda: _in_child(command))

    return {f"num_proc={processes}": measured(processes) for processes in (1, 2)}


def _environment(name: str, packages: tuple[str, ...]) -> Path:
    """A virtual environment with these packages; made once, and anew when the pins change."""
    folder = CACHE / name
    python, stamp = folder / "bin" / "python", folder / ".packages"
    wanted = "\n".join(packages)
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return python
    print(f"making the environment {name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    uv = Path(sys.executable).parent / "uv"
    found = {"UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
    environment = {key: value for key, value in found.items() if value} | os.environ
    with tempfile.TemporaryDirectory() as scratch:
        overrides = Path(scratch) / "overrides.txt"
        never = [f"{package}; sys_platform == 'never'" for package in LEFT_OUT]
        overrides.write_text("\n".join(never), "utf-8")
        install = ["pip", "install", "--python", str(python), "--overrides", str(overrides)]
        for command in (["venv", "--python", sys.executable, str(folder)], [*install, *packages]):
            subprocess.run([str(uv), "--quiet", *command], env=environment, check=True)
    if name == "llamafactory":  # it imports torchaudio, and uses it on sound only
        next(folder.glob("lib/python*/site-packages")).joinpath("torchaudio.py").touch()
    stamp.write_text(wanted, "utf-8")
    return python


def _same_ids(few: Path, folder: Path, peers: dict[str, dict[str, Figures]]) -> dict[str, str]:
    """How many of a peer's first rows have the very ids that our template gives."""
    template = import_module("workers.engine.template").Template.load(folder)
    said = {}
    for name, by in peers.items():
        head = next(iter(by.values())).head
        with few.open(encoding="utf-8") as lines:
            rows = [json.loads(line)["messages"] for line in islice(lines, len(head))]
        ours = [template.encode([Message(**turn) for turn in row]).ids for row in rows]
        equal = sum(a == b for a, b in zip(ours, head, strict=True))
        said[name] = f"{equal} of {len(head)} rows"
    return said


# A process, its memory and its figures.


def _in_child(command: Callable[[Path, Path], list[str]]) -> Figures:
    """Runs it with an empty scratch folder; it leaves its figures in a file."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        scratch, result, log = (Path(folder) / name for name in ("scratch", "result", "log"))
        scratch.mkdir()
        arguments = command(scratch, result)
        caches = {"HF_HOME": str(scratch / "hf"), "HF_HUB_OFFLINE": "1", "TMPDIR": folder}
        with log.open("wb") as out:
            child = subprocess.Popen(
                arguments,
                cwd=PEERS.parent.parent,
                env=os.environ | caches,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with _Memory(child.pid) as memory:
            child.wait()
        if child.returncode or not result.is_file():
            print(log.read_text("utf-8", errors="replace")[-4_000:], flush=True)
            raise SystemExit(f"{' '.join(arguments)} failed: {child.returncode}")
        figures = Figures(**json.loads(result.read_text("utf-8")))
    figures.peak_rss_mb, figures.peak_own_mb = memory.rss / 1e6, memory.own / 1e6
    return figures


class _Memory:
    """The peak of a session's processes together, sampled."""

    def __init__(self, session: int) -> None:
        self.rss = self.own = 0
        self._session = session
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            rss = own = 0
            for pid in _session_pids(self._session):
                sizes = _rollup(pid)
                rss += sizes.get("Rss", 0)
                own += sizes.get("Pss_Anon", 0)
            self.rss, self.own = max(self.rss, rss), max(self.own, own)


def _session_pids(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            after_name = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[3]) == session:
            yield int(entry.name)


def _rollup(pid: int) -> dict[str, int]:
    """A process's memory by kind, in bytes; nothing where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()[1:]
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0].rstrip(":"): int(pair[1]) * 1024 for pair in pairs}


# The rows.

VERSION = 1  # of the generated rows; part of the file's name
CHUNK_ROWS = 20_000
ENGLISH_WORDS = 30_000
CHINESE_SHARE = 0.05  # of conversations
SYSTEM_SHARE = 0.2
_SYSTEMS = (
    "You are the assistant of a small shop. Answer briefly.",
    "Answer in one paragraph and name your sources.",
    "You help engineers with their questions about machines.",
)
_CHINESE = (
    "我们可以今天什么这个时候问题知道工作需要学习时间现在怎么因为所以如果但是已经开始数据模型训练城市天气朋友"
    "老师学生电脑手机公司产品价格服务客户订单地址电话明天昨天早上晚上中午火车飞机汽车医院学校超市咖啡米饭苹果"
)


def _base_folder() -> Path:
    os.environ.setdefault("CACHE_DIR", str(CACHE / "models"))
    return base_folder(base_model(BASE_MODEL))


def _rows_file(folder: Path, rows: int) -> Path:
    """The generated file of so many rows; the same on every machine, and made once on each."""
    path = CACHE / f"rows-{VERSION}-{rows}.jsonl"
    if not path.is_file():
        started = time.monotonic()
        half = path.with_suffix(f".{os.getpid()}")
        with half.open("w", encoding="utf-8") as out:
            for lines in _generated(_vocabulary(folder), rows):
                out.write(lines)
        half.replace(path)
        print(f"{rows:,} rows generated in {time.monotonic() - started:.1f} s", flush=True)
    print(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB", flush=True)
    return path


def _first_lines(path: Path, rows: int) -> Path:
    """The first rows as a file of their own."""
    first = path.with_name(f"{path.stem}-first-{rows}.jsonl")
    if not first.is_file():
        half = first.with_suffix(f".{os.getpid()}")
        with path.open("rb") as source, half.open("wb") as target:
            target.writelines(islice(source, rows))
        half.replace(first)
    return first


def _vocabulary(folder: Path) -> Any:
    """English words, the frequent ones first: those the tokenizer has as one token, in the order
    in which it learned them, and among the rarer ones a third that take several."""
    ids = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    known = [token[1:] for token in sorted(ids, key=ids.__getitem__) if token.startswith("Ġ")]
    whole = [word for word in known if word.isascii() and word.isalpha() and word.islower()]
    whole = [word for word in whole if len(word) > 1]
    chosen = random.Random(VERSION)
    words = []
    for number, word in enumerate(whole[: ENGLISH_WORDS * 2 // 3]):
        words.append(word)
        if number > 1_000 and number % 2:
            ending = chosen.choice(("less", "ness", "wise", "like", "able", "ship"))
            words.append(chosen.choice(whole[1_000:5_000]) + ending)
    return np.array(words, dtype=object)


def _generated(words: Any, rows: int) -> Iterator[str]:
    """JSON Lines, a chunk of rows at a time. Words are drawn by Zipf's law; none needs escaping."""
    draw = np.random.default_rng(VERSION)
    weights = 1.0 / np.arange(3, len(words) + 3)
    steps = np.cumsum(weights / weights.sum())
    steps[-1] = 1.0
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        pairs = draw.choice((1, 2, 3), size=count, p=(0.7, 0.2, 0.1))
        # Shorter turns where there are more of them: 60 to 120 tokens a row.
        asked = draw.integers(5, 20, size=(count, 3)) // pairs[:, None] + 2
        answered = draw.integers(15, 55, size=(count, 3)) // pairs[:, None] + 2
        drawn = words[np.searchsorted(steps, draw.random(int((asked + answered).sum())))].tolist()
        chinese = (draw.random(count) < CHINESE_SHARE).tolist()
        systems = (draw.random(count) / SYSTEM_SHARE * len(_SYSTEMS)).astype(int).tolist()
        text = _Text(drawn, random.Random(start))
        yield "".join(
            text.row(pairs, asks, answers, system=system, chinese=foreign)
            for pairs, asks, answers, system, foreign in zip(
                pairs.tolist(), asked.tolist(), answered.tolist(), systems, chinese, strict=True
            )
        )


class _Text:
    """Turns drawn words into the lines of a chunk."""

    def __init__(self, words: list[str], chosen: random.Random) -> None:
        self._words = words
        self._at = 0
        self._chosen = chosen

    def row(
        self, pairs: int, asks: list[int], answers: list[int], *, system: int, chinese: bool
    ) -> str:
        turns = []
        if system < len(_SYSTEMS):
            turns.append(f'{{"role": "system", "content": "{_SYSTEMS[system]}"}}')
        for number in range(pairs):
            ask = self._sentence(asks[number], "?", chinese=chinese)
            answer = self._sentence(answers[number], ".", chinese=chinese)
            turns.append(f'{{"role": "user", "content": "{ask}"}}')
            turns.append(f'{{"role": "assistant", "content": "{answer}"}}')
        return f'{{"messages": [{", ".join(turns)}]}}\n'

    def _sentence(self, count: int, end: str, *, chinese: bool) -> str:
        if chinese:
            starts = self._chosen.choices(range(0, len(_CHINESE), 2), k=max(2, count // 6))
            said = "".join(_CHINESE[start : start + 2] for start in starts)
            return said + ("？" if end == "?" else "。")
        words = self._words[self._at : self._at + count]
        self._at += count
        if count > 16:
            words[8] += ","
            words[12] += "."
            words[13] = words[13].capitalize()
        if count > 40:
            words[30] = str(self._at % 2_000)
        words[0] = words[0].capitalize()
        return " ".join(words) + end


if __name__ == "__main__":
    main()
