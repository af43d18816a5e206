"""The `tunery` command. What a user does talks only REST (`train`, `watch`, `chat`, …); what an
operator does on the service's own machine (`up`, `demo`, `migrate`, `grant`) uses the verbs.
"""

import typer
from rich.markup import escape

from api.cli import local, remote
from api.cli.client import console
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
app.command()(local.up)
app.command()(local.demo)
app.command()(local.migrate)
app.command()(local.grant)


def main() -> None:
    """The command; what it refuses is a sentence, never a traceback."""
    try:
        app()
    except TuneryError as error:
        console.print(f"[red]✗[/red] {escape(error.message)}")
        raise SystemExit(1) from error


__all__ = ["app", "main"]
