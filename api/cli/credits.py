"""`tunery credits` and what belongs to it: redeem, statement, usage, receipt; for whoever runs the
service, vouchers and tenants. All over REST, with an operator's key for the latter.
"""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.client import connect, console
from api.cli.remote import Key, Url
from api.money import CREDIT, credits_text

tenant = typer.Typer(help="Tenants (for operators).", no_args_is_help=True)
voucher = typer.Typer(help="Campaigns and their codes (for operators).", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(help="From this day on, like 2026-11-01 (UTC).")]
Until = Annotated[str | None, typer.Option(help="Before this day.")]
Csv = Annotated[bool, typer.Option("--csv", help="As CSV, all of it.")]

CREDIT_LIMITS = ("credits_per_day_max", "credits_per_month_max")


def balance(url: Url = None, key: Key = None) -> None:
    """The credits there are, and the grants they come from in the order they are spent."""
    found = connect(url, key).get("/credits")
    console.print(
        f"{credits_text(found['available'])} credits available, {credits_text(found['held'])} held"
    )
    if found["low_balance"]:
        low = credits_text(found["low_balance_threshold"])
        console.print(f"[yellow]Low: below {low} credits.[/yellow] Redeem a voucher.")
    table = Table("grant", "kind", "left", "held", "expires", box=None)
    for grant in found["grants"]:
        table.add_row(
            escape(grant["reason"]),
            grant["kind"],
            credits_text(grant["left"]),
            credits_text(grant["held"]),
            _day(grant["expires_at"]) or "never",
        )
    console.print(table)


def redeem(code: str, url: Url = None, key: Key = None) -> None:
    """Turn a voucher's code into credits."""
    found = connect(url, key).post("/vouchers/redeem", {"code": code})
    until = f", good until {_day(found['expires_at'])}" if found["expires_at"] else ""
    again = " (redeemed before; nothing new)" if found["again"] else ""
    console.print(f"{credits_text(found['amount'])} credits{until}{again}.")


