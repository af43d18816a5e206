"""Credits over REST and by the command: one number everywhere, OpenAI's errors, safe CSV."""

import csv
import io
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import text
from typer.testing import CliRunner

from api import ledger, usage, vouchers
from api.app import create_app
from api.cli import app as command
from api.cli.client import console
from api.db import transaction
from api.money import CREDIT, credits_text
from api.settings import settings
from tests.api import given, spent
from tests.api.books import owner
from tests.api.given import Person


def code(amount: int = 5 * CREDIT, **limits: Any) -> str:
    with transaction() as session:
        made = vouchers.create_campaign(
            session, name=secrets.token_hex(8), amount=amount, actor="test", **limits
        )
        return vouchers.generate_codes(session, made.id, count=1)[0][1]


def refusal(answer: Any) -> tuple[int, str]:
    body = answer.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return answer.status_code, body["code"]


# -- balance, vouchers, alert ---------------------------------------------------------------------


def test_the_balance_comes_with_its_grants_and_as_text(client: TestClient, who: Person) -> None:
    spent.trained(who)
    found = client.get("/v1/credits").json()
    assert (found["available"], found["held"]) == (100 * CREDIT - 270_000, 0)
    assert found["text"] == {"available": "99.73", "held": "0.00", "posted": "99.73"}
    grant = found["grants"][0]
    assert (grant["kind"], grant["granted"], grant["left"]) == (
        "sign_up",
        100 * CREDIT,
        found["available"],
    )
    assert grant["text"]["left"] == "99.73"
    assert (found["low_balance"], found["low_balance_threshold"]) == (
        False,
        settings().low_balance_credits,
    )


def test_a_code_is_redeemed_once_and_again_says_so(client: TestClient) -> None:
    body = {"code": code(days=30).lower().replace("-", " ")}
    first = client.post("/v1/vouchers/redeem", json=body).json()
    assert (first["amount"], first["text"]["amount"], first["again"]) == (5 * CREDIT, "5.00", False)
    assert first["expires_at"]
    assert client.post("/v1/vouchers/redeem", json=body).json()["again"] is True
    assert client.get("/v1/credits").json()["available"] == 105 * CREDIT


def test_what_cannot_be_redeemed_is_refused_in_openais_shape(client: TestClient) -> None:
    unknown = vouchers._written(vouchers._new_plain())
    for sent, words in (
        ({"code": unknown}, "invalid_voucher"),
        ({"code": "TUN-XXXX"}, "mistyped_voucher"),
        ({"code": unknown, "amount": 5}, "invalid_request"),
        ({}, "invalid_request"),
    ):
        assert refusal(client.post("/v1/vouchers/redeem", json=sent)) == (400, words)


def test_a_low_balance_is_told_until_it_has_recovered(client: TestClient, who: Person) -> None:
    answer = client.post("/v1/credits/alert", json={"threshold": 101 * CREDIT})
    assert answer.json()["low_balance"] is True
    found = client.get("/v1/credits").json()
    assert (found["low_balance"], found["low_balance_threshold"]) == (True, 101 * CREDIT)
    assert found["low_balance_since"]
    client.post("/v1/vouchers/redeem", json={"code": code()})
    found = client.get("/v1/credits").json()
    assert (found["low_balance"], found["low_balance_since"]) == (False, None)
    reset = client.post("/v1/credits/alert", json={"threshold": None}).json()
    assert reset["low_balance_threshold"] == settings().low_balance_credits
    for wrong in ({"threshold": -1}, {"threshold": 1, "email": "x"}, {}):
        assert client.post("/v1/credits/alert", json=wrong).status_code == 400


def test_only_an_owner_chooses_when_to_be_alerted(client: TestClient, who: Person) -> None:
    with owner() as connection:
        connection.execute(text("ALTER TABLE members NO FORCE ROW LEVEL SECURITY"))
        connection.execute(
            text("UPDATE members SET role = 'member' WHERE user_id = :user"),
            {"user": who.actor.user_id},
        )
        connection.execute(text("ALTER TABLE members FORCE ROW LEVEL SECURITY"))
        connection.commit()
    answer = client.post("/v1/credits/alert", json={"threshold": 1})
    assert refusal(answer) == (403, "owners_only")


# -- statement and usage --------------------------------------------------------------------------


