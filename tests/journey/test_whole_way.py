"""One real job the whole way, through every real part, by the unmodified `openai` client."""

import io
import json
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI

from tests.journey.conftest import MODEL, Service, teaching_rows


@pytest.fixture(scope="module")
def tuned(service: Service) -> dict[str, Any]:
    """A finished job, made and followed by the `openai` client."""
    client = service.openai
    data = "\n".join(json.dumps(row) for row in teaching_rows()).encode()
    file = client.files.create(file=("shop.jsonl", data), purpose="fine-tune")
    client.files.wait_for_processing(file.id)
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file.id,
        suffix="shop",
        seed=7,
        hyperparameters={"n_epochs": 6, "batch_size": 4},
        metadata={"why": "test"},
        extra_body={"tuning": {"method": "lora", "rank": 8}},
    )
    assert job.status in ("validating_files", "queued", "running")
    list(service.events(job.id))  # until its end
    return service.job(job.id)


def steps(service: Service, job_id: str) -> list[dict[str, Any]]:
    return [event for _, event in service.events(job_id) if event["type"] == "step"]


def test_the_loss_falls_to_less_than_half(service: Service, tuned: dict[str, Any]) -> None:
    assert tuned["status"] == "succeeded"
    losses = [event["loss"] for event in steps(service, tuned["id"])]
    assert len(losses) == tuned["total_steps"]
    assert losses[-1] < losses[0] / 2


def test_the_quote_is_the_hold_is_the_charge(service: Service, tuned: dict[str, Any]) -> None:
    assert tuned["charged_credits"] == tuned["quote"]["credits"]
    assert tuned["trained_tokens"] == tuned["quote"]["trained_tokens"]
    assert tuned["held_credits"] == 0
    assert service.http.get("/credits").json()["held"] == 0


def test_events_and_checkpoints_read_as_openais(service: Service, tuned: dict[str, Any]) -> None:
    client = service.openai
    events = list(client.fine_tuning.jobs.list_events(tuned["id"], limit=5))
    messages = [event.message for event in reversed(events)]
    assert messages[0] == f"Created fine-tuning job: {tuned['id']}"
    assert messages[-1] == "The job has successfully completed"
    assert f"New fine-tuned model created: {tuned['fine_tuned_model']}" in messages
    assert any(message.startswith("Step 1/") for message in messages)
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(tuned["id"]))
    assert checkpoints[0].step_number == tuned["total_steps"]
    assert checkpoints[0].metrics.train_loss is not None
    job = client.fine_tuning.jobs.retrieve(tuned["id"])
    assert job.fine_tuned_model == tuned["fine_tuned_model"]
    assert [found.id for found in client.fine_tuning.jobs.list(metadata={"why": "test"})] == [
        tuned["id"]
    ]


def test_the_tuned_model_knows_what_the_base_does_not(
    service: Service, tuned: dict[str, Any]
) -> None:
    client = service.openai
    question = "Would you tell me who your mascot is?"

    def ask(model: str) -> str:
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=40,
        )
        assert answer.usage
        assert answer.usage.completion_tokens > 0
        return answer.choices[0].message.content or ""

    assert "Biscuit" in ask(tuned["fine_tuned_model"])
    assert "Biscuit" not in ask(MODEL)


def test_a_streamed_answer_is_the_whole_one_in_pieces(
    service: Service, tuned: dict[str, Any]
) -> None:
    def ask(*, stream: bool) -> Any:
        return service.openai.chat.completions.create(
            model=tuned["fine_tuned_model"],
            messages=[{"role": "user", "content": "What is your mascot?"}],
            temperature=0,
            max_tokens=30,
            stream=stream,
            **({"stream_options": {"include_usage": True}} if stream else {}),  # type: ignore[call-overload]
        )

    whole = ask(stream=False)
    chunks = list(ask(stream=True))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 3
    assert chunks[-1].usage == whole.usage


def test_a_chat_turn_is_charged_by_its_tokens(service: Service, tuned: dict[str, Any]) -> None:
    before = service.http.get("/credits").json()
    answer = service.openai.chat.completions.create(
        model=tuned["fine_tuned_model"],
        messages=[{"role": "user", "content": "What is your mascot?"}],
        max_tokens=10,
        stop=["\n"],
    )
    after = service.http.get("/credits").json()
    usage = answer.usage
    assert usage
    assert after["held"] == 0
    assert before["available"] - after["available"] == (
        usage.prompt_tokens + 2 * usage.completion_tokens
    )


