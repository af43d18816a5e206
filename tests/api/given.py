"""What tests start from, made by the verbs themselves: a tenant, a read file, a queued job."""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import datasets, jobs, tenants
from api.db import anonymous_transaction, enter_tenant, transaction
from api.jobs.preparing import prepare
from api.jobs.request import Submission
from api.tables import Dataset, Encoding, Job
from api.tenants import Actor

MODEL = "smollm2-135m-instruct"
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Person:
    actor: Actor
    key: str
    email: str

    @property
    def tenant_id(self) -> str:
        return self.actor.tenant_id

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


def person() -> Person:
    """A new person with a tenant of their own, a key, and the sign-up credits (100)."""
    email = f"{secrets.token_hex(6)}@example.org"
    with anonymous_transaction() as session:
        actor = tenants.sign_up(session, email=email, password=PASSWORD, tenant_name="Some Shop")
        enter_tenant(session, actor.tenant_id)
        _, key = tenants.make_key(session, actor, name="test")
    return Person(actor, key, email)


def dataset(who: Person, *, status: str = "processed") -> str:
    """The row of an uploaded file that inspection is done with."""
    dataset_id = datasets.new_dataset_id()
    with transaction() as session:
        session.add(
            Dataset(
                id=dataset_id,
                tenant_id=who.tenant_id,
                filename="shop.jsonl",
                purpose="fine-tune",
                bytes=100,
                sha256=secrets.token_hex(32),
                status=status,
                report={"rows": 100, "good": 100, "bad": 0},
                attempt=0,
            )
        )
    return dataset_id


def submission(dataset_id: str, **changes: Any) -> Submission:
    return Submission.model_validate({"model": MODEL, "training_file": dataset_id} | changes)


def encode(body: Submission, **report: Any) -> None:
    """Make the encodings that a submission needs, as a worker would: ready, with these counts."""
    with transaction() as session:
        file = session.execute(select(Dataset).where(Dataset.id == body.training_file)).scalar_one()
        made = prepare(session, file.tenant_id, body)
        for encoding in (*made.files, made.training, made.validation, made.leakage):
            if encoding is not None:
                encoding.status = "ready"
                encoding.report = READY | report


READY: dict[str, Any] = {
    "kind": "conversation",
    "thinking": False,
    "train_rows": 90,
    "train_tokens": 9_000,
    "held_out_rows": 10,
    "held_out_tokens": 1_000,
    "longest_row": 200,
    "bad_rows": 0,
    "unrepaired_rows": 0,
    "too_long_rows": 0,
    "cut_rows": 0,
    "proposed_cutoff_len": 512,
    "problems": [],
    "key": "none",
    "sha256": "0" * 64,
    "dataset_sha256": "0" * 64,
    "leakage": {"exact": 0, "near": 0, "lines": []},
}


def queued_job(who: Person, **changes: Any) -> str:
    """A job with its hold, ready to be claimed: 27,000 tokens, 0.27 credits."""
    body = submission(dataset(who), **changes)
    encode(body)
    with transaction(who.tenant_id) as session:
        job, _ = jobs.submit(session, who.tenant_id, body, actor=who.actor.name)
        return job.id


def job(session: Session, job_id: str) -> Job:
    return session.execute(select(Job).where(Job.id == job_id)).scalar_one()


def encodings(session: Session, dataset_id: str) -> list[Encoding]:
    query = select(Encoding).where(Encoding.dataset_id == dataset_id)
    return list(session.execute(query).scalars())


def quote(who: Person, **changes: Any) -> str:
    """A quote that stands."""
    body = submission(dataset(who), **changes)
    encode(body)
    with transaction(who.tenant_id) as session:
        answer = jobs.quote(session, who.tenant_id, body)
    assert answer.id
    return answer.id
