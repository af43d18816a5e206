"""The peers' side of the datasets benchmark; run by `benchmarks.datasets` inside their environment.

Each way goes from a JSONL file to encoded rows on disk. Importing libraries and loading the
tokenizer come before the clock starts, counting tokens after it has stopped.

    python -P _datasets_peers.py WAY JSONL MODEL_FOLDER SCRATCH PROCESSES RESULT
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

IGNORE = -100
HEAD_ROWS = 200  # rows whose ids are handed back to be compared
PACKAGES = ("llamafactory", "datasets", "transformers", "tokenizers", "pyarrow", "torch")
# What SmolLM2's own chat template says where a row has no system message.
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def llamafactory(path: Path, model: Path, scratch: Path, processes: int) -> Callable[[], Any]:
    """LLaMA-Factory's get_dataset for stage sft: load, align, encode, each into Arrow on disk.

    Its defaults, but for the template's name and default system message, so that the ids are those
    of the model's own template. Its documentation reads OpenAI's form as sharegpt with other tags.
    """
    loader = importlib.import_module("llamafactory.data.loader")
    templates = importlib.import_module("llamafactory.data.template")
    hparams = importlib.import_module("llamafactory.hparams")
    models = importlib.import_module("llamafactory.model")
    tags = {"role_tag": "role", "content_tag": "content", "system_tag": "system"}
    tags |= {"user_tag": "user", "assistant_tag": "assistant"}
    rows = {"file_name": str(path), "formatting": "sharegpt", "tags": tags}
    rows["columns"] = {"messages": "messages"}
    (scratch / "dataset_info.json").write_text(json.dumps({"rows": rows}), "utf-8")
    arguments: dict[str, Any] = {
        "model_name_or_path": str(model),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset": "rows",
        "dataset_dir": str(scratch),
        "template": "chatml",
        "default_system": SYSTEM,
        "output_dir": str(scratch / "output"),
        "report_to": "none",
    }
    if processes > 1:
        arguments["preprocessing_num_workers"] = processes
    model_args, data_args, training_args, _, _ = hparams.get_train_args(arguments)
    tokenizer = models.load_tokenizer(model_args)["tokenizer"]
    template = templates.get_template_and_fix_tokenizer(tokenizer, data_args)

    def run() -> Any:
        module = loader.get_dataset(
            template, model_args, data_args, training_args, stage="sft", tokenizer=tokenizer
        )
        return module["train_dataset"]

    return run


def row_map(path: Path, model: Path, scratch: Path, processes: int) -> Callable[[], Any]:
    """`load_dataset("json").map` of one row at a time; answers are found by prefix lengths."""
    tokenizer = _tokenizer(model)

    def encode(row: dict[str, Any]) -> dict[str, list[int]]:
        messages = row["messages"]
        ids = tokenizer.apply_chat_template(messages, return_dict=False)
        labels = [IGNORE] * len(ids)
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = tokenizer.apply_chat_template(
                messages[:number], add_generation_prompt=True, return_dict=False
            )
            last = number + 1 == len(messages)
            through = (
                ids
                if last
                else tokenizer.apply_chat_template(messages[: number + 1], return_dict=False)
            )
            labels[len(before) : len(through)] = ids[len(before) : len(through)]
        return {"input_ids": ids, "labels": labels}

    return _mapped(path, scratch, encode, num_proc=processes)


def batch_map(path: Path, model: Path, scratch: Path, processes: int) -> Callable[[], Any]:
    """The same in batches of 1,000 rows, so that the tokenizer's own threads have work."""
    tokenizer = _tokenizer(model)

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[list[int]]]:
        befores: list[Any] = []
        throughs: list[Any] = []
        for messages in batch["messages"]:
            for number, message in enumerate(messages):
                if message["role"] == "assistant":
                    befores.append(messages[:number])
                    throughs.append(messages[: number + 1])
        before = iter(
            tokenizer.apply_chat_template(befores, add_generation_prompt=True, return_dict=False)
        )
        through = iter(tokenizer.apply_chat_template(throughs, return_dict=False))
        encoded: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
        for messages in batch["messages"]:
            spans = [
                (len(next(before)), next(through))
                for message in messages
                if message["role"] == "assistant"
            ]
            ids = spans[-1][1]  # every row ends with an answer
            labels = [IGNORE] * len(ids)
            for start, prefix in spans:
                labels[start : len(prefix)] = ids[start : len(prefix)]
            encoded["input_ids"].append(ids)
            encoded["labels"].append(labels)
        return encoded

    return _mapped(path, scratch, encode, num_proc=processes, batched=True)


def _mapped(path: Path, scratch: Path, encode: Callable[..., Any], **how: Any) -> Callable[[], Any]:
    datasets = importlib.import_module("datasets")

    def run() -> Any:
        rows = datasets.load_dataset(
            "json", data_files=str(path), split="train", cache_dir=str(scratch / "cache")
        )
        return rows.map(encode, remove_columns=rows.column_names, **how)

    return run


def _tokenizer(model: Path) -> Any:
    transformers = importlib.import_module("transformers")
    return transformers.AutoTokenizer.from_pretrained(str(model))


def _sizes(encoded: Any) -> dict[str, int]:
    """How much was encoded, counted in Arrow."""
    compute: Any = importlib.import_module("pyarrow.compute")
    tokens = learned = longest = 0
    for batch in encoded.data.table.to_batches():
        lengths = compute.list_value_length(batch["input_ids"])
        tokens += compute.sum(lengths).as_py()
        longest = max(longest, compute.max(lengths).as_py())
        labels = compute.list_flatten(batch["labels"])
        learned += compute.sum(compute.not_equal(labels, IGNORE)).as_py()
    return {"rows": len(encoded), "tokens": tokens, "learned": learned, "longest": longest}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ImportError:  # the environment of plain datasets has no LLaMA-Factory
            continue
    return found


WAYS = {"llamafactory": llamafactory, "map": row_map, "map_batched": batch_map}


def main() -> None:
    if len(sys.argv) != 7 or sys.argv[1] not in WAYS:
        print(f"{Path(__file__).name} is started by benchmarks.datasets")
        return
    way, path, model, scratch, processes, result = sys.argv[1:]
    run = WAYS[way](Path(path), Path(model), Path(scratch), int(processes))
    started, worked = time.monotonic(), sum(os.times()[:4])
    encoded = run()
    seconds, cpu_seconds = time.monotonic() - started, sum(os.times()[:4]) - worked
    figures = _sizes(encoded) | {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "head": encoded[: min(HEAD_ROWS, len(encoded))]["input_ids"],
        "versions": _versions(),
    }
    Path(result).write_text(json.dumps(figures), "utf-8")


if __name__ == "__main__":
    main()