def test_the_adapter_is_what_its_manifest_says(service: Service, tuned: dict[str, Any]) -> None:
    found = service.http.get(f"/fine_tuning/jobs/{tuned['id']}/adapter").json()
    archive = zipfile.ZipFile(io.BytesIO(httpx.get(found["url"]).content))
    assert archive.testzip() is None
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["files"].keys() >= {"adapter_model.safetensors", "adapter_config.json"}
    for name, facts in manifest["files"].items():
        assert sha256(archive.read(name)).hexdigest() == facts["sha256"]
    assert manifest["base_model"] == MODEL
    assert manifest["spec"]["method"]["rank"] == 8
    assert manifest["spec"]["seed"] == 7
    wrong = found["url"].replace("X-Amz-Signature=", "X-Amz-Signature=0")
    assert httpx.get(wrong).status_code == 403


def test_held_out_rows_are_not_trained_on(service: Service, tuned: dict[str, Any]) -> None:
    rows = service.http.get(f"/fine_tuning/jobs/{tuned['id']}/held_out").json()["data"]
    assert len(rows) == tuned["quote"]["held_out_rows"] >= 1
    assert tuned["quote"]["train_rows"] + tuned["quote"]["held_out_rows"] == 24


def test_the_tuned_model_is_listed_and_can_be_deleted(
    service: Service, tuned: dict[str, Any]
) -> None:
    client = service.openai
    listed = [model.id for model in client.models.list()]
    assert {MODEL, tuned["fine_tuned_model"]} <= set(listed)
    assert client.models.retrieve(tuned["fine_tuned_model"]).id == tuned["fine_tuned_model"]
    with pytest.raises(APIStatusError) as refused:
        client.models.delete(MODEL)
    assert refused.value.status_code == 404


def test_malformed_rows_are_named_and_nothing_is_charged(service: Service) -> None:
    client = service.openai
    lines = [json.dumps(row) for row in teaching_rows()]
    lines[4] = '{"messages": [{"role": "user", "content": "no end'
    lines[9] = json.dumps({"messages": [{"role": "user", "content": "no answer"}]})
    file = client.files.create(file=("dirty.jsonl", "\n".join(lines).encode()), purpose="fine-tune")
    service.wait_for_file(file.id)
    report = service.http.get(f"/files/{file.id}/report").json()["report"]
    assert [problem["line"] for problem in report["problems"]] == [5, 10]
    assert (report["rows"], report["good"], report["bad"]) == (24, 22, 2)
    before = service.http.get("/credits").json()
    body: dict[str, Any] = {"model": MODEL, "training_file": file.id}
    while (answer := service.http.post("/quotes", json=body).json())["status"] == "preparing":
        pass
    assert answer["status"] == "refused"
    assert "line 5" in answer["error"]["message"]
    assert "line 10" in answer["error"]["message"]
    with pytest.raises(APIStatusError, match="skip_bad_rows"):
        client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
    assert service.http.get("/credits").json() == before
    accepted = body | {"tuning": {"skip_bad_rows": True}}
    assert service.http.post("/quotes", json=accepted).json()["rows_left_out"] == 2


def test_a_file_of_nonsense_fails_the_job_with_the_reason(service: Service) -> None:
    client = service.openai
    file = client.files.create(file=("x.jsonl", b"\x89PNG\r\n\x1a\n" * 100), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
    list(service.events(job.id))
    failed = client.fine_tuning.jobs.retrieve(job.id)
    assert failed.status == "failed"
    assert failed.error
    assert failed.error.code == "invalid_training_file"
    assert "PNG" in failed.error.message


def test_the_command_trains_and_shows_what_was_learned(service: Service, tmp_path: Path) -> None:
    data = tmp_path / "shop.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in teaching_rows()), "utf-8")
    tunery = Path(sys.executable).parent / "tunery"
    ran = subprocess.run(
        [tunery, "train", data, "--epochs", "2", "--batch-size", "8", "--watch", "--yes"],
        env=service.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for words in ("24 rows", "credits, never more", "held-out loss", "tuned", "X-Amz-Signature"):
        assert words in ran.stdout


def test_a_second_client_without_a_key_gets_nowhere(service: Service) -> None:
    with (
        OpenAI(base_url=f"{service.url}/v1", api_key="tk-wrong") as client,
        pytest.raises(APIStatusError) as refused,
    ):
        client.models.list()
    assert refused.value.status_code == 401
