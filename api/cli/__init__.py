"""The `tunery` command. What a user does talks only REST (`train`, `watch`, `chat`, …); what an
operator does on the service's own machine (`up`, `demo`, `migrate`, `grant`, `operator`, `ledger`)
uses the verbs.
"""

import typer
from rich.markup import escape

from api.cli import ledger, local, remote
from api.cli.client import console
from api.cli.credits import balance, receipt, redeem, statement, tenant, usage, voucher
from api.errors import TuneryError

app = typer.Typer(
    name="tunery",
    help="Fine-tuning as a service: upload rows, see the price, watch it learn, take it home.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(remote.train)
app.command()(remote.watch)
app.command()(remote.chat)
app.command()(remote.jobs)
app.command()(remote.cancel)
app.command()(remote.balance)
app.command("credits")(balance)
app.command()(redeem)
app.command()(statement)
app.command()(usage)
app.command()(receipt)
app.command()(remote.resume)
app.command()(remote.extend)
app.command()(local.up)
app.command()(local.demo)
app.command()(local.migrate)
app.command()(local.grant)
app.command()(local.operator)
app.add_typer(tenant, name="tenant")
app.add_typer(voucher, name="voucher")
app.add_typer(ledger.app, name="ledger")


def main() -> None:
    """The command; what it refuses is a sentence, never a traceback."""
    try:
        app()
    except TuneryError as error:
        console.print(f"[red]✗[/red] {escape(error.message)}")
        raise SystemExit(1) from error


__all__ = ["app", "main"]
