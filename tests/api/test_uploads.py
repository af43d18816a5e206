"""Uploads in parts: resumable, whole or not at all, refused before anything is sent."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from openai import BadRequestError, OpenAI
from sqlalchemy import create_engine, text

from api import storage, uploads
from api.app import create_app
from api.db import transaction
from api.settings import settings
from api.tables import Upload
from tests.api.given import Person

MIB = 2**20


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def start(client: TestClient, size: int, **changes: Any) -> Any:
    body = {
        "filename": "shop.jsonl",
        "purpose": "fine-tune",
        "bytes": size,
        "mime_type": "text/jsonl",
    } | changes
    return client.post("/v1/uploads", json=body)


def started(client: TestClient, size: int) -> str:
    answer = start(client, size)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def send(client: TestClient, upload_id: str, data: bytes, **fields: Any) -> Any:
    return client.post(
        f"/v1/uploads/{upload_id}/parts", files={"data": ("blob", data)}, data=fields
    )


def part(client: TestClient, upload_id: str, data: bytes, **fields: Any) -> str:
    answer = send(client, upload_id, data, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def complete(client: TestClient, upload_id: str, part_ids: list[str], **more: str) -> Any:
    return client.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids} | more)


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def sweep() -> None:
    with transaction() as session:
        uploads.sweep(session)


def objects(who: Person) -> list[str]:
    return list(storage.keys(f"tenants/{who.tenant_id}/"))


def files(who: Person) -> int:
    with transaction(who.tenant_id) as session:
        return int(session.execute(text("SELECT count(*) FROM datasets")).scalar_one())


# -- with OpenAI's own client ---------------------------------------------------------------------


@pytest.fixture
def openai(who: Person) -> Iterator[OpenAI]:
    """Unmodified and strict, over HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = uvicorn.Config(create_app(), port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.02)
    with OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key=who.key,
        timeout=120,
        _strict_response_validation=True,
    ) as client:
        yield client
    server.should_exit = True
    thread.join()


def test_openais_client_uploads_a_file_in_chunks(
    openai: OpenAI, who: Person, tmp_path: Path
) -> None:
    data = content(20 * MIB + 3)
    path = tmp_path / "shop.jsonl"
    path.write_bytes(data)
    done = openai.uploads.upload_file_chunked(
        file=path,
        mime_type="text/jsonl",
        purpose="fine-tune",
        part_size=6 * MIB,
        md5=hashlib.md5(data).hexdigest(),
    )
    assert (done.status, done.bytes, done.filename) == ("completed", len(data), "shop.jsonl")
    assert done.file is not None
    file = openai.files.retrieve(done.file.id)
    assert file.to_dict() == done.file.to_dict()
    assert file.to_dict()["sha256"] == hashlib.sha256(data).hexdigest()
    assert openai.files.content(file.id).content == data


