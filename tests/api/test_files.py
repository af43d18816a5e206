"""Uploads: streamed, whole or not at all, and refused with the reason."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import datasets, storage
from api.db import transaction
from api.settings import settings
from tests.api import given
from tests.api.given import Person

ROW = b'{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'


def send(
    client: TestClient, data: bytes, *, purpose: str = "fine-tune", name: str = "x.jsonl"
) -> Any:
    return client.post("/v1/files", files={"file": (name, data)}, data={"purpose": purpose})


def rows(who: Person) -> int:
    with transaction(who.tenant_id) as session:
        return int(session.execute(text("SELECT count(*) FROM datasets")).scalar_one())


def objects(who: Person) -> list[str]:
    return list(storage.keys(f"tenants/{who.tenant_id}/"))


def test_what_was_sent_is_what_is_kept(client: TestClient) -> None:
    data = ROW * 300_000  # 24 MB: three parts
    sent = send(client, data).json()
    assert (sent["bytes"], sent["purpose"], sent["status"]) == (len(data), "fine-tune", "uploaded")
    assert client.get(f"/v1/files/{sent['id']}/content").content == data
    again = client.get(f"/v1/files/{sent['id']}").json()
    assert again == sent


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\\b\\c.jsonl", "x\x00y.jsonl", "中文.jsonl"]
)
def test_a_name_is_only_a_name(client: TestClient, name: str) -> None:
    kept = send(client, ROW, name=name).json()["filename"]
    assert "/" not in kept
    assert "\\" not in kept
    assert "\x00" not in kept


def test_a_file_over_the_limit_leaves_nothing(client: TestClient, who: Person) -> None:
    def body() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(settings().upload_bytes_max // (1 << 22) + 1):
            yield b"x" * (1 << 22)
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/files", content=body(), headers=headers)
    assert answer.status_code == 413
    assert "upload_bytes_max" in answer.json()["error"]["message"]
    assert rows(who) == 0
    assert objects(who) == []


def test_an_upload_that_is_cut_off_leaves_nothing(client: TestClient, who: Person) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n' + ROW
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/files", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "upload_cut_off")
    assert rows(who) == 0
    assert objects(who) == []


@pytest.mark.parametrize(
    ("data", "purpose", "param"),
    [(b"", "fine-tune", "file"), (ROW, "fun", "purpose"), (ROW, "", "purpose")],
)
def test_a_bad_upload_says_why(
    client: TestClient, who: Person, data: bytes, purpose: str, param: str
) -> None:
    words = "empty" if param == "file" else "fine-tune"
    error = send(client, data, purpose=purpose).json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert objects(who) == []


def test_something_that_is_no_form_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/files", json={"file": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_multipart")


def test_lists_page_by_cursor_in_both_directions(client: TestClient, who: Person) -> None:
    made = [given.dataset(who) for _ in range(5)]
    first = client.get("/v1/files", params={"limit": 2}).json()
    assert [row["id"] for row in first["data"]] == made[:-3:-1]
    assert first["has_more"]
    second = client.get("/v1/files", params={"limit": 9, "after": first["last_id"]}).json()
    assert [row["id"] for row in second["data"]] == made[2::-1]
    assert not second["has_more"]
    oldest = client.get("/v1/files", params={"order": "asc", "limit": 0}).json()
    assert [row["id"] for row in oldest["data"]] == made
    assert client.get("/v1/files", params={"after": "file-gone"}).json()["data"] == []
    assert client.get("/v1/files", params={"purpose": "batch"}).json()["data"] == []


def test_a_deleted_file_is_gone_with_all_that_was_made_of_it(
    client: TestClient, who: Person
) -> None:
    file_id = send(client, ROW).json()["id"]
    with transaction() as session:
        session.execute(text("UPDATE datasets SET status = 'processed'"))
    body = given.submission(file_id)
    given.encode(body)
    with transaction() as session:
        encoding = given.encodings(session, file_id)[0]
    storage.put(storage.encoding_prefix(who.tenant_id, encoding.id) + "encoded", b"x")
    assert client.delete(f"/v1/files/{file_id}").json()["deleted"] is True
    assert client.get(f"/v1/files/{file_id}").status_code == 404
    assert objects(who) == []


def test_a_file_that_a_job_needs_stays(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    file_id = client.get(f"/v1/fine_tuning/jobs/{job_id}").json()["training_file"]
    answer = client.delete(f"/v1/files/{file_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "file_in_use")
    client.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/files/{file_id}").status_code == 200


def test_inspection_is_leased_to_one_worker_and_a_late_one_writes_nothing(who: Person) -> None:
    file_id = given.dataset(who, status="uploaded")
    with transaction() as session:
        first = datasets.claim_inspection(session, file_id)
    with transaction() as session:
        assert datasets.claim_inspection(session, file_id) is None
    with transaction() as session:
        session.execute(text("UPDATE datasets SET lease_expires_at = now() - interval '1 s'"))
    with transaction() as session:
        second = datasets.claim_inspection(session, file_id)
    assert first
    assert second
    with transaction() as session:
        datasets.report(session, second, report={"rows": 2}, usable=True)
    with transaction() as session:
        datasets.report(session, first, report={"rows": 1}, usable=False)
    with transaction() as session:
        row = session.execute(text(f"SELECT status, report FROM datasets WHERE id = '{file_id}'"))
        assert tuple(row.one()) == ("processed", {"rows": 2})
