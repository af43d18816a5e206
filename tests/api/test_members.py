"""Who belongs to a tenant, by which link they came, and where they are signed in."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import members, tenants
from api.app import create_app
from api.db import transaction
from api.errors import BadRequest, Forbidden, TuneryError
from api.settings import settings
from api.tenants import Actor
from tests.api import given
from tests.api.given import PASSWORD, Person

Browser = Callable[..., TestClient]


@pytest.fixture
def browser(engines: Any) -> Iterator[Browser]:
    """`browser()`: one that nobody is signed in with; `browser(person)`: that person is."""
    opened: list[TestClient] = []
    app = create_app()

    def open_one(person: Person | None = None, user_agent: str = "Firefox") -> TestClient:
        client = TestClient(app, raise_server_exceptions=False, headers={"user-agent": user_agent})
        opened.append(client)
        client.__enter__()
        if person is not None:
            body = {"email": person.email, "password": PASSWORD}
            assert client.post("/v1/auth/sign-in", json=body).status_code == 200
        return client

    yield open_one
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def owner(browser: Browser, who: Person) -> TestClient:
    return browser(who)


@contextmanager
def changed(monkeypatch: pytest.MonkeyPatch, **values: str) -> Iterator[None]:
    """Other settings for a while."""
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield
    settings.cache_clear()


def address() -> str:
    return f"{secrets.token_hex(6)}@example.org"


def invite(owner: TestClient, email: str, role: str = "member") -> Any:
    answer = owner.post("/v1/members/invitations", json={"email": email, "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()


def join(client: TestClient, token: str, password: str = PASSWORD) -> Any:
    return client.post("/v1/auth/join", json={"token": token, "password": password})


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def joined(owner: TestClient, browser: Browser, role: str = "member") -> tuple[TestClient, str]:
    """Somebody new in the owner's tenant: their browser and id."""
    client = browser()
    answer = join(client, invite(owner, address(), role)["token"])
    assert answer.status_code == 200, answer.text
    return client, answer.json()["user"]["id"]


# -- invitations ----------------------------------------------------------------------------------


def test_a_new_person_joins_by_the_link(owner: TestClient, browser: Browser, who: Person) -> None:
    email = address()
    invited = invite(owner, email.upper())
    assert invited["url"] == f"{settings().public_url}/app/join/{invited['token']}"
    listed = owner.get("/v1/members/invitations").json()["data"]
    assert [each["email"] for each in listed] == [email]
    assert invited["token"] not in str(listed)
    client = browser()
    said = client.post("/v1/auth/invitation", json={"token": invited["token"]}).json()
    assert (said["email"], said["tenant"], said["known"]) == (email, "Some Shop", False)
    assert refusal(join(client, invited["token"], "short")) == (400, "invalid_request")
    me = join(client, invited["token"]).json()
    assert (me["tenant"]["id"], me["role"], me["operator"]) == (who.tenant_id, "member", False)
    assert client.get("/v1/me").json() == me
    people = client.get("/v1/members").json()["data"]
    assert [(each["email"], each["role"], each["you"]) for each in people] == [
        (who.email, "owner", False),
        (email, "member", True),
    ]
    assert owner.get("/v1/members/invitations").json()["data"] == []
    with transaction() as session:
        rows = session.execute(text("SELECT * FROM invitations")).all()
    assert invited["token"] not in str(rows)


def test_who_has_an_account_joins_with_its_password_and_switches(
    owner: TestClient, browser: Browser, who: Person, stranger: Person
) -> None:
    token = invite(owner, stranger.email, "owner")["token"]
    client = browser()
    assert client.post("/v1/auth/invitation", json={"token": token}).json()["known"] is True
    assert refusal(join(client, token, "not their password")) == (401, "invalid_sign_in")
    me = join(client, token).json()
    assert (me["tenant"]["id"], me["role"]) == (who.tenant_id, "owner")
    both = {(each["id"], each["role"]) for each in me["tenants"]}
    assert both == {(who.tenant_id, "owner"), (stranger.tenant_id, "owner")}
    back = client.post("/v1/auth/switch", json={"tenant_id": stranger.tenant_id}).json()
    assert back["tenant"]["id"] == stranger.tenant_id
    assert client.get("/v1/me").json() == back
    assert len(client.get("/v1/api_keys").json()["data"]) == 1
    nobodys = client.post("/v1/auth/switch", json={"tenant_id": "ten-" + "x" * 24})
    foreign = client.post("/v1/auth/switch", json={"tenant_id": given.person().tenant_id})
    assert refusal(nobodys) == refusal(foreign) == (404, "not_found")