def statement(
    csv: Csv = False,
    limit: Annotated[int, typer.Option(help="The newest so many entries.")] = 50,
    since: Since = None,
    until: Until = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Every entry of the ledger with the balance after it, newest first."""
    client, times = connect(url, key), _times(since, until)
    if csv:
        sys.stdout.write(client.text("/credits/statement", format="csv", **times))
        return
    table = Table("when", "what", "credits", "available", "held", "for", "why", box=None)
    for entry in client.get("/credits/statement", limit=limit, **times)["data"]:
        table.add_row(
            f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%d %H:%M}",
            entry["type"],
            *(credits_text(entry[name]) for name in ("amount", "available", "held")),
            escape(entry["subject"]),
            escape(entry["reason"]),
        )
    console.print(table)


def usage(
    by: Annotated[str, typer.Option(help="job, model, member, key or day.")] = "day",
    csv: Csv = False,
    since: Since = None,
    until: Until = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Tokens and credits of training and chat."""
    client, times = connect(url, key), _times(since, until)
    if csv:
        sys.stdout.write(client.text("/usage", by=by, format="csv", **times))
        return
    found = client.get("/usage", by=by, **times)
    table = Table(by, "trained tokens", "chat tokens", "training", "chat", "credits", box=None)
    for row in [*found["data"], found["total"] | {"key": "all"}]:
        named = row["key"] or "none"
        name = f"{named} ({row['name']})" if row["name"] not in (None, row["key"]) else named
        table.add_row(
            escape(name),
            f"{row['trained_tokens']:,}",
            f"{row['prompt_tokens'] + row['completion_tokens']:,}",
            *(credits_text(row[n]) for n in ("training_credits", "chat_credits", "credits")),
        )
    console.print(table)


def receipt(job_id: str, url: Url = None, key: Key = None) -> None:
    """What a job cost, and what that is made of."""
    found = connect(url, key).get(f"/fine_tuning/jobs/{job_id}/receipt")
    table = Table(box=None, show_header=False)
    lines: dict[str, Any] = {
        "job": f"{found['job_id']} ({found['status']})",
        "base": f"{found['base_model']} @ {found['base_revision']}",
        "method": (found["method"] or {}).get("type"),
        "seed": found["seed"],
    }
    for split in found["splits"]:
        tokens = "?" if split["tokens"] is None else f"{split['tokens']:,}"
        lines[split["split"]] = f"{split['rows']} rows, {tokens} tokens × {split['epochs']} epochs"
    for data in found["datasets"]:
        lines[data["use"]] = f"{data['filename']} sha256 {data['sha256']}"
    lines["encoded"] = found["encoded_sha256"]
    lines["prices"] = found["price_version"]
    if found["rate"] is not None:
        lines["rate"] = f"{credits_text(found['rate'])} credits a trained token"
    for name in ("held", "charged", "returned", "refunded"):
        lines[name] = f"{credits_text(found[name])} credits"
    for name, value in lines.items():
        if value is not None:
            table.add_row(name, escape(str(value)))
    console.print(table)


# -- for operators --------------------------------------------------------------------------------


@tenant.command("list")
def tenant_list(url: Url = None, key: Key = None) -> None:
    """The newest tenants, with what each has, spent and stores."""
    table = Table("tenant", "name", "available", "held", "spent", "jobs", "bytes", box=None)
    for row in connect(url, key).get("/admin/tenants", limit=100)["data"]:
        table.add_row(
            row["id"],
            escape(row["name"]),
            *(credits_text(row[name]) for name in ("available", "held", "spent")),
            str(row["jobs"]),
            f"{row['storage_bytes']:,}",
        )
    console.print(table)


@tenant.command("limit")
def tenant_limit(
    tenant_id: str,
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="name=value, or name= to take it back; credits where of credits."),
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a tenant's limits, or override some: `running_jobs_max=8 credits_per_day_max=50`."""
    client = connect(url, key)
    if changes:
        found = client.post(f"/admin/tenants/{tenant_id}/limits", dict(map(_change, changes)))
        overrides = found["overrides"]
    else:
        whole = client.get(f"/admin/tenants/{tenant_id}")
        found, overrides = whole["effective_limits"], whole["limits"]
    table = Table("limit", "value", "", box=None)
    for name, value in found.items():
        if name.endswith("_max"):
            money = "no limit" if value == 0 else credits_text(value)
            shown = money if name in CREDIT_LIMITS else f"{value:,}"
            table.add_row(name, shown, "this tenant's" if name in overrides else "the service's")
    console.print(table)


@voucher.command("create-campaign")
def create_campaign(
    name: str,
    amount: Annotated[float, typer.Argument(help="Credits a code gives.")],
    days: Annotated[int | None, typer.Option(help="What it gives expires after.")] = None,
    credits_max: Annotated[float | None, typer.Option(help="The budget, in credits.")] = None,
    redemptions_max: Annotated[int | None, typer.Option(help="In all.")] = None,
    tenant_max: Annotated[int, typer.Option(help="Redemptions a tenant.")] = 1,
    first_only: Annotated[bool, typer.Option(help="Only a tenant's first voucher.")] = False,
    email_domain: Annotated[list[str] | None, typer.Option(help="Only for these.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a campaign; codes come next."""
    body = {
        "name": name,
        "amount": _micro(amount),
        "days": days,
        "credits_max": None if credits_max is None else _micro(credits_max),
        "redemptions_max": redemptions_max,
        "tenant_max": tenant_max,
        "first_only": first_only,
        "email_domains": email_domain or None,
    }
    made = connect(url, key).post("/admin/campaigns", body)
    console.print(
        f"{made['id']}: {credits_text(made['amount'])} credits a code. "
        f"Codes: tunery voucher codes {made['id']} --count 10"
    )


@voucher.command("codes")
def codes(
    campaign_id: str,
    count: Annotated[int, typer.Option(help="How many.")] = 1,
    max_redemptions: Annotated[int, typer.Option(help="Uses of each.")] = 1,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make codes and print them, one a line. They are shown this once."""
    body = {"count": count, "max_redemptions": max_redemptions}
    for made in connect(url, key).post(f"/admin/campaigns/{campaign_id}/codes", body)["data"]:
        sys.stdout.write(made["code"] + "\n")


@voucher.command("revoke")
def revoke(
    what: Annotated[str, typer.Argument(help="A campaign's id, or a code's.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Nothing is given by it any more; what was granted stays."""
    kind = "codes" if what.startswith("code-") else "campaigns"
    connect(url, key).post(f"/admin/{kind}/{what}/revoke")
    console.print(f"{escape(what)} is revoked.")


@voucher.command("list")
def list_campaigns(url: Url = None, key: Key = None) -> None:
    """Campaigns, and what they gave so far."""
    table = Table("campaign", "name", "a code", "given", "of", "redemptions", "", box=None)
    for row in connect(url, key).get("/admin/campaigns")["data"]:
        table.add_row(
            row["id"],
            escape(row["name"]),
            credits_text(row["amount"]),
            credits_text(row["credits"]),
            "any" if row["credits_max"] is None else credits_text(row["credits_max"]),
            str(row["redemptions"]),
            "revoked" if row["revoked_at"] else "",
        )
    console.print(table)


def _change(word: str) -> tuple[str, int | None]:
    name, equals, value = word.partition("=")
    if equals and not value:
        return name, None
    try:
        return name, _micro(float(value)) if name in CREDIT_LIMITS else int(value)
    except ValueError as error:
        raise typer.BadParameter(f"{word!r} is not name=number.") from error


def _micro(amount: float) -> int:
    return round(amount * CREDIT)


def _times(since: str | None, until: str | None) -> dict[str, str]:
    return {name: value for name, value in (("since", since), ("until", until)) if value}


def _day(at: int | None) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" if at else ""
