"""What the books cost: hold and settle, and redemptions, beside a bare one-row UPDATE.

Sixteen client processes, each transaction with its own commit, on an embedded PostgreSQL of its
own. A pair is two commits. Twice over: straight through the driver (the statements of the verbs
beside an UPDATE of one row; that is the database's limit), and the service's own way, through
`api.db.transaction` and the verbs. Rounds take turns, and ratios are taken within a round, so that
a busy neighbour disturbs both sides; the median round counts.

    python -m benchmarks.ledger
"""

import itertools
import json
import multiprocessing
import multiprocessing.synchronize
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from sqlalchemy import insert, text

from api import db, ledger, vouchers
from api.db import anonymous_transaction, enter_tenant, transaction
from api.embedded import Engines, migrate
from api.embedded.migration import use
from api.money import CREDIT
from api.settings import settings
from api.tables import Tenant, User

CLIENTS = 16
TENANTS = 1_000
ROUNDS = 3
ROUND_SECONDS = 5.0
CODES = 20_000

Do = Callable[[int, int, int], None]

INPUT = bytes(32)
HOLD = "SELECT * FROM ledger_hold(%s, 1000, %s, 'bench', 'bench', %s, 86400)"
SETTLE = "SELECT * FROM ledger_settle(%s, 700, %s, 'bench', %s)"
UPDATE = "UPDATE bench SET amount = amount + 1 WHERE id = "


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        engines = Engines(Path(folder), only=("postgres", "valkey"))
        use({"DATA_DIR": folder} | engines.start())
        try:
            migrate()
            figures = _measure()
        finally:
            engines.stop()
    print(json.dumps(figures))


def _measure() -> dict[str, float | int | None]:
    _prepare()
    db.dispose()
    took: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(ROUNDS):
        for name in CASES:
            took[name].append(_per_second(name, number))
            print(f"round {number + 1}  {name:28} {took[name][-1]:8.0f} /s", flush=True)
    per_s = {name: statistics.median(rounds) for name, rounds in took.items()}
    with transaction() as session:
        findings = [f for f in ledger.check(session) if not f.row.startswith("hold/")]
    assert not findings, findings[:3]
    return {
        "hold_settle_per_s": round(per_s["hold+settle, distinct"]),
        "hold_settle_hot_per_s": round(per_s["hold+settle, hot tenant"]),
        "bare_update_per_s": round(per_s["UPDATE, distinct"]),
        "bare_update_hot_per_s": round(per_s["UPDATE, hot row"]),
        "ratio_distinct_tenants": _ratio(took, "hold+settle, distinct", "UPDATE, distinct"),
        "ratio_hot_tenant": _ratio(took, "hold+settle, hot tenant", "UPDATE, hot row"),
        "service_hold_settle_per_s": round(per_s["service hold+settle"]),
        "service_update_per_s": round(per_s["service UPDATE"]),
        "service_ratio": _ratio(took, "service hold+settle", "service UPDATE"),
        "redemptions_per_s": round(per_s["service redeem"]),
        "clients": CLIENTS,
        "cores": os.cpu_count(),
    }


def _ratio(took: dict[str, list[float]], ours: str, bare: str) -> float:
    rounds = zip(took[ours], took[bare], strict=True)
    return round(statistics.median(mine / limit for mine, limit in rounds), 2)


def _prepare() -> None:
    """A thousand tenants with credits, a thousand plain rows, a campaign with many codes."""
    owner = settings().owner_url().replace("+psycopg", "")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE bench (id bigint PRIMARY KEY, amount bigint NOT NULL)")
        connection.execute(f"INSERT INTO bench SELECT n, 0 FROM generate_series(0, {TENANTS}) n")
        connection.execute("GRANT SELECT, UPDATE ON bench TO tunery_app, tunery_system")
    for n in range(TENANTS):
        with anonymous_transaction() as session:
            enter_tenant(session, _tenant(n))
            user = {"id": f"user-{n}", "email": f"{n}@example.org", "password_hash": ""}
            session.execute(insert(Tenant).values(id=_tenant(n), name="t", slug=f"t{n}"))
            session.execute(insert(User).values(user))
            vouchers.welcome(session, f"user-{n}")
    with transaction() as session:
        campaign = vouchers.create_campaign(
            session, name="bench", amount=CREDIT, actor="bench", tenant_max=CODES
        )
        made: list[str] = []
        while len(made) < CODES:
            made += [c for _, c in vouchers.generate_codes(session, campaign.id, count=10_000)]
    _codes.extend(made)