def test_guessing_a_password_by_an_invitation_is_slowed_down(
    owner: TestClient, browser: Browser, stranger: Person
) -> None:
    token = invite(owner, stranger.email)["token"]
    client = browser()
    for _ in range(settings().sign_in_attempts_max):
        assert join(client, token, "guess number one").status_code == 401
    assert join(client, token).status_code == 429


def test_a_link_leads_nowhere_once_it_is_used_revoked_replaced_or_over(
    owner: TestClient, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = address()
    replaced = invite(owner, email)
    used = invite(owner, email)
    assert refusal(join(browser(), replaced["token"])) == (404, "invalid_invitation")
    assert join(browser(), used["token"]).status_code == 200
    revoked = invite(owner, address())
    assert owner.delete(f"/v1/members/invitations/{revoked['id']}").json()["deleted"] is True
    with changed(monkeypatch, INVITATION_DAYS="0"):
        over = invite(owner, address())
    for each in (used, revoked, over, {"token": "made-up"}):
        assert refusal(join(browser(), each["token"])) == (404, "invalid_invitation")
        said = browser().post("/v1/auth/invitation", json={"token": each["token"]})
        assert refusal(said) == (404, "invalid_invitation")
    again = owner.post("/v1/members/invitations", json={"email": email})
    assert refusal(again) == (400, "already_member")


def test_a_link_that_two_use_at_once_makes_one_member(
    owner: TestClient, browser: Browser, who: Person, stranger: Person
) -> None:
    for email in (address(), stranger.email):
        token = invite(owner, email)["token"]
        client = browser()
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _, c=client, t=token: join(c, t), range(3)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes[0] == 200
        assert set(codes[1:]) <= {404, 409}
    assert len(owner.get("/v1/members").json()["data"]) == 3


def test_only_an_owner_who_is_signed_in_lets_people_in_and_out(
    owner: TestClient, browser: Browser, who: Person
) -> None:
    member, member_id = joined(owner, browser)
    owner_id = who.actor.user_id
    acts: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/v1/members/invitations", {"email": address()}),
        ("DELETE", f"/v1/members/invitations/{invite(owner, address())['id']}", None),
        ("PATCH", f"/v1/members/{member_id}", {"role": "owner"}),
        ("DELETE", f"/v1/members/{owner_id}", None),
    )
    for method, path, body in acts:
        assert refusal(member.request(method, path, json=body)) == (403, "owners_only")
        by_key = browser().request(method, path, json=body, headers=who.headers)
        assert refusal(by_key) == (403, "session_needed")
    assert member.get("/v1/members/invitations").status_code == 200


