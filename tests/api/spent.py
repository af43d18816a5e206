"""Credits spent as they are in life: a job trained to its end, a chat turn answered."""

from typing import Any

from sqlalchemy import text

from api import chat, jobs, operators
from api.db import transaction
from api.events import Saved, Step
from tests.api import given
from tests.api.given import Person

MANIFEST = {
    "files": {},
    "encoded_sha256": "e" * 64,
    "code": {"tunery": "1", "torch": "2"},
}


def empty_queue() -> None:
    """Claiming looks at every tenant's jobs."""
    with transaction() as session:
        session.execute(
            text(
                "UPDATE jobs SET status = 'cancelled', lease_owner = NULL "
                "WHERE status IN ('queued', 'running', 'validating_files')"
            )
        )


def claim() -> jobs.Claim:
    with transaction() as session:
        claimed = jobs.claim(session, worker="w")
    assert claimed is not None
    return claimed


def step(tokens: int) -> Step:
    return Step(
        step=1,
        total_steps=36,
        epoch=1,
        loss=2.0,
        learning_rate=1e-4,
        grad_norm=1.0,
        trained_tokens=tokens,
        tokens_per_second=100.0,
        eta_seconds=1.0,
    )


def save(claimed: jobs.Claim, tokens: int) -> None:
    """Train so far, and keep a checkpoint."""
    with transaction() as session:
        jobs.record(session, claimed, [step(tokens)])
        saved = Saved(step=1, trained_tokens=tokens, folder="x")
        jobs.checkpoint(session, claimed, saved, prefix="p/", files={"a": "0" * 64})


def trained(who: Person, *, tokens: int = 27_000, **changes: Any) -> tuple[str, str]:
    """A job that succeeded after so many tokens (10 micro-credits each), and its model's name."""
    empty_queue()
    job_id = given.queued_job(who, **changes)
    claimed = claim()
    save(claimed, tokens)
    with transaction() as session:
        name = jobs.finish(
            session,
            claimed,
            adapter_id=f"adp-{job_id}",
            prefix="p/",
            manifest=MANIFEST,
            size=1_000,
        )
    return job_id, name


def asked(who: Person, model: str = given.MODEL, *, actor: str | None = None) -> str:
    """A chat turn that waits, with its hold of 1,092 micro-credits or so."""
    body = chat.ChatRequest.model_validate(
        {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 500}
    )
    with transaction(who.tenant_id) as session:
        return chat.ask(session, who.tenant_id, body, actor=actor or who.actor.name)


def chatted(
    who: Person, model: str = given.MODEL, *, actor: str | None = None, tokens: int = 100
) -> str:
    """A turn that read 20 tokens and wrote `tokens`: 1 and 2 micro-credits each."""
    turn_id = asked(who, model, actor=actor)
    with transaction() as session:
        turn = chat.claim(session, turn_id)
        assert turn
        chat.answered(session, turn, prompt_tokens=20, completion_tokens=tokens)
    return turn_id


def key_id(who: Person) -> str:
    with transaction(who.tenant_id) as session:
        return str(session.execute(text("SELECT id FROM api_keys")).scalar_one())


def make_operator(who: Person) -> None:
    with transaction() as session:
        operators.appoint(session, who.email)
