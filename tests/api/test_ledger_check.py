"""The checker finds what is wrong: every kind of fault, planted by a superuser, is named.

A checker that cannot fail proves nothing.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from api import jobs, ledger, vouchers
from api.cli import app
from api.db import transaction
from api.embedded import Engines
from api.money import CREDIT
from api.tables import new_id
from tests.api import given
from tests.api.books import cheat, findings
from tests.api.given import Person

# What is done to the database, the invariant that must say so, and the row it must name. `tenant`,
# `job`, `done` (a job that succeeded), `code` and `campaign` are ids of the scene below.
COPY = (
    "INSERT INTO ledger_transfers SELECT {id}, tenant_id, debit_id, credit_id, amount, kind, "
    "hold_id, subject, reason, actor, created_at, corrects_id, timeout_at, input_hash "
    "FROM ledger_transfers WHERE "
)
PLANTED = [
    (
        "a balance is edited",
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE id = :grant",
        "I3",
        ":grant",
    ),
    (
        "money from nowhere",
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE id = :grant",
        "I1",
        "all grants",
    ),
    (
        "what is held is edited",
        "UPDATE ledger_accounts SET debits_pending = 0 WHERE id = :grant",
        "I12 what",
        ":grant",
    ),
    (
        "a house account keeps a sum",
        "UPDATE ledger_accounts SET credits_posted = 5 WHERE id = 'house/revenue'",
        "I3",
        "house/revenue",
    ),
    (
        "a grant below zero",
        (
            "ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_never_negative; "
            "UPDATE ledger_accounts SET debits_posted = credits_posted + 1 WHERE id = :grant"
        ),
        "I2",
        ":grant",
    ),
    (
        "a transfer is deleted",
        "DELETE FROM ledger_transfers WHERE kind = 'settle' AND subject = :done",
        "I3",
        ":grant",
    ),
    (
        "a charge is deleted",
        "DELETE FROM ledger_transfers WHERE kind = 'settle' AND subject = :done",
        "I6 what was charged",
        ":done",
    ),
    (
        "a transfer's amount is edited",
        "UPDATE ledger_transfers SET amount = amount - 1 WHERE kind = 'settle' AND subject = :done",
        "I3",
        ":grant",
    ),
    (
        "a second resolution",
        "DROP INDEX uq_ledger_transfers_one_resolution; "
        + COPY.format(id="'again/' || id")
        + "kind = 'settle' AND subject = :done",
        "I4 a hold resolves once",
        "hold/:done/0000",
    ),
    (
        "more is charged than was held",
        "UPDATE ledger_transfers SET amount = amount * 9 WHERE kind = 'settle' AND subject = :done",
        "I4 a hold resolves once",
        "hold/:done/0000",
    ),
    (
        "a resolution of another's hold",
        "UPDATE ledger_transfers SET debit_id = 'grant' WHERE kind = 'settle' AND subject = :done",
        "I4 a hold resolves once",
        "hold/:done/0000",
    ),
    (
        "an overdue hold that no sweep took",
        (
            "UPDATE ledger_transfers SET timeout_at = now() - interval '2 hours' "
            "WHERE subject = :job; UPDATE jobs SET status = 'failed' WHERE id = :job"
        ),
        "I4 no hold",
        "hold/:job/0000",
    ),
    (
        "a wrong count of redemptions",
        "UPDATE voucher_codes SET redeemed = 0 WHERE id = :code",
        "I5 a code's uses",
        ":code",
    ),
    (
        "more redemptions than a code has uses",
        (
            "ALTER TABLE voucher_codes DROP CONSTRAINT ck_voucher_codes_redeemed; "
            "UPDATE voucher_codes SET max_redemptions = 0 WHERE id = :code"
        ),
        "I5 a code's uses",
        ":code",
    ),
    (
        "a wrong budget",
        "UPDATE voucher_campaigns SET credits = credits - 1 WHERE id = :campaign",
        "I5 a campaign's counts",
        ":campaign",
    ),
    (
        "a tenant redeems too often",
        (
            "INSERT INTO voucher_redemptions (id, tenant_id, campaign_id, grant_id, amount) "
            "VALUES ('twice', :tenant, :campaign, 'grant/x', 5)"
        ),
        "I5 a tenant redeems",
        ":tenant :campaign",
    ),
    (
        "a redemption without its grant",
        (
            "DELETE FROM ledger_transfers WHERE credit_id = :voucher_grant; "
            "DELETE FROM ledger_accounts WHERE id = :voucher_grant"
        ),
        "I5 a redemption is one grant",
        ":redemption",
    ),
    (
        "a grant without its redemption",
        "DELETE FROM voucher_redemptions WHERE grant_id = :voucher_grant",
        "I5 a redemption is one grant",
        ":voucher_grant",
    ),
    (
        "a live job without its hold",
        "DELETE FROM ledger_transfers WHERE subject = :job",
        "I6 what lives",
        ":job",
    ),
    (
        "an ended job that still holds",
        "UPDATE jobs SET status = 'cancelled' WHERE id = :job",
        "I6 what lives",
        ":job",
    ),
    (
        "a hold without a job",
        "DELETE FROM job_events WHERE job_id = :job; DELETE FROM jobs WHERE id = :job",
        "I6 a hold is of a job",
        "hold/:job/0000",
    ),
    (
        "a job that says it was charged otherwise",
        "UPDATE jobs SET charged_credits = charged_credits - 1 WHERE id = :done",
        "I6 what was charged",
        ":done",
    ),
    (
        "a refund above the charge",
        (
            "INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, "
            "subject, reason, actor, input_hash) VALUES ('r', :tenant, 'house/revenue', :grant, "
            "99999999, 'post', :done, 'r', 'a', '')"
        ),
        "I6 refunds",
        ":done",
    ),
    (
        "two inputs under one key",
        COPY.format(id="'hold/' || subject || '/0001'") + "kind = 'hold' AND subject = :job; "
        "UPDATE ledger_transfers SET input_hash = sha256('x') "
        "WHERE subject = :job AND id LIKE '%1'",
        "I7",
        ":job",
    ),
    (
        "a trigger is switched off",
        "ALTER TABLE ledger_transfers DISABLE TRIGGER no_change",
        "I8",
        "no_change on ledger_transfers",
    ),
    (
        "a role may edit",
        "GRANT DELETE ON ledger_transfers TO tunery_app",
        "I8",
        "DELETE on ledger_transfers",
    ),
    (
        "the CHECK is gone",
        "ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_never_negative",
        "I8",
        "ck_ledger_accounts_never_negative",
    ),
    (
        "the law of a table is switched off",
        "ALTER TABLE ledger_accounts DISABLE TRIGGER form",
        "I8",
        "form on ledger_accounts",
    ),
    (
        "a hold that was made a post",
        "UPDATE ledger_transfers SET kind = 'post' WHERE id = 'hold/' || :job || '/0000'",
        "I8 every row",
        "hold/:job/0000",
    ),
    (
        "a grant of no kind",
        "UPDATE ledger_accounts SET grant_kind = NULL WHERE id = :grant",
        "I8 every row",
        ":grant",
    ),
    (
        "amounts that are no integers",
        "ALTER TABLE voucher_redemptions ALTER amount TYPE double precision",
        "I9",
        "voucher_redemptions.amount",
    ),
    (
        "charged beyond the quote",
        "UPDATE jobs SET quote = jsonb_set(quote, '{credits}', '5') WHERE id = :done",
        "I10",
        ":done",
    ),
    (
        "charged at another price",
        "UPDATE jobs SET quote = jsonb_set(quote, '{rate}', '1') WHERE id = :done",
        "I10",
        ":done",
    ),
    (
        "a grant long expired that no sweep took",
        (
            "UPDATE ledger_accounts SET starts_at = now() - interval '2 days', "
            "expires_at = now() - interval '1 day' WHERE id = :voucher_grant"
        ),
        "I12 nothing is left",
        ":voucher_grant",
    ),
    (
        "credits of one tenant on another's grant",
        "UPDATE ledger_transfers SET tenant_id = 'ten-x' WHERE credit_id = :voucher_grant",
        "a transfer stays",
        "post/:voucher_grant",
    ),
    (
        "a transfer from an account that is not there",
        (
            "UPDATE ledger_transfers SET debit_id = 'grant/nowhere' "
            "WHERE id = 'hold/' || :job || '/0000'"
        ),
        "every account",
        "hold/:job/0000",
    ),
]


@pytest.fixture
def scene(who: Person) -> Iterator[dict[str, str]]:
    """A tenant with a voucher, a job that has succeeded and one that waits."""
    done = given.queued_job(who)
    with transaction() as session:
        while (claimed := jobs.claim(session, worker="w")) and claimed.job_id != done:
            pass  # what other tests left in the queue
        assert claimed
        given.job(session, done).trained_tokens = 27_000
        jobs.finish(session, claimed, adapter_id=new_id("ad-"), prefix="p", manifest={}, size=1)
    waiting = given.queued_job(who)
    with transaction() as session:
        campaign = vouchers.create_campaign(
            session, name=new_id("check "), amount=CREDIT, actor="test", credits_max=5 * CREDIT
        )
        [(code_id, clear)] = vouchers.generate_codes(session, campaign.id, count=1)
    with transaction(who.tenant_id) as session:
        got = vouchers.redeem(session, who.tenant_id, who.actor.user_id, clear)
    yield {
        "tenant": who.tenant_id,
        "grant": f"grant/sign-up/{who.tenant_id}",
        "done": done,
        "job": waiting,
        "campaign": campaign.id,
        "code": code_id,
        "redemption": got.id,
        "voucher_grant": got.grant_id,
    }
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, waiting)


def test_every_planted_fault_is_found_and_named(scene: dict[str, str], engines: Engines) -> None:
    before = findings()
    mine = set(scene.values())
    assert not [f for f in before if any(name in f.row for name in mine)]
    for fault, statements, invariant, row in PLANTED:
        with cheat(engines) as connection:
            _plant(connection, statements, scene)
            found = set(ledger.check(Session(connection))) - before
        named = _filled(row, scene)
        assert any(f.invariant.startswith(invariant) and f.row == named for f in found), (
            fault,
            found,
        )
    assert findings() == before


def test_every_invariant_has_a_fault_that_breaks_it() -> None:
    for invariant in ledger.INVARIANTS:
        assert any(invariant.startswith(broken) for _, _, broken, _ in PLANTED), invariant


def test_the_command_names_the_rows_and_fails(scene: dict[str, str], engines: Engines) -> None:
    before = CliRunner().invoke(app, ["ledger", "check"])
    assert before.exit_code == (1 if findings() else 0), before.output
    grant = scene["voucher_grant"]
    edit = text("UPDATE ledger_accounts SET debits_posted = debits_posted + :n WHERE id = :id")
    with cheat(engines) as connection:
        connection.execute(edit, {"n": 1, "id": grant})
        connection.commit()
        answer = CliRunner().invoke(app, ["ledger", "check"])
        connection.execute(edit, {"n": -1, "id": grant})
        connection.commit()
    assert answer.exit_code == 1
    assert any(grant in line and "I3" in line for line in answer.output.splitlines())


def _plant(connection: Connection, statements: str, scene: dict[str, str]) -> None:
    for statement in filter(None, (part.strip() for part in statements.split(";"))):
        connection.execute(text(statement.replace("::", r"\:\:")), scene)


def _filled(row: str, scene: dict[str, str]) -> str:
    # The longest names first: `:grant` is the beginning of no other, `:code` might be.
    for name in sorted(scene, key=len, reverse=True):
        row = row.replace(f":{name}", scene[name])
    return row