def test_only_so_many_invitations_are_open(
    owner: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with changed(monkeypatch, INVITATIONS_MAX="2"):
        first, _ = invite(owner, "a@example.org"), invite(owner, "b@example.org")
        again = owner.post("/v1/members/invitations", json={"email": "c@example.org"})
        assert refusal(again) == (400, "invitations_max")
        invite(owner, "a@example.org")  # replaces its own
        owner.delete(f"/v1/members/invitations/{first['id']}")
    bad = owner.post("/v1/members/invitations", json={"email": "nobody"})
    assert refusal(bad) == (400, "invalid_request")


# -- members --------------------------------------------------------------------------------------


def test_whoever_is_removed_is_out_at_once(
    owner: TestClient, browser: Browser, who: Person, stranger: Person
) -> None:
    client = browser()
    me = join(client, invite(owner, stranger.email, "owner")["token"]).json()
    user_id = me["user"]["id"]
    key = client.post("/v1/api_keys", json={}).json()["key"]
    link = invite(client, address())["token"]
    elsewhere = browser(stranger)  # signed in to their own tenant
    assert owner.delete(f"/v1/members/{user_id}").json()["deleted"] is True
    assert refusal(client.get("/v1/me")) == (401, "session_ended")
    assert browser().get("/v1/me", headers={"authorization": f"Bearer {key}"}).status_code == 401
    assert refusal(join(browser(), link)) == (404, "invalid_invitation")
    assert len(owner.get("/v1/api_keys").json()["data"]) == 1
    # Their own tenant is as it was.
    assert elsewhere.get("/v1/me").json()["tenant"]["id"] == stranger.tenant_id
    assert len(elsewhere.get("/v1/me").json()["tenants"]) == 1
    assert browser().get("/v1/me", headers=stranger.headers).status_code == 200
    assert refusal(owner.delete(f"/v1/members/{user_id}")) == (404, "not_found")


def test_a_member_may_leave_and_be_invited_again(owner: TestClient, browser: Browser) -> None:
    email = address()
    client = browser()
    user_id = join(client, invite(owner, email)["token"]).json()["user"]["id"]
    assert client.delete(f"/v1/members/{user_id}").status_code == 200
    signed_in = client.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert refusal(signed_in) == (403, "no_tenant")
    assert join(client, invite(owner, email)["token"]).json()["user"]["id"] == user_id


def test_the_last_owner_stays(owner: TestClient, browser: Browser, who: Person) -> None:
    mine = f"/v1/members/{who.actor.user_id}"
    assert refusal(owner.delete(mine)) == (400, "last_owner")
    assert refusal(owner.patch(mine, json={"role": "member"})) == (400, "last_owner")
    _, other = joined(owner, browser)
    assert refusal(owner.delete(mine)) == (400, "last_owner")
    assert owner.patch(f"/v1/members/{other}", json={"role": "owner"}).json()["role"] == "owner"
    assert owner.patch(mine, json={"role": "member"}).json()["role"] == "member"
    assert refusal(owner.delete(f"/v1/members/{other}")) == (403, "owners_only")


@pytest.mark.parametrize("act", ["demote", "remove", "leave"])
def test_two_owners_who_act_at_once_leave_one(
    owner: TestClient, browser: Browser, who: Person, act: str
) -> None:
    for _ in range(5):
        _, other = joined(owner, browser, "owner")
        pair = (who.actor.user_id, other)

        def one(index: int, pair: tuple[str, str] = pair) -> type[TuneryError] | None:
            by, of = pair[index], pair[index if act == "leave" else 1 - index]
            actor = Actor(tenant_id=who.tenant_id, user_id=by)
            try:
                with transaction(who.tenant_id) as session:
                    if act == "demote":
                        members.set_role(session, actor, of, "member")
                    else:
                        members.remove(session, actor, of)
            except TuneryError as error:
                return type(error)
            return None

        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(one, range(2)))
        assert ended.count(None) == 1, ended
        assert {BadRequest, Forbidden} & set(ended)
        with transaction() as session:
            query = "SELECT user_id FROM members WHERE tenant_id = :t AND role = 'owner'"
            owners = session.execute(text(query), {"t": who.tenant_id}).scalars().all()
            assert len(owners) == 1
            session.execute(
                text("DELETE FROM members WHERE tenant_id = :t AND user_id <> :u"),
                {"t": who.tenant_id, "u": who.actor.user_id},
            )
            session.execute(
                text(
                    "INSERT INTO members (tenant_id, user_id, role) VALUES (:t, :u, 'owner') "
                    "ON CONFLICT (tenant_id, user_id) DO UPDATE SET role = 'owner'"
                ),
                {"t": who.tenant_id, "u": who.actor.user_id},
            )
        body = {"email": who.email, "password": PASSWORD}
        assert owner.post("/v1/auth/sign-in", json=body).status_code == 200


def test_a_session_cannot_outlive_the_membership_however_it_came_to_be(
    owner: TestClient, browser: Browser, who: Person
) -> None:
    """A sign-in that began before the removal and ends after it opens no session."""
    _, user_id = joined(owner, browser)
    assert owner.delete(f"/v1/members/{user_id}").status_code == 200
    late = Actor(tenant_id=who.tenant_id, user_id=user_id)
    with (
        pytest.raises(Exception, match="fk_sessions_tenant_id_members"),
        transaction(who.tenant_id) as session,
    ):
        tenants.open_session(session, late)
    with transaction(who.tenant_id) as session:
        _, key = tenants.make_key(session, late, name="late")
    assert browser().get("/v1/me", headers={"authorization": f"Bearer {key}"}).status_code == 401


def test_people_and_invitations_of_another_tenant_are_not_there(
    owner: TestClient, browser: Browser, stranger: Person
) -> None:
    theirs = browser(stranger)
    invitation = invite(theirs, address())
    _, member_id = joined(theirs, browser)
    for method, path, body in (
        ("PATCH", f"/v1/members/{member_id}", {"role": "owner"}),
        ("DELETE", f"/v1/members/{member_id}", None),
        ("DELETE", f"/v1/members/invitations/{invitation['id']}", None),
    ):
        assert refusal(owner.request(method, path, json=body)) == (404, "not_found")
    assert len(owner.get("/v1/members").json()["data"]) == 1
    assert owner.get("/v1/members/invitations").json()["data"] == []
    assert len(theirs.get("/v1/members").json()["data"]) == 2


# -- sessions -------------------------------------------------------------------------------------


