"""More epochs for a job: what they cost, and the act."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from api import jobs
from api.routes.door import InTenant, Who
from api.routes.jobs import job_object
from api.routes.shapes import jobs as shapes
from api.spec import EPOCHS_MAX, Frozen

router = APIRouter(tags=["fine-tuning"])

Epochs = "how many the job trains in all"


def own_job(job_id: str, actor: Who, session: InTenant) -> str:
    """A job that is not the caller's is not there, whatever else is asked of it."""
    return jobs.find(session, actor.tenant_id, job_id).id


JobId = Annotated[str, Depends(own_job, scope="function")]


class Extension(Frozen):
    """The body of `POST /v1/fine_tuning/jobs/{job_id}/extend`."""

    n_epochs: int = Field(ge=1, le=EPOCHS_MAX, description=Epochs)


@router.get("/fine_tuning/jobs/{job_id}/extend")
def quote_extension(
    job_id: JobId,
    n_epochs: Annotated[int, Query(ge=1, le=EPOCHS_MAX, description=Epochs)],
    actor: Who,
    session: InTenant,
) -> jobs.ExtensionQuote:
    """What training to `n_epochs` would cost beyond what the job holds. Changes nothing."""
    return jobs.quote_extension(session, actor.tenant_id, job_id, n_epochs)


@router.post("/fine_tuning/jobs/{job_id}/extend")
def extend_job(job_id: JobId, body: Extension, actor: Who, session: InTenant) -> shapes.Job:
    """Train to `n_epochs` instead. Without the credits for it, the job pauses with a checkpoint."""
    job = jobs.extend(session, actor.tenant_id, job_id, body.n_epochs, actor=actor.name)
    session.flush()
    session.refresh(job)
    return job_object(session, job)
