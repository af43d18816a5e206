"""Models: every base on offer, and the tenant's own tuned ones."""

from typing import Any

from fastapi import APIRouter

from api import adapters
from api.catalog import BaseModel, catalog
from api.pricing import RATES
from api.routes.door import InTenant, Who, unix
from api.tables import Adapter

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
def list_models(actor: Who, session: InTenant) -> dict[str, Any]:
    tuned = [_tuned(row) for row in adapters.page(session, actor.tenant_id)]
    return {"object": "list", "data": [_base(model) for model in catalog().values()] + tuned}


@router.get("/{model:path}")
def retrieve(model: str, actor: Who, session: InTenant) -> dict[str, Any]:
    if model in catalog():
        return _base(catalog()[model])
    return _tuned(adapters.by_name(session, actor.tenant_id, model))


@router.delete("/{model:path}")
def delete(model: str, actor: Who, session: InTenant) -> dict[str, Any]:
    """Delete a tuned model, files and all. Base models stay."""
    adapters.delete(session, actor.tenant_id, model)
    return {"id": model, "object": "model", "deleted": True}


def _base(model: BaseModel) -> dict[str, Any]:
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
        "credits_per_million_trained_tokens": rate.train * 1_000_000,
    }


def _tuned(adapter: Adapter) -> dict[str, Any]:
    return {
        "id": adapter.name,
        "object": "model",
        "created": unix(adapter.created_at),
        "owned_by": "you",
        "base_model": adapter.base_model,
        "job_id": adapter.job_id,
        "bytes": adapter.bytes,
    }
