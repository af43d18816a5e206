"""A file from upload to charge, over HTTP: everything is told before, and is so afterwards."""

import csv
import gzip
import io
import json
import time
import zipfile
from typing import Any

import pytest

from tests.journey.conftest import Service, teaching_rows

MODEL = "smollm2-135m-instruct"
Json = dict[str, Any]


def upload(service: Service, name: str, data: bytes) -> str:
    sent = service.http.post("/files", files={"file": (name, data)}, data={"purpose": "fine-tune"})
    return service.wait_for_file(sent.json()["id"])


def jsonl(*rows: Json) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def report(service: Service, file_id: str) -> Json:
    found: Json = service.http.get(f"/files/{file_id}/report").json()
    return found


def encoded(service: Service, file_id: str) -> Json:
    """The report once the usual encoding is there."""
    until = time.monotonic() + 60
    while (found := report(service, file_id))["encoding"]["status"] == "pending":
        assert time.monotonic() < until, "the file was never encoded"
        time.sleep(0.1)
    return found


def quote(service: Service, body: Json) -> Json:
    until = time.monotonic() + 90
    while (answer := service.http.post("/quotes", json=body).json())["status"] == "preparing":
        assert time.monotonic() < until, "the quote never came"
        time.sleep(0.1)
    found: Json = answer
    return found


def test_what_is_quoted_is_what_is_charged_to_the_micro_credit(service: Service) -> None:
    file_id = upload(service, "shop.jsonl", jsonl(*teaching_rows()))
    body = {"model": MODEL, "training_file": file_id, "hyperparameters": {"n_epochs": 1}}
    answer = quote(service, body)
    assert answer["duration"]["low_seconds"] < answer["duration"]["high_seconds"]
    assert answer["memory"]["fits"] in (True, None)
    before = service.http.get("/credits").json()["available"]
    job_id = service.submit(body | {"quote_id": answer["id"], "suffix": "quoted"})
    list(service.events(job_id))
    job = service.job(job_id)
    assert job["status"] == "succeeded"
    assert job["trained_tokens"] == answer["quote"]["trained_tokens"]
    assert job["charged_credits"] == answer["quote"]["credits"]
    assert service.http.get("/credits").json()["available"] == before - job["charged_credits"]
    assert job["spec"] == answer["spec"]


def test_a_row_is_shown_as_the_tokens_that_are_trained(service: Service) -> None:
    row = {
        "messages": [
            {"role": "user", "content": "Grüße 👋"},
            {"role": "assistant", "content": "Hallo 你好!"},
        ]
    }
    file_id = upload(service, "one.jsonl", jsonl(row, row | {"id": 2}))
    encoded(service, file_id)
    shown = service.http.get(f"/files/{file_id}/preview", params={"line": 2}).json()
    (sequence,) = shown["sequences"]
    assert sequence["text"].endswith(
        "<|im_start|>user\nGrüße 👋<|im_end|>\n<|im_start|>assistant\nHallo 你好!<|im_end|>\n"
    )
    assert "".join(token["text"] for token in sequence["tokens"]) == sequence["text"]
    learned = [sequence["text"][start:end] for start, end in sequence["spans"]]
    assert learned == ["Hallo 你好!<|im_end|>"]
    assert sequence["supervised_tokens"] == sum(t["supervised"] for t in sequence["tokens"])
    missing = service.http.get(f"/files/{file_id}/preview", params={"line": 3})
    assert missing.status_code == 404
    assert missing.json()["error"]["param"] == "line"
    # A second upload of the same bytes shares what was made of the first.
    twin = upload(service, "two.jsonl", jsonl(row, row | {"id": 2}))
    encoded(service, twin)
    again = service.http.get(f"/files/{twin}/preview", params={"line": 2}).json()
    assert again["sequences"] == shown["sequences"]
    first = service.http.get(f"/files/{file_id}/preview").json()
    assert [first[name] for name in ("line", "previous_line", "next_line")] == [1, None, 2]
    assert [shown[name] for name in ("line", "previous_line", "next_line")] == [2, 1, None]


def test_both_sides_of_a_preference_pair_are_shown_and_sft_refuses_them(service: Service) -> None:
    pairs = [
        {"prompt": f"What is {n}?", "chosen": "A number.", "rejected": "No."} for n in range(12)
    ]
    file_id = upload(service, "pairs.jsonl", jsonl(*pairs))
    assert encoded(service, file_id)["report"]["kind"] == "preference"
    shown = service.http.get(f"/files/{file_id}/preview", params={"line": 5}).json()
    assert [one["label"] for one in shown["sequences"]] == ["chosen", "rejected"]
    assert (shown["previous_line"], shown["next_line"]) == (4, 6)
    texts = [one["text"][one["spans"][0][0] : one["spans"][0][1]] for one in shown["sequences"]]
    assert texts == ["A number.<|im_end|>", "No.<|im_end|>"]
    refused = quote(service, {"model": MODEL, "training_file": file_id})
    assert "preference pairs" in refused["error"]["message"]


