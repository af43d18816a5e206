"""What a user does from a terminal: train, watch, chat. Talks only REST."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table

from api.cli.client import POLL_SECONDS, Client, Frame, connect, console
from api.money import credits_text
from api.settings import settings

Url = Annotated[str | None, typer.Option("--url", help="The service; else TUNERY_URL.")]
Key = Annotated[str | None, typer.Option("--key", help="An API key; else TUNERY_API_KEY.")]


def train(
    data: Annotated[
        Path, typer.Argument(help="Rows, in any form of docs/datasets.md.", dir_okay=False)
    ],
    model: Annotated[str, typer.Option(help="The base model.")] = settings().default_base_model,
    method: Annotated[str, typer.Option(help="How the base is tuned.")] = "lora",
    rank: Annotated[int, typer.Option(help="Rank of the adapter.")] = 16,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data; else chosen.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step; else chosen.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Else chosen.")] = None,
    suffix: Annotated[str | None, typer.Option(help="A name of yours for the result.")] = None,
    seed: Annotated[int | None, typer.Option(help="Else chosen, and told.")] = None,
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave out rows with problems.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Upload rows, show what is wrong with them and what training costs, then train."""
    client = connect(url, key)
    body: dict[str, Any] = {
        "model": model,
        "training_file": upload(client, data),
        "suffix": suffix,
        "seed": seed,
        "hyperparameters": {
            "n_epochs": epochs or "auto",
            "batch_size": batch_size or "auto",
            "learning_rate": learning_rate or "auto",
        },
        "tuning": {"method": method, "rank": rank, "skip_bad_rows": skip_bad_rows},
    }
    body["quote_id"] = quoted(client, body)
    if not yes and console.is_terminal and not typer.confirm("Start?", default=True):
        raise typer.Exit(0)
    job = client.post("/fine_tuning/jobs", body)
    console.print(f"job {job['id']}")
    if not watch:
        console.print(f"Follow it with: tunery watch {job['id']}")
        return
    if follow(client, job["id"])["status"] != "succeeded":
        raise typer.Exit(1)
    compare(client, job["id"])
    show_adapter(client, job["id"])


def watch(job_id: str, url: Url = None, key: Key = None) -> None:
    """Follow a job to its end, from wherever it is."""
    follow(connect(url, key), job_id)


def chat(model: str, message: str, url: Url = None, key: Key = None) -> None:
    """Say something to a base model or a tuned one."""
    client = connect(url, key)
    for piece in client.chat_pieces(model, [{"role": "user", "content": message}]):
        console.print(piece, end="", markup=False)
    console.print()


def jobs(url: Url = None, key: Key = None) -> None:
    """The newest jobs."""
    table = Table("job", "model", "status", "step", "loss", "credits", box=None)
    for job in connect(url, key).get("/fine_tuning/jobs", limit=20)["data"]:
        spent = job["charged_credits"]
        table.add_row(
            job["id"],
            job["fine_tuned_model"] or job["model"],
            job["status"],
            f"{job['step']}/{job['total_steps']}",
            f"{job['loss']:.3f}" if job["loss"] is not None else "",
            credits_text(job["held_credits"] if spent is None else spent),
        )
    console.print(table)


def cancel(job_id: str, url: Url = None, key: Key = None) -> None:
    """Stop a job; what is held beyond its last checkpoint comes back."""
    job = connect(url, key).post(f"/fine_tuning/jobs/{job_id}/cancel")
    console.print(f"{job['id']} {job['status']}")


def resume(job_id: str, url: Url = None, key: Key = None) -> None:
    """Let a paused job go on; what it is short of is held first."""
    job = connect(url, key).post(f"/fine_tuning/jobs/{job_id}/resume")
    console.print(f"{job['id']} {job['status']}")


