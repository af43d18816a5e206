"""Several processes come to what one does, to the byte, and so does one that goes row by row."""

import json
from random import Random
from typing import Any

import pytest

from tests.workers.preflight.conftest import Encode, Inspect, Made, rows, turns
from workers import preflight
from workers.preflight.process import Try

ENGLISH = "the shop opens at nine and you can bring your bike to us so that we look at it"
GERMAN = "der Laden ist ab neun Uhr offen und wir sehen uns Ihr Rad dann auch gleich einmal an"


def dirty(count: int) -> bytes:
    """Rows with about everything that is found in rows or between them."""
    random = Random(count)
    words = ENGLISH.split()
    lines: list[bytes] = []
    for n in range(count):
        said = " ".join(random.choices(words, k=12))
        row = turns(f"{said} {n}?", f"{said} {' '.join(random.choices(words, k=20))}.")
        match n % 37:
            case 3:
                row["messages"].insert(0, row["messages"][0])
            case 5:
                row = turns(GERMAN, GERMAN)
            case 7:
                row = turns("Dear {{name}}", "Write to jane.miller@gmail.com.")
            case 11:
                row["messages"] = []
            case 13:
                row |= {f"field{n}": n, "id": n}
            case 17:
                row = turns("x " * 700, "y", "and", "z " * 300)
            case 19:
                row = turns("Who?", "<think>\nHm.\n</think>\n\nMe.")
            case 23:
                lines += [b"", b"{", b"[1]", b'{"messages": 1, "messages": 2}', b"\xff"]
        lines.append(json.dumps(row, ensure_ascii=False).encode())
    return b"\n".join(lines)


def left(made: Made) -> dict[str, Any]:
    """All files, as they are to be the same."""
    names = ("progress", preflight.REPORT, preflight.SKETCHES)
    files: dict[str, Any] = {
        path.name: path.read_bytes() for path in made.folder.iterdir() if path.name not in names
    }
    if (sketches := made.folder / preflight.SKETCHES).exists():
        held = preflight.Sketches.load(sketches)
        files["sketches"] = [part.tobytes() for part in (held.lines, held.keys, held.values)]
    return files | {"report": [*made.report.items()][:-1]}


@pytest.mark.parametrize("packed", ["jsonl", "json"])
def test_inspection_comes_to_the_same_in_one_process_and_in_several(
    inspect: Inspect, packed: str
) -> None:
    data = dirty(4_000)
    if packed == "json":
        whole = [line for line in data.split(b"\n") if line.startswith(b'{"messages": [')]
        data = b"[" + b",\n".join(whole) + b"]"
    made = [inspect(data, filename=f"shop.{packed}", processes=count) for count in (1, 2, 3)]
    assert len(made[0].findings) > 500
    assert len(made[0].report["ignored"]) > 100
    assert left(made[0]) == left(made[1]) == left(made[2])


@pytest.mark.parametrize("kind", ["conversation", "preference", "text"])
def test_encoding_comes_to_the_same_in_one_process_and_in_several(
    encode: Encode, kind: str
) -> None:
    match kind:
        case "conversation":
            data = dirty(2_500)
        case "preference":
            pairs = [{"prompt": f"q{n}", "chosen": f"a{n}", "rejected": "b"} for n in range(2_500)]
            data = rows(*pairs).encode()
        case _:
            data = rows(*[{"text": f"{n} " * (n % 350)} for n in range(2_500)]).encode()
    wanted = {"cutoff_len": 300, "over_long": "cut", "held_out_share": 0.2}
    made = [encode(data, processes=count, **wanted) for count in (1, 2, 3)]
    assert made[0].report["held_out_rows"] > 20
    assert left(made[0]) == left(made[1]) == left(made[2])


def test_rows_taken_one_by_one_come_to_the_same(encode: Encode, inspect: Inspect) -> None:
    data, careful = dirty(2_200), Try(careful=True)
    assert left(inspect(data)) == left(inspect(data, this=careful))
    assert left(encode(data[:200_000])) == left(encode(data[:200_000], this=careful))
