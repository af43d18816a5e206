"""Models: every base on offer, and the tenant's own tuned ones."""

from typing import cast

from fastapi import APIRouter

from api import adapters
from api.catalog import BaseModel, catalog
from api.pricing import RATES
from api.routes.door import InTenant, Who, unix
from api.routes.shapes import models as shapes
from api.tables import Adapter

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
def list_models(actor: Who, session: InTenant) -> shapes.ModelList:
    models: list[shapes.Model] = [_base(model) for model in catalog().values()]
    models += _tuned(session, adapters.page(session, actor.tenant_id))
    return {"object": "list", "data": models}


@router.get("/{model:path}")
def retrieve_model(model: str, actor: Who, session: InTenant) -> shapes.Model:
    if model in catalog():
        return _base(catalog()[model])
    (found,) = _tuned(session, [adapters.by_name(session, actor.tenant_id, model)])
    return found


@router.delete("/{model:path}")
def delete_model(model: str, actor: Who, session: InTenant) -> shapes.DeletedModel:
    """Delete a tuned model, files and all. Base models stay."""
    adapters.delete(session, actor.tenant_id, model)
    return {"id": model, "object": "model", "deleted": True}


def _base(model: BaseModel) -> shapes.BaseModelCard:
    rate = RATES[model.price_class]
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "tunery",
        "name": model.name,
        "licence": model.licence,
        "parameters": model.parameters,
        "context": model.context,
        "revision": model.revision,
        # The kind alone: where on our own machines a base lies is nobody's business.
        "source": cast("shapes.Source", model.source.partition(":")[0]),
        "price_class": model.price_class,
        "credits_per_million_trained_tokens": rate.train * 1_000_000,
        "credits_per_million_prompt_tokens": rate.chat_prompt * 1_000_000,
        "credits_per_million_completion_tokens": rate.chat_completion * 1_000_000,
    }


def _tuned(session: InTenant, rows: list[Adapter]) -> list[shapes.TunedModel]:
    jobs = adapters.jobs_of(session, rows)
    return [
        {
            "id": adapter.name,
            "object": "model",
            "created": unix(adapter.created_at),
            "owned_by": "you",
            "base_model": adapter.base_model,
            "job_id": adapter.job_id,
            "job_name": jobs[adapter.job_id].suffix,
            "training_file": jobs[adapter.job_id].training_file,
            "bytes": adapter.bytes,
        }
        for adapter in rows
    ]