def extend(
    job_id: str,
    epochs: Annotated[int, typer.Option("--epochs", help="How many it trains in all.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Let a job that has not ended train longer; shows what that costs first."""
    client = connect(url, key)
    path = f"/fine_tuning/jobs/{job_id}/extend"
    price = client.get(path, n_epochs=epochs)
    console.print(
        f"{credits_text(price['extra_credits'])} credits more, {price['quote']['steps']} steps in "
        f"all; {credits_text(price['available_credits'])} credits available"
    )
    if price["missing_credits"]:
        console.print(
            f"[yellow]{credits_text(price['missing_credits'])} credits are missing:[/yellow] the "
            f"job pauses with a checkpoint. Redeem a voucher, then: tunery resume {job_id}"
        )
    if not yes and console.is_terminal and not typer.confirm("Extend?", default=True):
        raise typer.Exit(0)
    job = client.post(path, {"n_epochs": epochs})
    console.print(f"{job['id']} {job['status']}")


def balance(url: Url = None, key: Key = None) -> None:
    """The credits there are."""
    found = connect(url, key).get("/credits")
    console.print(
        f"{credits_text(found['available'])} credits available, {credits_text(found['held'])} held"
    )


# -- the steps of `train` -------------------------------------------------------------------------


def upload(client: Client, data: Path) -> str:
    """Send the file, wait until every row was read, and show what was found. Returns its id."""
    if not data.is_file():
        console.print(f"[red]✗[/red] There is no file {escape(str(data))}.")
        raise typer.Exit(1)
    with Progress(TextColumn("uploading"), BarColumn(), DownloadColumn(), console=console) as bar:
        task = bar.add_task("upload", total=data.stat().st_size)
        file_id: str = client.upload(data, lambda sent: bar.update(task, completed=sent))["id"]
    while (found := client.get(f"/files/{file_id}/report"))["status"] == "uploaded":
        time.sleep(POLL_SECONDS)
    report = found["report"]
    if "fault" in report:
        console.print(f"[red]✗[/red] {escape(report['fault'])}")
    if "rows" in report:
        console.print(
            f"{escape(data.name)}: {report['rows']:,} rows in the form {report['form']}, "
            f"{report['good']:,} good, {report['warned']:,} warned, {report['repairable']:,} "
            f"repairable, {report['bad']:,} bad"
        )
    for problem in report.get("problems", ())[:20]:
        place = f"line {problem['line']}" + (f", {problem['field']}" if problem["field"] else "")
        words = f"{problem['verdict']}: {escape(problem['message'])}"
        console.print(f"  [yellow]{place}[/yellow] {words}")
    if found["status"] == "error":
        raise typer.Exit(1)
    return file_id


def quoted(client: Client, body: dict[str, Any]) -> str:
    """Show the price, or what stands in the way, which ends the command. Returns the quote's id."""
    while (answer := client.post("/quotes", body))["status"] == "preparing":
        time.sleep(POLL_SECONDS)
    if answer["status"] == "refused":
        console.print(f"[red]✗[/red] {escape(answer['error']['message'])}")
        raise typer.Exit(1)
    quote = answer["quote"]
    console.print(
        f"{credits_text(quote['credits'])} credits, never more: {quote['tokens_per_epoch']:,} "
        f"tokens × {quote['n_epochs']} epochs, {quote['steps']} steps; {quote['held_out_rows']} "
        f"rows held out; {credits_text(answer['available_credits'])} credits available"
    )
    time_range, memory = answer["duration"], answer["memory"]
    console.print(
        f"{time_range['low_seconds']:,.0f} to {time_range['high_seconds']:,.0f} s "
        f"({time_range['basis']}), {memory['total'] / 2**30:.1f} GiB; "
        f"{answer['queue']['ahead']} jobs before it"
    )
    quote_id: str = answer["id"]
    return quote_id


def follow(client: Client, job_id: str) -> dict[str, Any]:
    """Draw a job's life until it ends. Returns the job."""
    columns = (
        TextColumn("[bold]{task.fields[state]}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("job", total=None, state="queued", numbers="")
        for frame in client.follow(job_id):
            _draw(bar, task, frame)
    job: dict[str, Any] = client.get(f"/fine_tuning/jobs/{job_id}")
    if job["status"] == "succeeded":
        console.print(
            f"[green]✓[/green] {job['fine_tuned_model']}: {job['trained_tokens']:,} tokens, "
            f"{credits_text(job['charged_credits'])} credits"
        )
    elif job["error"]:
        console.print(f"[red]✗[/red] {escape(job['error']['message'])}")
    return job


def compare(client: Client, job_id: str, *, rows: int = 3) -> None:
    """The base's answer beside the tuned model's, on rows that it never saw."""
    job = client.get(f"/fine_tuning/jobs/{job_id}")
    table = Table("held-out prompt", "base", "tuned", title="Answers", show_lines=True)
    for row in client.get(f"/fine_tuning/jobs/{job_id}/held_out", limit=rows)["data"]:
        prompt = _prompt(row["messages"])
        table.add_row(
            escape(prompt[-1]["content"]),
            escape(client.chat(job["model"], prompt)),
            escape(client.chat(job["fine_tuned_model"], prompt)),
        )
    if table.row_count:
        console.print(table)


def show_adapter(client: Client, job_id: str) -> None:
    found = client.get(f"/fine_tuning/jobs/{job_id}/adapter")
    console.print(
        f"adapter: {found['bytes']:,} bytes (PEFT safetensors and a manifest), for "
        f"{found['expires_in'] // 60} minutes at"
    )
    console.print(found["url"], soft_wrap=True, markup=False)


def _prompt(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """What stands before the last answer."""
    last = max(n for n, message in enumerate(messages) if message["role"] == "assistant")
    return [{"role": m["role"], "content": m["content"]} for m in messages[:last]]


def _draw(bar: Progress, task: TaskID, frame: Frame) -> None:
    event = frame.event
    if frame.type == "status":
        bar.update(task, state=event["status"])
        bar.console.print(f"[dim]{escape(event['message'])}[/dim]")
    elif frame.type == "step":
        numbers = (
            f"loss {event['loss']:.3f} · {event['tokens_per_second']:.0f} tokens/s · "
            f"{event['eta_seconds']:.0f} s left"
        )
        bar.update(task, completed=event["step"], total=event["total_steps"], numbers=numbers)
    elif frame.type == "eval":
        bar.console.print(
            f"[dim]step {event['step']}: held-out loss {event['loss']:.3f}, "
            f"accuracy {event['token_accuracy']:.0%}[/dim]"
        )
    elif frame.type == "notice":
        bar.console.print(f"[dim]{escape(event['message'])}[/dim]")
