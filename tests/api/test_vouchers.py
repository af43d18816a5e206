"""Vouchers: one code gives what its campaign allows, to whom, and no more, whoever races."""

import random
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import bus, jobs, ledger, tenants, vouchers
from api.app import create_app
from api.db import anonymous_transaction, transaction
from api.embedded import Engines
from api.errors import BadRequest, Conflict, NotFound, RateLimited
from api.money import CREDIT
from api.routes.door import InTenant, Who
from api.settings import settings
from api.tables import new_id
from tests.api import given
from tests.api.books import cheat, findings
from tests.api.given import Person


def campaign(**changes: Any) -> str:
    with transaction() as session:
        made: dict[str, Any] = {"name": new_id("spring "), "amount": 20 * CREDIT, "actor": "op"}
        return vouchers.create_campaign(session, **made | changes).id


def codes(campaign_id: str, count: int = 1, *, uses: int = 1) -> list[str]:
    with transaction() as session:
        made = vouchers.generate_codes(session, campaign_id, count=count, max_redemptions=uses)
    return [clear for _, clear in made]


def redeem(who: Person, code: str, *, address: str = "") -> vouchers.Redeemed:
    with transaction(who.tenant_id) as session:
        return vouchers.redeem(session, who.tenant_id, who.actor.user_id, code, address=address)


def available(who: Person) -> int:
    with transaction(who.tenant_id) as session:
        return ledger.balance(session, who.tenant_id).available


def refused(who: Person, code: str) -> tuple[str, str]:
    before = available(who)
    with pytest.raises(BadRequest) as error:
        redeem(who, code)
    bus.forget(vouchers._counter("user", who.actor.user_id))
    assert available(who) == before
    return error.value.code, error.value.message


@pytest.fixture
def books_stay_right(engines: Engines) -> Iterator[None]:
    before = findings()
    yield
    assert findings() <= before


pytestmark = pytest.mark.usefixtures("books_stay_right")


# -- codes -----------------------------------------------------------------------------------------


def test_a_code_is_read_in_any_writing() -> None:
    plain = "0123456789ABCDEF"
    written = vouchers._written(plain)
    assert written.startswith("TUN-0123-4567-89AB-CDEF-")
    for writing in (
        written.lower(),
        written.replace("-", ""),
        written.replace("-", " ") + "\n",
        written[4:],
        written.replace("0", "O").replace("1", "I"),
        written.replace("0", "o").replace("1", "l"),
    ):
        assert vouchers._plain(writing) == plain


def test_one_wrong_letter_or_two_that_changed_places_are_always_noticed() -> None:
    alphabet = vouchers._ALPHABET
    rng = random.Random(7)
    for _ in range(50):
        letters = "".join(rng.choice(alphabet) for _ in range(16))
        whole = letters + vouchers._check_character(letters)
        wrong = [
            whole[:i] + other + whole[i + 1 :]
            for i in range(17)
            for other in alphabet
            if other != whole[i]
        ]
        wrong += [
            whole[:i] + whole[i + 1] + whole[i] + whole[i + 2 :]
            for i in range(16)
            if whole[i] != whole[i + 1]
        ]
        for code in wrong:
            with pytest.raises(BadRequest, match="mistyped"):
                vouchers._plain(code)


@pytest.mark.parametrize("code", ["", "TUN", "TUN-1", "💳" * 30, "A" * 10_000, "TUN-" + "U" * 17])
def test_what_is_no_code_is_mistyped(code: str) -> None:
    with pytest.raises(BadRequest) as error:
        vouchers._plain(code)
    assert error.value.code == "mistyped_voucher"


def test_codes_are_kept_as_hashes_and_differ(engines: Engines) -> None:
    made = codes(campaign(), 500)
    assert len(set(made)) == 500
    with cheat(engines) as connection:
        kept = str(connection.execute(text("SELECT * FROM voucher_codes")).all())
    for code in made:
        assert code not in kept
        assert vouchers._plain(code) not in kept