def test_openais_client_uses_parts_in_any_order_and_cancels(openai: OpenAI, who: Person) -> None:
    data = content(300_000)
    upload = openai.uploads.create(
        bytes=len(data), filename="a.jsonl", mime_type="text/jsonl", purpose="batch"
    )
    assert (upload.status, upload.file) == ("pending", None)
    second = openai.uploads.parts.create(upload.id, data=data[100_000:])
    first = openai.uploads.parts.create(upload.id, data=data[:100_000])
    with pytest.raises(BadRequestError, match="md5"):
        openai.uploads.complete(upload.id, part_ids=[second.id, first.id], md5="0" * 32)
    done = openai.uploads.complete(upload.id, part_ids=[first.id, second.id])
    assert done.file
    assert openai.files.content(done.file.id).content == data
    other = openai.uploads.create(
        bytes=5, filename="b.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    assert openai.uploads.cancel(other.id).status == "cancelled"
    with pytest.raises(BadRequestError, match="cancelled"):
        openai.uploads.parts.create(other.id, data=b"12345")


# -- going on after a break -----------------------------------------------------------------------


def test_a_browser_that_was_reloaded_sees_what_arrived_and_sends_the_rest(
    client: TestClient, who: Person
) -> None:
    data = content(300)
    upload_id = started(client, 300)
    part(client, upload_id, data[200:], number=3)
    part(client, upload_id, data[:100], number=1)
    seen = client.get(f"/v1/uploads/{upload_id}").json()
    assert seen["received_bytes"] == 200
    assert [each["number"] for each in seen["parts"]] == [1, 3]
    assert seen["parts"][0]["sha256"] == hashlib.sha256(data[:100]).hexdigest()
    part(client, upload_id, data[100:200], number=2)
    seen = client.get(f"/v1/uploads/{upload_id}").json()
    done = complete(
        client,
        upload_id,
        [each["id"] for each in seen["parts"]],
        sha256=hashlib.sha256(data).hexdigest(),
    ).json()
    assert client.get(f"/v1/files/{done['file']['id']}/content").content == data
    assert client.get(f"/v1/uploads/{upload_id}").json()["file"]["id"] == done["file"]["id"]
    sweep()
    assert objects(who) == [storage.dataset_key(who.tenant_id, done["file"]["id"])]


@pytest.mark.parametrize("numbers", [(1, 2), (None, None)])
def test_a_part_that_is_sent_again_is_the_same_part(
    client: TestClient, who: Person, numbers: tuple[int | None, int | None]
) -> None:
    upload_id = started(client, 8)
    first, second = ({"number": number} if number else {} for number in numbers)
    once, other = (
        part(client, upload_id, b"abcd", **first),
        part(client, upload_id, b"efgh", **second),
    )
    assert part(client, upload_id, b"abcd", **first) == once
    assert client.get(f"/v1/uploads/{upload_id}").json()["received_bytes"] == 8
    assert len(objects(who)) == 2
    assert complete(client, upload_id, [once, other]).status_code == 200


def test_equal_parts_at_different_places_both_count(client: TestClient) -> None:
    numbered = started(client, 8)
    ids = [part(client, numbered, b"same", number=number) for number in (1, 2)]
    assert len(set(ids)) == 2
    assert complete(client, numbered, ids).status_code == 200
    plain = started(client, 8)
    ids = [part(client, plain, b"same") for _ in range(2)]
    done = complete(client, plain, ids).json()
    assert client.get(f"/v1/files/{done['file']['id']}/content").content == b"samesame"


def test_other_bytes_under_a_number_take_its_place(client: TestClient, who: Person) -> None:
    upload_id = started(client, 4)
    before = part(client, upload_id, b"old!", number=1)
    after = part(client, upload_id, b"new!", number=1)
    assert before != after
    assert len(objects(who)) == 1
    assert refusal(complete(client, upload_id, [before])) == (400, "unknown_parts")
    done = complete(client, upload_id, [after]).json()
    assert client.get(f"/v1/files/{done['file']['id']}/content").content == b"new!"


def test_parts_sent_at_once_all_arrive(client: TestClient) -> None:
    data = content(8 * 1000)
    upload_id = started(client, len(data))
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]

    def one(number: int) -> str:
        return part(client, upload_id, pieces[number], number=number + 1)

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(one, [*range(8), *range(8)]))
    assert ids[:8] == ids[8:]
    done = complete(client, upload_id, ids[:8]).json()
    assert client.get(f"/v1/files/{done['file']['id']}/content").content == data


# -- refusals -------------------------------------------------------------------------------------


