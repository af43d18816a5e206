"""`tunery ledger …`: what an operator asks of the books, on the service's own machine."""

import typer
from rich.markup import escape

from api import ledger
from api.cli.client import console
from api.db import transaction

app = typer.Typer(help="The books.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Makes `check` a word of its own, though it is the only one."""


@app.command()
def check() -> None:
    """Verify every invariant over the whole database, and name the rows that break one."""
    with transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        findings = ledger.check(session)
    for finding in findings:
        console.print(
            f"[red]✗[/red] {escape(finding.invariant)}: [bold]{escape(finding.row)}[/bold] "
            f"{escape(finding.what)}",
            soft_wrap=True,
        )
    if findings:
        console.print(
            f"{len(findings)} findings. Change nothing by hand: correct by new transfers."
        )
        raise typer.Exit(1)
    console.print(f"The books are right: {len(ledger.INVARIANTS)} invariants hold.")