# -- redeeming -------------------------------------------------------------------------------------


def test_a_code_becomes_a_grant_with_the_campaigns_terms(who: Person) -> None:
    [code] = codes(campaign(days=30, priority=5))
    got = redeem(who, code)
    assert (got.amount, got.again) == (20 * CREDIT, False)
    assert got.expires_at
    assert timedelta(days=29) < got.expires_at - datetime.now(UTC) < timedelta(days=31)
    with transaction(who.tenant_id) as session:
        first = ledger.grants(session, who.tenant_id)[0]
    assert (first.id, first.kind, first.priority) == (got.grant_id, "voucher", 5)
    assert available(who) == 120 * CREDIT


def test_redeeming_again_returns_the_first_result_even_after_the_end(who: Person) -> None:
    made = campaign()
    [code] = codes(made)
    first = redeem(who, code)
    with transaction() as session:
        vouchers.revoke_campaign(session, made)
    again = redeem(who, code)
    assert (again.id, again.grant_id, again.again) == (first.id, first.grant_id, True)
    assert available(who) == 120 * CREDIT


def test_all_that_gives_nothing_gets_one_answer(who: Person, stranger: Person) -> None:
    now = datetime.now(UTC)
    used = codes(campaign())[0]
    redeem(stranger, used)
    revoked_campaign = campaign()
    [of_revoked] = codes(revoked_campaign)
    revoked = codes(campaign())[0]
    with transaction() as session:
        vouchers.revoke_campaign(session, revoked_campaign)
        vouchers.revoke_code(session, vouchers.find_code(session, revoked).id)
    poor = campaign(credits_max=19 * CREDIT)
    empty = campaign(redemptions_max=1)
    first, second = codes(empty, 2)
    redeem(stranger, first)
    answers = {
        refused(who, code)
        for code in (
            vouchers._written(vouchers._new_plain()),
            used,
            of_revoked,
            revoked,
            codes(poor)[0],
            second,
            codes(campaign(starts_at=now + timedelta(days=1)))[0],
            codes(campaign(starts_at=now - timedelta(days=2), ends_at=now - timedelta(days=1)))[0],
            codes(campaign(email_domains=["elsewhere.org"]))[0],
        )
    }
    assert len(answers) == 1
    assert answers.pop()[0] == "invalid_voucher"
    [code] = codes(campaign())
    last = "0" if code[-1] != "0" else "1"
    assert refused(who, code[:-1] + last)[0] == "mistyped_voucher"


def test_a_campaign_limits_tenants_people_and_newcomers(who: Person, stranger: Person) -> None:
    twice = codes(campaign(tenant_max=2), 3)
    redeem(who, twice[0])
    redeem(who, twice[1])
    assert refused(who, twice[2])[0] == "invalid_voucher"
    redeem(stranger, twice[2])

    once = codes(campaign(tenant_max=9, user_max=1), 2)
    redeem(who, once[0])
    assert refused(who, once[1])[0] == "invalid_voucher"

    newcomers = codes(campaign(first_only=True, tenant_max=9), 2)
    assert refused(who, newcomers[0])[0] == "invalid_voucher"
    newcomer = given.person()  # who has sign-up credits, which are no voucher
    redeem(newcomer, newcomers[0])
    assert refused(newcomer, newcomers[1])[0] == "invalid_voucher"


def test_a_campaign_for_an_email_domain_is_for_it_alone(who: Person) -> None:
    domain = who.email.split("@")[1]
    assert redeem(who, codes(campaign(email_domains=["@" + domain.upper()]))[0]).amount