def test_a_file_with_other_names_is_read_by_llama_factorys_own_description(
    service: Service,
) -> None:
    data = b"frage,antwort\n" + b"".join(b"Was ist %d?,Eine Zahl.\n" % n for n in range(12))
    file_id = upload(service, "fragen.csv", data)
    assert report(service, file_id)["status"] == "error"
    described = {
        "fragen": {"file_name": "fragen.csv", "columns": {"prompt": "frage", "response": "antwort"}}
    }
    answer = service.http.post(f"/files/{file_id}/reading", json={"mapping": described})
    assert answer.status_code == 200, answer.text
    service.wait_for_file(file_id)
    assert encoded(service, file_id)["report"]["good"] == 12
    bad = service.http.post(f"/files/{file_id}/reading", json={"mapping": {"kolumns": {"a": "b"}}})
    assert bad.json()["error"]["param"] == "mapping"


def test_repairs_are_made_once_they_are_accepted_and_findings_download_as_csv(
    service: Service,
) -> None:
    twice = {
        "messages": [
            {"role": "user", "content": "Hear"},
            {"role": "user", "content": "me"},
            {"role": "assistant", "content": "Yes."},
        ]
    }
    file_id = upload(service, "twice.jsonl", jsonl(*teaching_rows(), twice, {"messages": []}))
    body: Json = {"model": MODEL, "training_file": file_id}
    refused = quote(service, body)
    assert "can be repaired" in refused["error"]["message"]
    assert refused["error"]["code"] == "invalid_training_file"
    accepted = {"accept_all_repairs": True}
    service.http.post(f"/files/{file_id}/reading", json=accepted)
    answer = quote(service, body | {"tuning": {"skip_bad_rows": True}})
    assert answer["rows_left_out"] == 1
    text = service.http.get(f"/files/{file_id}/findings").content.decode("utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text)))
    assert {(row["line"], row["verdict"], row["code"]) for row in found} >= {
        ("25", "repairable", "same_role_twice"),
        ("26", "bad", "no_messages"),
    }


def test_files_are_mixed_and_leakage_into_the_validation_file_is_told(service: Service) -> None:
    rows = teaching_rows()
    first, second = (
        upload(service, "a.jsonl", jsonl(*rows[:12])),
        upload(service, "b.jsonl", jsonl(*rows[12:])),
    )
    validation = upload(service, "v.jsonl", jsonl(rows[0], *teaching_rows(1)))
    body = {
        "model": MODEL,
        "training_file": first,
        "validation_file": validation,
        "tuning": {"mix_with": [{"file": second, "weight": 2.0}]},
    }
    answer = quote(service, body)
    assert answer["status"] == "ready", answer
    assert answer["quote"]["train_rows"] == 12 + 2 * 12
    assert answer["leakage"]["exact"] >= 1
    assert any(one["training"] == 1 for one in answer["leakage"]["lines"])
    shown = service.http.get(
        f"/files/{second}/preview", params={"line": 3, "encoding_id": answer["encoding_id"]}
    ).json()
    assert len(shown["sequences"]) == 2
    assert rows[14]["messages"][-1]["content"] in shown["sequences"][0]["text"]


def _zip(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name.replace("__", "/"), data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("bomb.jsonl.gz", gzip.compress(b" " * (600 << 20)), "unpacked_too_large"),
        ("nested.zip", _zip(inner=_zip(x=b"{}")), "bad_archive"),
        ("torn.jsonl.gz", gzip.compress(jsonl(*teaching_rows()))[:-20], "bad_archive"),
        ("picture.jsonl", b"\x89PNG\r\n\x1a\n" * 10, "unknown_container"),
        ("empty.jsonl", b"\n\n", "empty_file"),
        ("utf16.jsonl", '{"messages": []}'.encode("utf-16"), "not_utf8"),
        ("deep.jsonl", b'{"messages": ' + b"[" * 200 + b"]" * 200 + b"}\n", "too_deep"),
    ],
)
def test_hostile_files_are_refused_with_the_reason_and_the_worker_lives(
    service: Service, name: str, data: bytes, code: str
) -> None:
    found = report(service, upload(service, name, data))
    assert found["status"] == "error", found
    assert code in [problem["code"] for problem in found["report"]["problems"]]
    assert name in found["report"]["fault"]


def test_a_packed_folder_with_its_description_is_read(service: Service) -> None:
    described = {"shop": {"file_name": "shop.json", "columns": {"prompt": "q", "response": "a"}}}
    data = json.dumps([{"q": f"What is {n}?", "a": "A number."} for n in range(12)]).encode()
    packed = _zip(**{"shop.json": data, "dataset_info.json": json.dumps(described).encode()})
    found = encoded(service, upload(service, "shop.zip", packed))
    assert (found["report"]["packing"], found["report"]["good"]) == ("zip", 12)