def test_size_and_quota_are_refused_before_anything_is_sent(
    client: TestClient, who: Person
) -> None:
    too_large = start(client, settings().resumable_upload_bytes_max + 1)
    assert too_large.status_code == 413
    assert "resumable_upload_bytes_max" in too_large.json()["error"]["message"]
    with transaction() as session:
        session.execute(
            text("UPDATE tenants SET limits = '{\"storage_bytes_max\": 1000}' WHERE id = :id"),
            {"id": who.tenant_id},
        )
    assert start(client, 600).status_code == 200
    assert refusal(start(client, 600)) == (413, "storage_bytes_max")  # the first is promised
    assert start(client, 400).status_code == 200


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": -1}, "bytes"),
        ({"purpose": "fun"}, "purpose"),
        ({"filename": ""}, "filename"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
    ],
)
def test_a_bad_beginning_says_why(client: TestClient, changes: dict[str, Any], param: str) -> None:
    answer = start(client, 10, **changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_bad_part_leaves_nothing(client: TestClient, who: Person) -> None:
    upload_id = started(client, 10)
    assert refusal(send(client, upload_id, b"")) == (400, "empty_file")
    assert refusal(send(client, upload_id, b"x", sha256="0" * 64)) == (400, "checksum_mismatch")
    assert refusal(send(client, upload_id, b"x", number="0")) == (400, "invalid_request")
    assert refusal(send(client, upload_id, b"x" * 11)) == (400, "upload_size_mismatch")
    assert (
        send(client, upload_id, b"x" * (settings().received_part_bytes_max + 1)).status_code == 413
    )
    form = {"content-type": "multipart/form-data; boundary=b"}
    cut = b'--b\r\ncontent-disposition: form-data; name="data"; filename="f"\r\n\r\nabc'
    answer = client.post(f"/v1/uploads/{upload_id}/parts", content=cut, headers=form)
    assert refusal(answer) == (400, "upload_cut_off")
    assert objects(who) == []
    assert client.get(f"/v1/uploads/{upload_id}").json()["parts"] == []


@pytest.mark.parametrize("more", [{"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_a_wrong_checksum_is_refused_and_leaves_only_the_parts(
    client: TestClient, who: Person, more: dict[str, str]
) -> None:
    upload_id = started(client, 6)
    ids = [part(client, upload_id, data) for data in (b"abc", b"def")]
    assert refusal(complete(client, upload_id, ids, **more)) == (400, "checksum_mismatch")
    assert files(who) == 0
    prefix = storage.upload_prefix(who.tenant_id, upload_id)
    assert sorted(objects(who)) == sorted(prefix + each for each in ids)
    assert complete(client, upload_id, ids).status_code == 200  # and it can still be had


def test_what_was_declared_must_be_there(client: TestClient, who: Person) -> None:
    upload_id = started(client, 6)
    ids = [part(client, upload_id, b"abc")]
    assert refusal(complete(client, upload_id, ids)) == (400, "upload_size_mismatch")
    assert refusal(complete(client, upload_id, ["part_none"])) == (400, "unknown_parts")
    assert files(who) == 0


# -- the end --------------------------------------------------------------------------------------


def test_completing_twice_makes_one_file(client: TestClient, who: Person) -> None:
    upload_id = started(client, 6)
    ids = [part(client, upload_id, data) for data in (b"abc", b"def")]
    first, again = (complete(client, upload_id, ids).json() for _ in range(2))
    assert again == first
    assert refusal(complete(client, upload_id, ids[::-1])) == (400, "upload_not_pending")
    assert files(who) == 1


def test_completing_at_once_makes_one_file(client: TestClient, who: Person) -> None:
    data = content(12 * MIB)
    upload_id = started(client, len(data))
    ids = [part(client, upload_id, data[: 6 * MIB]), part(client, upload_id, data[6 * MIB :])]

    def one(_: int) -> Any:
        return complete(client, upload_id, ids)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(4)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    made = [answer.json()["file"]["id"] for answer in answers if answer.status_code == 200]
    assert len(set(made)) == 1
    assert files(who) == 1
    sweep()
    assert objects(who) == [storage.dataset_key(who.tenant_id, made[0])]


def test_a_completion_whose_process_died_is_taken_over_and_cleaned_up(
    client: TestClient, who: Person
) -> None:
    upload_id = started(client, 3)
    ids = [part(client, upload_id, b"abc")]
    with transaction(who.tenant_id) as session:
        dead = uploads.claim(session, who.tenant_id, upload_id, part_ids=ids)
    assert isinstance(dead, uploads.Assembly)
    uploads.put_together(dead, sha256=None, md5=None)  # and now it dies
    unfinished = storage.Upload(dead.key + "2")
    unfinished.write(content(9 * MIB))
    assert refusal(complete(client, upload_id, ids)) == (409, "upload_completing")
    assert refusal(send(client, upload_id, b"abc")) == (409, "upload_completing")
    assert refusal(client.post(f"/v1/uploads/{upload_id}/cancel")) == (409, "upload_completing")
    with transaction() as session:
        session.execute(text("UPDATE uploads SET lease_expires_at = now() - interval '1 s'"))
    done = complete(client, upload_id, ids).json()
    sweep()
    assert objects(who) == [storage.dataset_key(who.tenant_id, done["file"]["id"])]
    # The one that was thought dead changes nothing any more.
    with pytest.raises(Exception, match="another request"), transaction(who.tenant_id) as session:
        uploads.seal(session, dead, sha256="0" * 64)
    assert files(who) == 1


def test_a_cancelled_upload_leaves_nothing(client: TestClient, who: Person) -> None:
    upload_id = started(client, 6)
    ids = [part(client, upload_id, b"abc")]
    for _ in range(2):
        assert client.post(f"/v1/uploads/{upload_id}/cancel").json()["status"] == "cancelled"
    assert refusal(send(client, upload_id, b"def")) == (400, "upload_not_pending")
    assert refusal(complete(client, upload_id, ids)) == (400, "upload_not_pending")
    sweep()
    assert objects(who) == []
    assert client.get(f"/v1/uploads/{upload_id}").json()["parts"] == []


def test_an_upload_that_expired_is_swept_with_what_a_dead_process_left_of_it(
    client: TestClient, who: Person
) -> None:
    upload_id = started(client, 3)
    kept = started(client, 3)
    ids = [part(client, upload_id, b"abc")]
    part(client, kept, b"abc")
    with transaction(who.tenant_id) as session:
        dead = uploads.claim(session, who.tenant_id, upload_id, part_ids=ids)
    assert isinstance(dead, uploads.Assembly)
    uploads.put_together(dead, sha256=None, md5=None)
    with transaction() as session:
        session.execute(
            text(
                "UPDATE uploads SET lease_expires_at = now() - interval '1 s', "
                "expires_at = now() - interval '1 s' WHERE id = :id"
            ),
            {"id": upload_id},
        )
    assert client.get(f"/v1/uploads/{upload_id}").json()["status"] == "expired"
    assert refusal(send(client, upload_id, b"abc")) == (400, "upload_not_pending")
    sweep()
    prefix = storage.upload_prefix(who.tenant_id, kept)
    assert [key.startswith(prefix) for key in objects(who)] == [True]
    with transaction() as session:
        row = session.get_one(Upload, upload_id)
        assert (row.status, row.sealing_id) == ("expired", None)


def test_a_strangers_upload_is_not_there(client: TestClient, who: Person, stranger: Person) -> None:
    upload_id = started(client, 3)
    part_id = part(client, upload_id, b"abc")
    client.headers.update(stranger.headers)
    for answer in (
        client.get(f"/v1/uploads/{upload_id}"),
        send(client, upload_id, b"abc"),
        complete(client, upload_id, [part_id]),
        client.post(f"/v1/uploads/{upload_id}/cancel"),
    ):
        assert refusal(answer) == (404, "not_found")
    with transaction(stranger.tenant_id) as session:
        for table in ("uploads", "upload_parts"):
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    assert objects(stranger) == []
    # Nor is a part of theirs any use in an upload of one's own.
    mine = started(client, 3)
    assert refusal(complete(client, mine, [part_id])) == (400, "unknown_parts")


@pytest.mark.parametrize("sizes", [(6 * MIB, 5 * MIB, 1), (3 * MIB, 9 * MIB, 4 * MIB)])
def test_parts_of_any_size_come_to_the_same_file(
    client: TestClient, sizes: tuple[int, ...]
) -> None:
    data = content(sum(sizes), seed=len(sizes))
    upload_id = started(client, len(data))
    ids, at = [], 0
    for size in sizes:
        ids.append(part(client, upload_id, data[at : at + size]))
        at += size
    done = complete(client, upload_id, ids, sha256=hashlib.sha256(data).hexdigest()).json()
    assert client.get(f"/v1/files/{done['file']['id']}/content").content == data


def test_only_so_many_uploads_are_open(
    client: TestClient, who: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "UPLOADS_MAX", 2)
    first = started(client, 1)
    started(client, 1)
    assert refusal(start(client, 1)) == (400, "uploads_max")
    client.post(f"/v1/uploads/{first}/cancel")
    assert start(client, 1).status_code == 200


def test_how_an_upload_ended_is_forgotten_after_a_month(client: TestClient, who: Person) -> None:
    upload_id = started(client, 3)
    done = complete(client, upload_id, [part(client, upload_id, b"abc")]).json()
    sweep()
    assert client.get(f"/v1/uploads/{upload_id}").status_code == 200
    with transaction() as session:
        session.execute(
            text("UPDATE uploads SET cleared_at = now() - interval '31 days' WHERE id = :id"),
            {"id": upload_id},
        )
    sweep()
    assert client.get(f"/v1/uploads/{upload_id}").status_code == 404
    assert client.get(f"/v1/files/{done['file']['id']}/content").content == b"abc"


def test_a_commit_that_fails_leaves_an_upload_that_can_be_completed(
    client: TestClient, who: Person
) -> None:
    upload_id = started(client, 3)
    ids = [part(client, upload_id, b"abc")]
    owner = create_engine(settings().owner_url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse_file() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'not at commit'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON datasets DEFERRABLE INITIALLY "
                "DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_file()"
            )
        )
        try:
            assert complete(client, upload_id, ids).status_code == 500
        finally:
            connection.execute(text("DROP TRIGGER late ON datasets"))
            connection.execute(text("DROP FUNCTION refuse_file"))
    owner.dispose()
    assert files(who) == 0
    done = complete(client, upload_id, ids).json()
    sweep()
    assert objects(who) == [storage.dataset_key(who.tenant_id, done["file"]["id"])]