def test_guessing_is_slowed_down_by_person_and_by_address(who: Person, stranger: Person) -> None:
    limits = settings()
    for _ in range(limits.redeem_attempts_max):
        with pytest.raises(BadRequest):
            redeem(who, vouchers._written(vouchers._new_plain()))
    [code] = codes(campaign(tenant_max=200))
    with pytest.raises(RateLimited, match="15 minutes"):
        redeem(who, code)
    address = f"198.51.100.{secrets.token_hex(4)}"
    for _ in range(limits.redeem_attempts_per_address_max):
        bus.count_up(vouchers._counter("address", address), window_seconds=900)
    with pytest.raises(RateLimited):
        redeem(stranger, code, address=address)
    assert redeem(stranger, code, address="203.0.113.9").amount


def test_a_redemption_that_is_not_committed_never_was(who: Person) -> None:
    [code] = codes(campaign(redemptions_max=1))

    def redeem_and_die() -> None:
        with transaction(who.tenant_id) as session:
            vouchers.redeem(session, who.tenant_id, who.actor.user_id, code)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redeem_and_die()
    assert available(who) == 100 * CREDIT
    assert not redeem(who, code).again


def test_a_refusal_that_is_swallowed_leaves_nothing_behind(who: Person) -> None:
    [code] = codes(campaign(email_domains=["elsewhere.org"]))
    with transaction(who.tenant_id) as session, pytest.raises(BadRequest):
        vouchers.redeem(session, who.tenant_id, who.actor.user_id, code)
    assert available(who) == 100 * CREDIT


def test_no_tenant_reads_campaigns_or_codes_or_anothers_redemptions(
    who: Person, stranger: Person
) -> None:
    redeem(stranger, codes(campaign())[0])
    for table in ("voucher_campaigns", "voucher_codes"):
        with pytest.raises(Exception, match="permission denied"), transaction(who.tenant_id) as s:
            s.execute(text(f"SELECT * FROM {table}"))
    with transaction(who.tenant_id) as session:
        found = session.execute(text("SELECT tenant_id FROM voucher_redemptions")).scalars()
        assert set(found) == {who.tenant_id}


# -- races -----------------------------------------------------------------------------------------


def test_of_200_redeemers_of_ten_uses_exactly_ten_get_credits(engines: Engines) -> None:
    app = create_app()
    _add_redeem_route(app)
    made = campaign()
    [code] = codes(made, uses=10)
    people = [given.person() for _ in range(200)]
    with TestClient(app, raise_server_exceptions=False) as client:

        def send(person: Person) -> int:
            answer = client.post("/race/redeem", json={"code": code}, headers=person.headers)
            return answer.status_code

        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(send, people))
    assert sorted(set(answers)) == [200, 400]
    assert answers.count(200) == 10
    assert sum(available(person) for person in people) == 200 * 100 * CREDIT + 10 * 20 * CREDIT
    with transaction() as session:
        [kept] = vouchers.codes(session, made)
        assert kept.redeemed == 10


def test_one_budget_over_many_codes_is_kept_in_a_race(engines: Engines) -> None:
    made = campaign(credits_max=100 * CREDIT)
    people = [given.person() for _ in range(20)]

    def attempt(pair: tuple[Person, str]) -> bool:
        try:
            redeem(*pair)
        except BadRequest:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, zip(people, codes(made, 20), strict=True))) == 5


def test_one_tenant_that_races_itself_redeems_once(who: Person) -> None:
    tenant_codes = codes(campaign(tenant_max=2), 8)
    [many] = codes(campaign(), uses=9)

    def attempt(code: str) -> bool:
        try:
            redeem(who, code)
        except BadRequest:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, tenant_codes)) == 2
        assert all(pool.map(lambda _: redeem(who, many).id, range(8)))
    assert available(who) == (100 + 40 + 20) * CREDIT


def test_of_racing_revoke_and_redeem_the_books_tell_one_story(who: Person) -> None:
    for _ in range(10):
        made = campaign()
        [code] = codes(made)

        def revoke(campaign_id: str = made) -> None:
            with transaction() as session:
                vouchers.revoke_campaign(session, campaign_id)

        with ThreadPoolExecutor(2) as pool:
            done = pool.submit(revoke)
            got = pool.submit(redeem, who, code)
            done.result()
            assert got.exception() is None or isinstance(got.exception(), BadRequest)


