"""What an operator does on the service's own machine: up, demo, migrate, grant."""

import json
import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from api import embedded, ledger, operators, storage, tenants
from api.cli import remote
from api.cli.client import CREDENTIALS, Client, console
from api.db import anonymous_transaction, enter_tenant, transaction
from api.errors import Conflict
from api.money import CREDIT, credits_text
from api.settings import settings

FIRST_EMAIL = "you@localhost"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def up() -> None:
    """The whole service on this machine, until Ctrl-C."""
    embedded.up(on_ready=_welcome)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the run.")] = False,
    data: Annotated[Path, typer.Option(help="Rows to train on.")] = EXAMPLES / "shop-en.jsonl",
) -> None:
    """Start the service, fine-tune the small base on the example shop, show what it learned."""
    started = time.monotonic()
    code = 0

    def run() -> None:
        nonlocal code
        _welcome()
        code = 0 if _show(data, started) else 1
        if once:
            raise typer.Exit(code)

    embedded.up(on_ready=run)


def migrate() -> None:
    """Bring the database and the bucket to this version."""
    embedded.migrate()
    storage.ensure_bucket()
    console.print("The database and the bucket are up to date.")


def grant(
    tenant_id: str,
    amount: Annotated[float, typer.Argument(help="Credits, not micro-credits.")],
    reason: str = "granted by the operator",
) -> None:
    """Give a tenant credits."""
    micro_credits = round(amount * CREDIT)
    with transaction() as session:
        ledger.grant(
            session,
            tenant_id,
            micro_credits,
            grant_id=f"grant/operator/{secrets.token_hex(8)}",
            reason=reason,
            actor="operator",
        )
    console.print(f"{credits_text(micro_credits)} credits to {tenant_id}.")


def operator(
    email: str,
    remove: Annotated[bool, typer.Option("--remove", help="No longer one.")] = False,
) -> None:
    """Let a person run this service: /v1/admin and the operator's commands."""
    with transaction() as session:
        operators.appoint(session, email, operator=not remove)
    console.print(f"{escape(email)} is {'no longer' if remove else 'now'} an operator.")


def _welcome() -> None:
    """The first tenant, user and key, made once; then how to sign in."""
    path = settings().data_dir / CREDENTIALS
    if not path.exists():
        _make_first(path)
    if path.exists():
        first = json.loads(path.read_text("utf-8"))
        console.print(
            f"\nSign in at [bold]{settings().public_url}[/bold] as {first['email']} with the "
            f"password {first['password']}\nAPI key {first['api_key']} (kept in {path})",
            soft_wrap=True,
        )


def _make_first(path: Path) -> None:
    password = secrets.token_urlsafe(12)
    try:
        with anonymous_transaction() as session:
            actor = tenants.sign_up(
                session, email=FIRST_EMAIL, password=password, tenant_name="First tenant"
            )
            enter_tenant(session, actor.tenant_id)
            _, key = tenants.make_key(session, actor, name="tunery up")
        # Whoever starts the service on their machine runs it.
        with transaction() as session:
            operators.appoint(session, FIRST_EMAIL)
    except Conflict:
        console.print(
            f"{FIRST_EMAIL} was made before, and {path} with its password is gone. "
            "Sign up anew in the portal."
        )
        return
    first = {
        "url": settings().public_url,
        "email": FIRST_EMAIL,
        "password": password,
        "tenant_id": actor.tenant_id,
        "api_key": key,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(first, indent=2), "utf-8")


def _show(data: Path, started: float) -> bool:
    """One job the whole way, over REST like anybody's. True when it taught what it should."""
    kept = json.loads((settings().data_dir / CREDENTIALS).read_text("utf-8"))
    client = Client(url=settings().public_url, key=kept["api_key"])
    marks = [("service ready", time.monotonic() - started)]
    console.print(f"\n[bold]Fine-tuning on {escape(data.name)}[/bold]")
    body: dict[str, Any] = {
        "model": settings().default_base_model,
        "training_file": remote.upload(client, data),
        "suffix": data.stem,
        "seed": 7,
        "hyperparameters": {"n_epochs": 4},
    }
    remote.quoted(client, body)
    marks.append(("rows read, encoded and priced", time.monotonic() - started))
    job_id = client.post("/fine_tuning/jobs", body)["id"]
    job = _watched(client, job_id, marks, started)
    if job["status"] != "succeeded":
        return False
    return _answers(client, job, data)


def _watched(
    client: Client, job_id: str, marks: list[tuple[str, float]], started: float
) -> dict[str, Any]:
    for frame in client.follow(job_id):
        if frame.type == "status" and frame.event["status"] == "running":
            marks.append(("job claimed", time.monotonic() - started))
        if frame.type == "step":
            marks.append(("first loss", time.monotonic() - started))
            break
    before = 0.0
    for name, at in marks:
        console.print(f"[dim]{at:6.1f} s  {name} (+{at - before:.1f} s)[/dim]")
        before = at
    return remote.follow(client, job_id)


def _answers(client: Client, job: dict[str, Any], data: Path) -> bool:
    """Questions in words that the data does not use, to the base and to the tuned model."""
    facts = json.loads((EXAMPLES / "facts.json").read_text("utf-8")).get(data.name, [])
    table = Table("question", "base", "tuned", "", title="What it learned", show_lines=True)
    right = {"model": 0, "fine_tuned_model": 0}
    for fact in facts:
        answers = {}
        for who in right:
            prompt = [{"role": "user", "content": fact["question"]}]
            answers[who] = client.chat(job[who], prompt, max_tokens=48)
            right[who] += fact["expect"].lower() in answers[who].lower()
        knows = fact["expect"].lower() in answers["fine_tuned_model"].lower()
        table.add_row(
            escape(fact["question"]),
            escape(answers["model"]),
            escape(answers["fine_tuned_model"]),
            "[green]✓[/green]" if knows else "[red]✗[/red]",
        )
    console.print(table)
    console.print(
        f"facts right: base {right['model']}/{len(facts)}, "
        f"tuned [bold]{right['fine_tuned_model']}/{len(facts)}[/bold]"
    )
    remote.show_adapter(client, job["id"])
    return right["fine_tuned_model"] > right["model"]
