"""What only whoever runs the service may do: every such route refuses everybody else."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import ledger, operators
from api.app import create_app
from api.cli import local
from api.db import transaction
from api.embedded import Engines
from api.errors import NotFound
from api.money import CREDIT
from api.tables import new_id
from tests.api import spent
from tests.api.books import cheat
from tests.api.given import Person


@pytest.fixture
def admin(client: TestClient, who: Person) -> TestClient:
    """Requests with an operator's key."""
    spent.make_operator(who)
    return client


def campaign(admin: TestClient, **changes: Any) -> dict[str, Any]:
    body = {"name": new_id("campaign "), "amount": 5 * CREDIT} | changes
    answer = admin.post("/v1/admin/campaigns", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def codes(admin: TestClient, campaign_id: str, count: int = 1) -> list[str]:
    answer = admin.post(f"/v1/admin/campaigns/{campaign_id}/codes", json={"count": count})
    return [made["code"] for made in answer.json()["data"]]


def refusal(answer: Any) -> tuple[int, str]:
    body = answer.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return answer.status_code, body["code"]


def redeem(client: TestClient, who: Person, code: str) -> Any:
    return client.post("/v1/vouchers/redeem", json={"code": code}, headers=who.headers)


# -- who may come in ------------------------------------------------------------------------------


def test_every_route_of_the_operators_refuses_everybody_else(
    client: TestClient, app_client: TestClient
) -> None:
    paths = create_app().openapi()["paths"]
    routes = [
        (method.upper(), path)
        for path, methods in paths.items()
        if path.startswith("/v1/admin/")
        for method in methods
    ]
    assert len(routes) >= 13
    for method, path in routes:
        plain = path.replace("{", "").replace("}", "")
        for body in (None, {"amount": 1, "reason": "r", "count": 1}):
            answer = client.request(method, plain, json=body)
            assert refusal(answer) == (403, "operators_only"), f"{method} {path}"
        nobody = client.request(method, plain, headers={"authorization": ""})
        assert nobody.status_code == 401, f"{method} {path}"


def test_an_operator_is_made_and_unmade_by_address(client: TestClient, who: Person) -> None:
    for flag, status in ((True, 200), (False, 403)):
        with transaction() as session:
            operators.appoint(session, who.email.upper(), operator=flag)
        assert client.get("/v1/admin/tenants").status_code == status
    with pytest.raises(NotFound), transaction() as session:
        operators.appoint(session, "nobody@example.org")


def test_whoever_starts_the_service_here_is_its_first_operator(
    engines: Engines, tmp_path: Path
) -> None:
    local._make_first(tmp_path / "credentials.json")
    first = json.loads((tmp_path / "credentials.json").read_text("utf-8"))
    headers = {"authorization": f"Bearer {first['api_key']}"}
    with TestClient(create_app()) as fresh:
        assert fresh.get("/v1/admin/tenants", headers=headers).status_code == 200


def test_what_is_not_there_is_a_404(admin: TestClient) -> None:
    grant = {"amount": 1, "reason": "r"}
    for method, path, body in (
        ("GET", "tenants/ten-none", None),
        ("POST", "tenants/ten-none/limits", {"running_jobs_max": 1}),
        ("POST", "tenants/ten-none/grants", grant),
        ("POST", "tenants/ten-none/refunds", grant | {"subject": "ftjob-none"}),
        ("POST", "tenants/ten-none/corrections", grant | {"grant_id": "grant/none"}),
        ("GET", "campaigns/campaign-none", None),
        ("POST", "campaigns/campaign-none/revoke", None),
        ("GET", "campaigns/campaign-none/codes", None),
        ("POST", "campaigns/campaign-none/codes", {"count": 1}),
        ("POST", "codes/code-none/revoke", None),
    ):
        answer = admin.request(method, f"/v1/admin/{path}", json=body)
        assert refusal(answer) == (404, "not_found"), path


def test_unknown_fields_are_refused(admin: TestClient, stranger: Person) -> None:
    for path, body in (
        (f"tenants/{stranger.tenant_id}/grants", {"amount": 1, "reason": "r"}),
        (f"tenants/{stranger.tenant_id}/limits", {}),
        ("campaigns", {"name": "n", "amount": 1}),
    ):
        answer = admin.post(f"/v1/admin/{path}", json=body | {"surprise": 1})
        assert refusal(answer) == (400, "invalid_request"), path


# -- tenants --------------------------------------------------------------------------------------


def test_tenants_are_listed_with_their_totals(
    admin: TestClient, who: Person, stranger: Person
) -> None:
    spent.trained(stranger, tokens=20_000)
    spent.asked(stranger)
    listed = admin.get("/v1/admin/tenants", params={"limit": 1}).json()
    assert listed["has_more"] is True
    mine = listed["data"][0]
    assert mine["id"] == stranger.tenant_id
    assert (mine["jobs"], mine["members"], mine["storage_bytes"]) == (1, 1, 1_100)
    with transaction(stranger.tenant_id) as session:
        found = ledger.balance(session, stranger.tenant_id)
    assert (mine["available"], mine["held"]) == (found.available, found.held)
    assert (mine["spent"], mine["text"]["spent"]) == (200_000, "0.20")
    after = admin.get("/v1/admin/tenants", params={"limit": 1, "after": mine["id"]}).json()
    assert after["data"][0]["id"] == who.tenant_id
    one = admin.get(f"/v1/admin/tenants/{stranger.tenant_id}").json()
    assert one["used"]["credits_today"] == 200_000 + found.held
    assert one["grants"][0]["kind"] == "sign_up"


def test_credits_are_given_taken_back_and_refunded_once_a_key(
    admin: TestClient, stranger: Person
) -> None:
    job_id, _ = spent.trained(stranger)
    path = f"/v1/admin/tenants/{stranger.tenant_id}"
    start = 100 * CREDIT - 270_000

    def send(act: str, body: dict[str, Any], key: str) -> Any:
        sent = {"reason": "test"} | body
        return admin.post(f"{path}/{act}", json=sent, headers={"idempotency-key": key})

    for _ in range(2):
        given_to = send("grants", {"amount": 10 * CREDIT}, "a")
        assert (given_to.status_code, given_to.json()["available"]) == (201, start + 10 * CREDIT)
    assert refusal(send("grants", {"amount": 11 * CREDIT}, "a")) == (409, "idempotency_key_reuse")
    grant_id = given_to.json()["id"]
    for _ in range(2):
        back = send("corrections", {"amount": 4 * CREDIT, "grant_id": grant_id}, "b").json()
        assert back["available"] == start + 6 * CREDIT
    over = send("corrections", {"amount": 7 * CREDIT, "grant_id": grant_id}, "c")
    assert refusal(over) == (400, "correction_exceeds_grant")
    for _ in range(2):
        refunded = send("refunds", {"amount": 70_000, "subject": job_id}, "d").json()
        assert refunded["available"] == start + 6 * CREDIT + 70_000
    over = send("refunds", {"amount": 200_001, "subject": job_id}, "e")
    assert refusal(over) == (400, "refund_exceeds_charge")
    entries = admin.get("/v1/credits/statement", headers=stranger.headers).json()["data"]
    assert [entry["type"] for entry in entries[:3]] == ["refund", "correction", "grant"]


def test_limits_of_a_tenant_are_overridden_and_shown_to_it(
    admin: TestClient, stranger: Person
) -> None:
    path = f"/v1/admin/tenants/{stranger.tenant_id}/limits"
    made = admin.post(path, json={"running_jobs_max": 9, "storage_bytes_max": 5}).json()
    assert (made["running_jobs_max"], made["overrides"]) == (
        9,
        {"running_jobs_max": 9, "storage_bytes_max": 5},
    )
    seen = admin.get("/v1/limits", headers=stranger.headers).json()
    assert (seen["running_jobs_max"], seen["storage_bytes_max"]) == (9, 5)
    assert admin.post(path, json={"storage_bytes_max": None}).json()["overrides"] == {
        "running_jobs_max": 9
    }
    assert admin.post(path, json={"running_jobs_max": -1}).status_code == 400


# -- vouchers -------------------------------------------------------------------------------------


def test_codes_are_shown_once_as_json_or_csv_and_kept_as_hashes(admin: TestClient) -> None:
    made = campaign(admin)
    path = f"/v1/admin/campaigns/{made['id']}/codes"
    clear = codes(admin, made["id"], 3)
    answer = admin.post(path, params={"format": "csv"}, json={"count": 2})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert all(row["code"].startswith("TUN-") for row in rows)
    listed = admin.get(path)
    assert len(listed.json()["data"]) == 5
    assert not [code for code in (*clear, *(row["code"] for row in rows)) if code in listed.text]


def test_how_a_campaign_did(admin: TestClient, who: Person, stranger: Person) -> None:
    made = campaign(admin, priority=1)
    first, second, _ = codes(admin, made["id"], 3)
    assert redeem(admin, who, first).status_code == 200
    assert redeem(admin, stranger, second).status_code == 200
    spent.trained(stranger)
    did = admin.get(f"/v1/admin/campaigns/{made['id']}").json()["performance"]
    assert (did["codes"], did["codes_used"], did["redemptions"], did["tenants"]) == (3, 2, 2, 2)
    assert (did["granted"], did["spent"], did["left"]) == (
        10 * CREDIT,
        270_000,
        10 * CREDIT - 270_000,
    )
    assert did["first_jobs"] == 1
    assert did["text"]["granted"] == "10.00"
    assert made["id"] in [row["id"] for row in admin.get("/v1/admin/campaigns").json()["data"]]


def test_a_job_before_the_voucher_is_no_success_of_it(admin: TestClient, stranger: Person) -> None:
    spent.trained(stranger)
    made = campaign(admin)
    redeem(admin, stranger, codes(admin, made["id"])[0])
    did = admin.get(f"/v1/admin/campaigns/{made['id']}").json()["performance"]
    assert (did["tenants"], did["first_jobs"]) == (1, 0)


def test_what_was_revoked_gives_nothing(admin: TestClient, who: Person, stranger: Person) -> None:
    made = campaign(admin)
    first, second = codes(admin, made["id"], 2)
    listed = admin.get(f"/v1/admin/campaigns/{made['id']}/codes").json()["data"]
    for row in listed[:1]:
        assert admin.post(f"/v1/admin/codes/{row['id']}/revoke").json()["revoked"] is True
    given_by = [redeem(admin, who, code).status_code for code in (first, second)]
    assert sorted(given_by) == [200, 400]
    assert admin.post(f"/v1/admin/campaigns/{made['id']}/revoke").json()["revoked_at"]
    for code in (first, second):
        assert refusal(redeem(admin, stranger, code)) == (400, "invalid_voucher")


def test_a_campaign_that_makes_no_sense_is_refused(admin: TestClient) -> None:
    made = campaign(admin)
    again = admin.post("/v1/admin/campaigns", json={"name": made["name"], "amount": 1})
    assert refusal(again) == (409, "conflict")
    for wrong in ({"amount": 0}, {"days": 0}, {"starts_at": "2026-01-01"}):
        body = {"name": "x", "amount": 1} | wrong
        assert admin.post("/v1/admin/campaigns", json=body).status_code == 400


# -- the books ------------------------------------------------------------------------------------


def test_the_books_are_checked_over_rest(admin: TestClient, who: Person, engines: Engines) -> None:
    spent.trained(who)
    before = admin.get("/v1/admin/ledger/check").json()
    assert before["invariants"] == list(ledger.INVARIANTS)
    assert not [each for each in before["findings"] if who.tenant_id in each["row"]]
    grant_id = f"grant/sign-up/{who.tenant_id}"
    off = text("UPDATE ledger_accounts SET debits_posted = debits_posted + :by WHERE id = :id")
    try:
        with cheat(engines) as connection:
            connection.execute(off, {"by": 1, "id": grant_id})
            connection.commit()
        found = admin.get("/v1/admin/ledger/check").json()
        assert found["right"] is False
        assert grant_id in [each["row"] for each in found["findings"]]
    finally:
        with cheat(engines) as connection:
            connection.execute(off, {"by": -1, "id": grant_id})
            connection.commit()