def test_the_statement_pages_like_every_list(client: TestClient, who: Person) -> None:
    spent.chatted(who)
    first = client.get("/v1/credits/statement", params={"limit": 2}).json()
    assert ([entry["type"] for entry in first["data"]], first["has_more"]) == (
        ["settle", "hold"],
        True,
    )
    rest = client.get("/v1/credits/statement", params={"after": first["last_id"]}).json()
    assert ([entry["type"] for entry in rest["data"]], rest["has_more"]) == (["grant"], False)
    assert rest["data"][0]["text"]["amount"] == "100.00"
    oldest = client.get("/v1/credits/statement", params={"order": "asc", "limit": 1}).json()
    assert oldest["data"] == rest["data"]
    for wrong in ({"order": "up"}, {"since": "soon"}, {"format": "xml"}):
        assert client.get("/v1/credits/statement", params=wrong).status_code == 400


@pytest.mark.parametrize(
    "how", [{"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}]
)
def test_a_statement_as_csv_holds_nothing_that_a_spreadsheet_runs(
    client: TestClient, who: Person, how: dict[str, Any]
) -> None:
    with transaction() as session:
        for sign in "=+-@":
            ledger.grant(
                session,
                who.tenant_id,
                1_234 * CREDIT,
                grant_id=f"{sign}cmd/{who.tenant_id}",
                reason=f"{sign}HYPERLINK(1)",
                actor="\tx",
            )
    answer = client.get("/v1/credits/statement", **how)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 5
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert rows[0]["reason"] == "'@HYPERLINK(1)"
    assert (rows[0]["amount"], rows[0]["amount_micro_credits"]) == ("1,234.00", "1234000000")


def test_a_csv_over_the_limit_asks_for_a_shorter_time(
    client: TestClient, who: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATEMENT_ROWS_MAX", "2")
    settings.cache_clear()
    try:
        spent.chatted(who)
        answer = client.get("/v1/credits/statement", params={"format": "csv"})
        assert refusal(answer) == (400, "statement_rows_max")
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_usage_by_each_word_and_as_csv(client: TestClient, who: Person) -> None:
    job_id, _ = spent.trained(who)
    for by in usage.By:
        found = client.get("/v1/usage", params={"by": by}).json()
        assert found["total"]["credits"] == 270_000
        assert found["total"]["text"]["credits"] == "0.27"
    answer = client.get("/v1/usage", params={"by": "job", "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["key"], row["credits"]) for row in rows] == [(job_id, "270000")]
    assert client.get("/v1/usage", params={"by": "mood"}).status_code == 400


def test_a_receipt_over_rest(client: TestClient, who: Person, stranger: Person) -> None:
    job_id, model = spent.trained(who, tokens=20_000)
    found = client.get(f"/v1/fine_tuning/jobs/{job_id}/receipt").json()
    assert (found["charged"], found["returned"], found["tuned_model"]) == (200_000, 70_000, model)
    assert found["text"]["charged"] == "0.20"
    assert found["text"]["rate"] == "0.00001"
    theirs = given.queued_job(stranger)
    assert refusal(client.get(f"/v1/fine_tuning/jobs/{theirs}/receipt")) == (404, "not_found")
    assert refusal(client.post(f"/v1/fine_tuning/jobs/{theirs}/resume")) == (404, "not_found")


def test_the_limits_and_what_is_used_of_them(client: TestClient, who: Person) -> None:
    given.queued_job(who)
    found = client.get("/v1/limits").json()
    assert found["queued_jobs_max"] == settings().queued_jobs_max
    assert found["used"]["queued_jobs"] == 1
    assert found["used"]["credits_today"] == 270_000


# -- budgets of keys ------------------------------------------------------------------------------


def test_a_key_gets_a_budget_and_cannot_get_round_it(client: TestClient, who: Person) -> None:
    made = client.post("/v1/api_keys", json={"name": "ci", "budget_credits": 1_000}).json()
    assert (made["budget_credits"], made["spent_credits"]) == (1_000, 0)
    mine = {"authorization": f"Bearer {made['key']}"}
    path = f"/v1/api_keys/{made['id']}"
    for answer in (
        client.patch(path, json={"budget_credits": None}, headers=mine),
        client.post("/v1/api_keys", json={}, headers=mine),
    ):
        assert refusal(answer) == (403, "key_has_budget")
    body = {"model": given.MODEL, "messages": [{"role": "user", "content": "hi"}]}
    answer = client.post("/v1/chat/completions", json=body, headers=mine)
    assert refusal(answer) == (429, "key_budget_credits")
    raised = client.patch(path, json={"month_budget_credits": 7}).json()
    assert (raised["budget_credits"], raised["month_budget_credits"]) == (1_000, 7)
    assert client.patch(path, json={"budget_credits": None}).json()["budget_credits"] is None
    assert client.patch(path, json={"budget": 1}).status_code == 400


def test_a_strangers_key_is_not_there(client: TestClient, stranger: Person) -> None:
    path = f"/v1/api_keys/{spent.key_id(stranger)}"
    assert refusal(client.patch(path, json={"budget_credits": 0})) == (404, "not_found")
    assert refusal(client.patch(path)) == (404, "not_found")


# -- the command ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    url: str
    key: str

    def __call__(self, *words: str) -> str:
        """What the command prints, of one that succeeds."""
        ran = CliRunner().invoke(command, [*words, "--url", self.url, "--key", self.key])
        assert ran.exit_code == 0, ran.output
        return ran.output


@pytest.fixture
def tunery(who: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command against a real server; its lines are as long as they like."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(
        uvicorn.Config(create_app(), port=port, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        threading.Event().wait(0.02)
    monkeypatch.setattr(console, "width", 400)
    yield Command(f"http://127.0.0.1:{port}", who.key)
    running.should_exit = True
    thread.join()


def test_the_command_rest_and_the_ledger_agree(tunery: Command, who: Person) -> None:
    voucher = code(7 * CREDIT)
    assert "7.00 credits" in tunery("redeem", voucher)
    job_id, model = spent.trained(who, tokens=20_000)
    spent.chatted(who, model)
    with transaction(who.tenant_id) as session:
        books = ledger.balance(session, who.tenant_id)
        entries = usage.statement(session, who.tenant_id, limit=100)
        used = usage.total(usage.usage(session, who.tenant_id, by=usage.By.DAY))
        bill = usage.receipt(session, who.tenant_id, job_id)
    assert books.available == 107 * CREDIT - used.credits == entries[0].available
    with TestClient(create_app()) as client:
        rest = client.get("/v1/credits", headers=who.headers).json()
        told = client.get("/v1/usage", headers=who.headers).json()
        receipt = client.get(f"/v1/fine_tuning/jobs/{job_id}/receipt", headers=who.headers).json()
    assert rest["available"] == books.available
    assert told["total"]["credits"] == used.credits
    assert receipt["charged"] == bill.charged

    words = credits_text(books.available)
    assert rest["text"]["available"] == words
    assert f"{words} credits available" in tunery("credits")
    statement = tunery("statement")
    assert all(credits_text(entry.available) in statement for entry in entries)
    rows = list(csv.DictReader(io.StringIO(tunery("statement", "--csv"))))
    assert [row["available"] for row in rows] == [credits_text(e.available) for e in entries]
    for by in usage.By:
        assert credits_text(used.credits) in tunery("usage", "--by", by)
    printed = tunery("receipt", job_id)
    for amount in (bill.held, bill.charged, bill.returned):
        assert f"{credits_text(amount)} credits" in printed


def test_the_operators_commands(tunery: Command, who: Person) -> None:
    refused = CliRunner().invoke(
        command, ["tenant", "list", "--url", tunery.url, "--key", tunery.key]
    )
    assert refused.exit_code == 1
    assert "whoever runs the service" in refused.output
    assert CliRunner().invoke(command, ["operator", who.email]).exit_code == 0
    assert "is now an operator" in CliRunner().invoke(command, ["operator", who.email]).output
    name = f"spring {who.tenant_id}"
    made = tunery("voucher", "create-campaign", name, "2.5", "--days", "9").split(":")[0]
    codes = tunery("voucher", "codes", made, "--count", "3").split()
    assert len(set(codes)) == 3
    assert "2.50 credits, good until" in tunery("redeem", codes[0])
    assert name in tunery("voucher", "list")
    tunery("voucher", "revoke", made)
    assert "revoked" in tunery("voucher", "list")
    assert "102.50" in tunery("tenant", "list")
    changed = tunery(
        "tenant", "limit", who.tenant_id, "running_jobs_max=8", "credits_per_day_max=5"
    )
    assert "this tenant's" in changed
    shown = tunery("tenant", "limit", who.tenant_id)
    assert "5.00" in shown
    tunery("tenant", "limit", who.tenant_id, "credits_per_day_max=")
    assert "5.00" not in tunery("tenant", "limit", who.tenant_id)


def test_a_session_may_change_budgets_of_a_key(app_client: TestClient) -> None:
    email = f"s{given.person().email}"
    body = {"email": email, "password": given.PASSWORD, "tenant": "t"}
    app_client.post("/v1/auth/sign-up", json=body)
    made = app_client.post("/v1/api_keys", json={"month_budget_credits": 5}).json()
    changed = app_client.patch(f"/v1/api_keys/{made['id']}", json={"month_budget_credits": 6})
    assert changed.json()["month_budget_credits"] == 6
