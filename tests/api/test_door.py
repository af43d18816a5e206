"""Who may come in, what a stranger sees, and that every refusal has OpenAI's shape."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from api import jobs, members, tenants, uploads
from api.app import create_app
from api.db import transaction
from api.settings import settings
from api.tables import new_id
from tests.api import given
from tests.api.given import Person


def _key_id(who: Person) -> str:
    with transaction(who.tenant_id) as session:
        return str(session.execute(text("SELECT id FROM api_keys")).scalar_one())


def _tuned_model(who: Person) -> str:
    job_id = given.queued_job(who)
    name = f"ft:{given.MODEL}:{job_id}"
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO adapters (id, tenant_id, job_id, name, base_model, prefix, manifest, "
                "bytes) VALUES (:id, :tenant, :job, :name, :base, 'p/', '{}', 1)"
            ),
            {
                "id": f"adp-{job_id}",
                "tenant": who.tenant_id,
                "job": job_id,
                "name": name,
                "base": given.MODEL,
            },
        )
    return name


def _upload(who: Person) -> str:
    with transaction(who.tenant_id) as session:
        row = uploads.start(
            session,
            who.tenant_id,
            filename="shop.jsonl",
            purpose="fine-tune",
            mime_type="text/jsonl",
            size=1,
            created_by=who.actor.name,
        )
        return row.id


def _invitation(who: Person) -> str:
    with transaction(who.tenant_id) as session:
        email = f"{new_id('')}@example.org"
        row, _ = members.invite(session, who.actor, email=email, role="member")
        return row.id


def _session(who: Person) -> str:
    with transaction(who.tenant_id) as session:
        token = tenants.open_session(session, who.actor)
        return tenants.sessions(session, token, datetime.now(UTC))[0].id


# Every route with an id in its path, and how to make one that belongs to somebody else. A new route
# without an entry here fails the test below.
FOREIGN = {
    "file_id": given.dataset,
    "upload_id": _upload,
    "user_id": lambda who: who.actor.user_id,
    "invitation_id": _invitation,
    "session_id": _session,
    "job_id": given.queued_job,
    "key_id": _key_id,
    "model": _tuned_model,
    "quote_id": given.quote,
}

# What a route must be sent before it looks for anything.
BODIES = {
    "/v1/members/{user_id}": {"role": "member"},
    "/v1/uploads/{upload_id}/complete": {"part_ids": ["part_none"]},
}


def _routes(app: FastAPI) -> list[tuple[str, str]]:
    paths = app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_a_stranger_finds_nothing_of_another_tenant_on_any_route(
    client: TestClient, stranger: Person
) -> None:
    walked = 0
    for method, path in _routes(create_app()):
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if not names or path.startswith("/v1/admin/"):  # the operator's: tests/api/test_admin.py
            continue
        assert set(names) <= set(FOREIGN), f"say in FOREIGN how to make a {names} of a stranger's"
        ours = path
        random = path
        for name in names:
            made = FOREIGN[name](stranger)
            ours = ours.replace("{" + name + "}", made)
            random = random.replace("{" + name + "}", "x" * len(made))
        body = BODIES.get(path)
        answer = client.request(method, ours, json=body)
        nothing = client.request(method, random, json=body)
        assert answer.status_code == 404, f"{method} {ours}: {answer.text}"
        # The same answer as for an id that nobody has.
        assert _shape(answer.json()) == _shape(nothing.json())
        walked += 1
    assert walked >= 14


def _shape(body: dict[str, Any]) -> tuple[Any, ...]:
    error = body["error"]
    return error["type"], error["code"], error["param"]


def test_a_strangers_ids_in_a_body_are_not_there_either(
    client: TestClient, stranger: Person
) -> None:
    theirs = given.dataset(stranger)
    model = _tuned_model(stranger)
    messages = [{"role": "user", "content": "hi"}]
    for path, body in (
        ("/v1/fine_tuning/jobs", {"model": given.MODEL, "training_file": theirs}),
        ("/v1/quotes", {"model": given.MODEL, "training_file": theirs}),
        ("/v1/chat/completions", {"model": model, "messages": messages}),
    ):
        assert client.post(path, json=body).status_code == 404, path


def test_every_route_but_the_way_in_asks_who_is_there(app_client: TestClient) -> None:
    open_routes = {
        "/v1/auth/sign-up",
        "/v1/auth/sign-in",
        "/v1/auth/invitation",
        "/v1/auth/join",
    }
    for method, path in _routes(create_app()):
        if path in open_routes:
            continue
        body = {"model": "m", "training_file": "f", "messages": [{"role": "user", "content": "x"}]}
        answer = app_client.request(method, path.replace("{", "").replace("}", ""), json=body)
        assert answer.status_code in (401, 400), f"{method} {path}: {answer.text}"
        if answer.status_code == 401:
            assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_mistyped_key_is_told_apart_from_an_unknown_one(
    app_client: TestClient, who: Person
) -> None:
    wrong = who.key[:-1] + ("a" if who.key[-1] != "a" else "b")
    answer = app_client.get("/v1/me", headers={"authorization": f"Bearer {wrong}"})
    assert answer.status_code == 401
    assert "checksum" in answer.json()["error"]["message"]


def test_a_revoked_key_counts_no_more(client: TestClient) -> None:
    key_id = client.get("/v1/api_keys").json()["data"][0]["id"]
    assert client.delete(f"/v1/api_keys/{key_id}").status_code == 200
    assert client.get("/v1/me").status_code == 401


def test_a_key_is_shown_once_and_stored_hashed(client: TestClient, who: Person) -> None:
    made = client.post("/v1/api_keys", json={"name": "ci"}).json()
    assert made["key"].startswith("tk-")
    listed = client.get("/v1/api_keys").json()["data"]
    assert made["key"] not in str(listed)
    with transaction(who.tenant_id) as session:
        rows = session.execute(text("SELECT * FROM api_keys")).all()
    assert made["key"] not in str(rows)


def test_sign_up_sign_in_and_out(app_client: TestClient) -> None:
    email = f"{given.person().email}.uk"
    body = {"email": email, "password": given.PASSWORD, "tenant": "Tea & Co"}
    assert app_client.post("/v1/auth/sign-up", json=body).status_code == 201
    me = app_client.get("/v1/me").json()
    assert me["user"]["email"] == email
    assert me["credits"]["available"] == settings().sign_up_credits
    assert app_client.post("/v1/auth/sign-out").json() == {"signed_out": True}
    assert app_client.get("/v1/me").status_code == 401
    wrong = app_client.post("/v1/auth/sign-in", json={"email": email, "password": "not this one"})
    assert wrong.status_code == 401
    right = {"email": email.upper(), "password": given.PASSWORD}
    assert app_client.post("/v1/auth/sign-in", json=right).status_code == 200
    assert app_client.get("/v1/me").status_code == 200
    again = app_client.post("/v1/auth/sign-up", json=body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "email_taken")


def test_a_session_cannot_be_used_from_another_site(app_client: TestClient) -> None:
    body = {"email": f"x{given.person().email}", "password": given.PASSWORD, "tenant": "t"}
    app_client.post("/v1/auth/sign-up", json=body)
    foreign = {"origin": "https://evil.example"}
    assert app_client.post("/v1/api_keys", json={}, headers=foreign).status_code == 403
    own = {"origin": settings().public_url}
    assert app_client.post("/v1/api_keys", json={}, headers=own).status_code == 201


def test_guessing_a_password_is_slowed_down(app_client: TestClient) -> None:
    email = given.person().email
    for _ in range(settings().sign_in_attempts_max):
        app_client.post("/v1/auth/sign-in", json={"email": email, "password": "guess"})
    right = {"email": email, "password": given.PASSWORD}
    assert app_client.post("/v1/auth/sign-in", json=right).status_code == 429


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "model", "Field required"),
        ({"model": "none", "training_file": "file-x"}, "model", "There are: smollm2"),
        ({"model": given.MODEL, "training_file": "file-x"}, "training_file", "no file"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "n_epochs"),
        ({"hyperparameters": {"n_epochs": "some"}}, "hyperparameters.n_epochs", "integer"),
        ({"hyperparameters": {"epochs": 1}}, "hyperparameters.epochs", "not permitted"),
        ({"tuning": {"rank": 0}}, "tuning.rank", "greater than or equal to 1"),
        ({"tuning": {"method": "magic"}}, "tuning.method", "lora"),
        ({"hyperparameters": {"cutoff_len": 9000}}, "hyperparameters.cutoff_len", "8192"),
        ({"method": {"type": "dpo", "dpo": {}}}, "method.type", "supervised"),
        ({"integrations": [{"type": "wandb"}]}, "integrations", "not offered"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", "16"),
        ({"suffix": "x" * 65}, "suffix", "64"),
    ],
)
def test_a_bad_request_says_where_and_what(
    client: TestClient, body: dict[str, Any], param: str, words: str
) -> None:
    whole = {"model": given.MODEL, "training_file": "file-x"} | body if body else body
    answer = client.post("/v1/fine_tuning/jobs", json=whole)
    error = answer.json()["error"]
    assert answer.status_code in (400, 404)
    assert set(error) == {"message", "type", "param", "code"}
    assert words in error["message"]
    assert param in (error["param"], *error["message"].replace(":", "").split())


def test_all_problems_of_a_request_come_at_once(client: TestClient) -> None:
    body = {"model": given.MODEL, "tuning": {"rank": 0, "dropout": 2}}
    message = client.post("/v1/fine_tuning/jobs", json=body).json()["error"]["message"]
    assert all(place in message for place in ("tuning.rank", "tuning.dropout", "training_file"))


def test_an_unknown_path_and_a_wrong_method_have_the_same_shape(client: TestClient) -> None:
    for answer in (client.get("/v1/nothing"), client.put("/v1/files")):
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"].startswith("req_")


def test_the_root_serves_the_same_as_v1(client: TestClient) -> None:
    assert client.get("/models").json() == client.get("/v1/models").json()


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    body = {"model": given.MODEL, "training_file": "x" * settings().request_body_bytes_max}
    answer = client.post("/v1/fine_tuning/jobs", json=body)
    assert answer.status_code == 413
    assert "request_body_bytes_max" in answer.json()["error"]["message"]


def test_a_commit_that_fails_is_a_500_and_not_a_200(who: Person) -> None:
    """The transaction ends before the response starts: what was not stored is not confirmed."""
    owner = create_engine(settings().owner_url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse_at_commit() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'not at commit'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON api_keys DEFERRABLE INITIALLY "
                "DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_at_commit()"
            )
        )
    try:
        with TestClient(create_app(), raise_server_exceptions=False) as client:
            answer = client.post("/v1/api_keys", json={}, headers=who.headers)
        assert answer.status_code == 500
        assert "req_" in answer.json()["error"]["message"]
    finally:
        with owner.connect() as connection:
            connection.execute(text("DROP TRIGGER late ON api_keys"))
            connection.execute(text("DROP FUNCTION refuse_at_commit"))
        owner.dispose()


def test_a_tenants_transaction_sees_only_its_own_rows(who: Person, stranger: Person) -> None:
    job_id = given.queued_job(stranger)
    with transaction(who.tenant_id) as session:
        for table in ("jobs", "datasets", "encodings", "job_events", "ledger_transfers"):
            rows = session.execute(text(f"SELECT tenant_id FROM {table}")).scalars()
            assert set(rows) <= {who.tenant_id}
        changed = session.execute(text("UPDATE jobs SET suffix = 'x' WHERE id = :i"), {"i": job_id})
        assert changed.rowcount == 0  # type: ignore[attr-defined]


def test_every_table_with_a_tenant_has_its_wall(engines: object) -> None:
    query = """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
               EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant')
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE a.attname = 'tenant_id' AND c.relkind = 'r'
    """
    with transaction() as session:
        found = session.execute(text(query)).all()
    assert len(found) >= 12
    for table, secured, has_policy in found:
        assert secured, table
        assert has_policy, table


def test_the_events_of_a_job_read_like_openais(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    page = client.get(f"/v1/fine_tuning/jobs/{job_id}/events", params={"limit": 2}).json()
    assert page["data"][0]["message"] == "Fine-tuning job cancelled"
    assert page["has_more"] is True
    rest = client.get(
        f"/v1/fine_tuning/jobs/{job_id}/events", params={"after": page["data"][-1]["id"]}
    ).json()
    assert rest["data"][-1]["message"] == f"Created fine-tuning job: {job_id}"
    assert (
        client.get(
            f"/v1/fine_tuning/jobs/{job_id}/events", params={"after": "ftevent-nonsense-3"}
        ).json()["data"]
        == []
    )