_codes: list[str] = []


def _tenant(n: int) -> str:
    return f"ten-{n}"


# -- what a client does; the number tells clients, rounds and turns apart -------------------------


def _driver() -> psycopg.Connection[tuple[object, ...]]:
    url = settings().system_url().replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True, prepare_threshold=0)


def _pairs(*, hot: bool) -> Do:
    connection = _driver()

    def pair(turn: int, client: int, round_: int) -> None:
        tenant = _tenant(0 if hot else (turn * CLIENTS + client) % TENANTS)
        subject = f"driver-{hot}-{round_}-{client}-{turn}"
        connection.execute(HOLD, [tenant, subject, INPUT])
        connection.execute(SETTLE, [tenant, subject, INPUT])

    return pair


def _updates(*, hot: bool) -> Do:
    connection = _driver()

    def bare(turn: int, client: int, _: int) -> None:
        connection.execute(f"{UPDATE}%s", [0 if hot else (turn * CLIENTS + client) % TENANTS])

    return bare


def _service_pair(turn: int, client: int, round_: int) -> None:
    tenant = _tenant((turn * CLIENTS + client) % TENANTS)
    subject = f"service-{round_}-{client}-{turn}"
    with transaction(tenant) as session:
        ledger.hold(session, tenant, 1_000, subject=subject, reason="bench", actor="bench")
    with transaction(tenant) as session:
        ledger.settle(session, tenant, 700, subject=subject, actor="bench")


def _service_update(turn: int, client: int, _: int) -> None:
    with transaction(_tenant(0)) as session:
        row = (turn * CLIENTS + client) % TENANTS
        session.execute(text(f"{UPDATE}:row"), {"row": row})


def _redeem(turn: int, client: int, round_: int) -> None:
    number = (turn * CLIENTS + client) * ROUNDS + round_
    who = number % TENANTS
    with transaction(_tenant(who)) as session:
        vouchers.redeem(session, _tenant(who), f"user-{who}", _codes[number % CODES])


CASES: dict[str, Callable[[], Do]] = {
    "UPDATE, distinct": lambda: _updates(hot=False),
    "hold+settle, distinct": lambda: _pairs(hot=False),
    "UPDATE, hot row": lambda: _updates(hot=True),
    "hold+settle, hot tenant": lambda: _pairs(hot=True),
    "service UPDATE": lambda: _service_update,
    "service hold+settle": lambda: _service_pair,
    "service redeem": lambda: _redeem,
}


def _per_second(name: str, round_: int) -> float:
    """How many turns all clients do in a second, counted after each has done its first."""
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Barrier(CLIENTS), fork.Queue()
    clients = [
        fork.Process(target=_client, args=(name, n, round_, ready, done)) for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    counts: list[float] = [done.get(timeout=ROUND_SECONDS + 60) for _ in clients]
    for client in clients:
        client.join()
    return sum(counts)


def _client(
    name: str,
    number: int,
    round_: int,
    ready: "multiprocessing.synchronize.Barrier",
    done: "multiprocessing.Queue[float]",
) -> None:
    do = CASES[name]()
    turns: Iterator[int] = itertools.count()
    do(next(turns), number, round_)
    ready.wait()
    began = time.monotonic()
    count = 0
    while time.monotonic() < began + ROUND_SECONDS:
        do(next(turns), number, round_)
        count += 1
    done.put(count / (time.monotonic() - began))


if __name__ == "__main__":
    main()