def test_somebody_sees_where_they_are_signed_in_and_ends_it(
    browser: Browser, who: Person, stranger: Person
) -> None:
    here, there = browser(who, "Firefox"), browser(who, "Safari " + "x" * 300)
    browser(stranger)
    found = here.get("/v1/sessions").json()["data"]
    assert len(found) == 2
    mine = next(each for each in found if each["current"])
    other = next(each for each in found if not each["current"])
    assert (mine["user_agent"], len(other["user_agent"])) == ("Firefox", 200)
    assert here.cookies["tunery_session"] not in str(found)
    assert here.delete(f"/v1/sessions/{other['id']}").json()["deleted"] is True
    assert refusal(there.get("/v1/me")) == (401, "session_ended")
    assert refusal(here.delete(f"/v1/sessions/{other['id']}")) == (404, "not_found")
    again = browser(who)
    assert here.delete("/v1/sessions").json()["ended"] == 1
    assert again.get("/v1/me").status_code == 401
    assert here.get("/v1/me").status_code == 200
    assert here.delete(f"/v1/sessions/{mine['id']}").status_code == 200
    assert here.get("/v1/me").status_code == 401


def test_a_session_is_ended_whichever_tenant_it_looks_at(
    owner: TestClient, browser: Browser, who: Person, stranger: Person
) -> None:
    join(browser(), invite(owner, stranger.email)["token"])
    at_home = browser(stranger)
    assert {each["tenant_id"] for each in at_home.get("/v1/sessions").json()["data"]} == {
        who.tenant_id,
        stranger.tenant_id,
    }
    assert at_home.delete("/v1/sessions").json()["ended"] == 1
    assert len(owner.get("/v1/sessions").json()["data"]) == 1


def test_a_session_of_a_stranger_or_for_a_key_is_not_there(
    browser: Browser, who: Person, stranger: Person
) -> None:
    theirs = browser(stranger).get("/v1/sessions").json()["data"][0]["id"]
    assert refusal(browser(who).delete(f"/v1/sessions/{theirs}")) == (404, "not_found")
    by_key = browser()
    by_key.headers.update(who.headers)
    assert refusal(by_key.get("/v1/sessions")) == (403, "session_needed")
    assert refusal(by_key.delete("/v1/sessions")) == (403, "session_needed")
    assert refusal(by_key.delete(f"/v1/sessions/{theirs}")) == (404, "not_found")
    switch = by_key.post("/v1/auth/switch", json={"tenant_id": who.tenant_id})
    assert refusal(switch) == (403, "session_needed")


def test_a_new_password_signs_out_everybody_else(browser: Browser, who: Person) -> None:
    here, there = browser(who), browser(who)
    new = "another horse battery"

    def change(current: str, to: str) -> Any:
        return here.post("/v1/auth/password", json={"current": current, "new": to})

    assert refusal(change("not the current one", new)) == (403, "invalid_password")
    short = change(PASSWORD, "short")
    assert (short.status_code, short.json()["error"]["param"]) == (400, "new")
    assert there.get("/v1/me").status_code == 200
    assert change(PASSWORD, new).json()["ended"] == 1
    assert here.get("/v1/me").status_code == 200
    assert refusal(there.get("/v1/me")) == (401, "session_ended")
    body = {"email": who.email, "password": PASSWORD}
    assert there.post("/v1/auth/sign-in", json=body).status_code == 401
    assert there.post("/v1/auth/sign-in", json=body | {"password": new}).status_code == 200
    assert browser().get("/v1/me", headers=who.headers).status_code == 200  # keys go on


def test_guessing_the_current_password_is_slowed_down(browser: Browser, who: Person) -> None:
    here = browser(who)
    body = {"current": "a guess or another", "new": "another horse battery"}
    for _ in range(settings().sign_in_attempts_max):
        assert here.post("/v1/auth/password", json=body).status_code == 403
    body["current"] = PASSWORD
    assert here.post("/v1/auth/password", json=body).status_code == 429


def test_a_referral_is_taken_at_sign_up(browser: Browser, owner: TestClient, who: Person) -> None:
    slug = owner.get("/v1/me").json()["tenant"]["slug"]
    body = {"email": address(), "password": PASSWORD, "tenant": "New", "referral": slug}
    me = browser().post("/v1/auth/sign-up", json=body).json()
    with transaction() as session:
        query = "SELECT referrer_id FROM referrals WHERE tenant_id = :t"
        found = session.execute(text(query), {"t": me["tenant"]["id"]}).scalar_one()
    assert found == who.tenant_id