def _add_redeem_route(app: FastAPI) -> None:
    """As the portal's own route will be: the caller's transaction, one verb."""

    @app.post("/race/redeem")
    def race(body: dict[str, str], actor: Who, session: InTenant) -> dict[str, int]:
        got = vouchers.redeem(session, actor.tenant_id, actor.user_id, body["code"])
        return {"amount": got.amount}

    # The portal answers what no route took, so it must stay last.
    app.router.routes.insert(0, app.router.routes.pop())


# -- the operator's side ---------------------------------------------------------------------------


def test_what_an_operator_mistypes_is_refused(engines: Engines) -> None:
    now = datetime.now(UTC)
    for wrong in (
        {"amount": 0},
        {"days": 0},
        {"credits_max": -1},
        {"tenant_max": 0},
        {"ends_at": now - timedelta(days=1)},
    ):
        with pytest.raises(BadRequest):
            campaign(**wrong)
    name = new_id("twice ")
    made = campaign(name=name)
    with pytest.raises(Conflict, match="another name"):
        campaign(name=name)
    for count, uses in ((0, 1), (settings().voucher_codes_max + 1, 1), (1, 0)):
        with pytest.raises(BadRequest):
            codes(made, count, uses=uses)
    for act in (
        lambda s: vouchers.revoke_campaign(s, "campaign-x"),
        lambda s: vouchers.revoke_code(s, "code-x"),
        lambda s: vouchers.generate_codes(s, "campaign-x", count=1),
        lambda s: vouchers.find_code(s, vouchers._written("0" * 16)),
    ):
        with pytest.raises(NotFound), transaction() as session:
            act(session)


# -- sign-up and referral --------------------------------------------------------------------------


def test_sign_up_credits_are_a_campaign_that_can_end(engines: Engines) -> None:
    with transaction() as session:
        names = {c.id: c.kind for c in vouchers.campaigns(session)}
    assert names[vouchers.SIGN_UP] == "sign_up"
    revoke = text("UPDATE voucher_campaigns SET revoked_at = :at WHERE id = :id")
    with cheat(engines) as connection:
        connection.execute(revoke, {"at": datetime.now(UTC), "id": vouchers.SIGN_UP})
        connection.commit()
        late = given.person()
        connection.execute(revoke, {"at": None, "id": vouchers.SIGN_UP})
        connection.commit()
    assert available(late) == 0


def test_both_sides_of_a_referral_are_rewarded_once_when_a_paid_job_succeeds(who: Person) -> None:
    with transaction(who.tenant_id) as session:
        slug = tenants.user(session, who.actor)[1].slug
    with anonymous_transaction() as session:
        actor = tenants.sign_up(
            session,
            email=f"{secrets.token_hex(6)}@example.org",
            password=given.PASSWORD,
            tenant_name="Friend",
            referral_code=f" {slug.upper()} ",
        )
    friend = Person(actor, "", "")
    for _ in range(2):
        _reward()
        assert (available(who), available(friend)) == (100 * CREDIT, 100 * CREDIT)
    job_id = given.queued_job(friend)
    with transaction() as session:
        while (claimed := jobs.claim(session, worker="w")) and claimed.job_id != job_id:
            pass
        assert claimed
        given.job(session, job_id).trained_tokens = 27_000
        jobs.finish(session, claimed, adapter_id=new_id("ad-"), prefix="p", manifest={}, size=1)
    reward = settings().referral_credits
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _reward(), range(8)))
    assert available(who) == 100 * CREDIT + reward
    assert available(friend) == 100 * CREDIT - 270_000 + reward


def _reward() -> None:
    with transaction() as session:
        vouchers.reward_referrals(session)
