"""Quotes: what they tell, what they bind, and the files that a job is counted on."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import encodings, jobs, storage
from api.catalog import base_model
from api.db import transaction
from api.errors import BadRequest
from api.jobs.request import Submission
from api.settings import settings
from api.tables import Dataset, Encoding, own
from tests.api import given
from tests.api.given import Person

Body = dict[str, Any]


def ready(who: Person, **changes: Any) -> Submission:
    body = given.submission(given.dataset(who), **changes)
    given.encode(body)
    return body


def quoted(who: Person, body: Submission) -> jobs.QuoteAnswer:
    with transaction(who.tenant_id) as session:
        return jobs.quote(session, who.tenant_id, body)


def submit(who: Person, body: Submission, **changes: Any) -> str:
    accepted = Submission.model_validate(body.model_dump(exclude_unset=True) | changes)
    with transaction(who.tenant_id) as session:
        job, _ = jobs.submit(session, who.tenant_id, accepted, actor="t")
        return job.id


def test_a_quote_tells_all_that_one_wants_to_know_before_the_start(
    client: TestClient, who: Person
) -> None:
    body = ready(who, hyperparameters={"n_epochs": 2}, tuning={"rank": 4})
    answer = client.post("/v1/quotes", json=body.model_dump(mode="json", exclude_unset=True)).json()
    assert answer["status"] == "ready"
    assert answer["quote"]["credits"] == 2 * 9_000 * 10
    assert answer["quote"]["steps"] == 2 * 12
    duration = answer["duration"]
    assert 0 < duration["low_seconds"] < duration["high_seconds"]
    assert duration["basis"] in ("assumed", "measured")
    memory = answer["memory"]
    parts = ("base", "adapter", "activations", "logits", "overhead")
    assert memory["total"] == sum(memory[part] for part in parts)
    assert memory["base"] == 134_515_008 * 2
    assert answer["queue"]["ahead"] >= 0
    effective = answer["effective"]
    assert effective["n_epochs"] == {"value": 2, "origin": "given"}
    assert effective["rank"] == {"value": 4, "origin": "given"}
    assert effective["alpha"] == {"value": 8.0, "origin": "derived"}
    assert effective["learning_rate"] == {"value": 5e-4, "origin": "derived"}
    assert effective["weight_decay"] == {"value": 0.0, "origin": "default"}
    assert effective["cutoff_len"] == {"value": 4_096, "origin": "derived"}
    assert answer["expires_at"] > 0
    assert answer["proposed_cutoff_len"] == 512


def test_speeds_of_earlier_runs_make_the_duration_and_jobs_that_wait_the_place(
    who: Person, stranger: Person
) -> None:
    given.queued_job(stranger)
    other = given.queued_job(stranger)
    with transaction() as session:
        session.execute(
            text(
                "UPDATE jobs SET step = 9, progress = '{\"tokens_per_second\": 9000000.0}' "
                "WHERE id = :id"
            ),
            {"id": other},
        )
    answer = quoted(who, ready(who))
    assert answer.queue
    assert answer.duration
    assert answer.queue.ahead >= 2
    assert answer.duration.basis == "measured"
    assert answer.duration.low_seconds == 1.0


def test_a_job_with_a_quote_costs_what_it_says_even_when_prices_rise(
    who: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = ready(who)
    answer = quoted(who, body)
    assert answer.quote
    monkeypatch.setattr("api.jobs.preparing.pricing.MINIMUM_CHARGE", 10**9)
    job_id = submit(who, body, quote_id=answer.id, suffix="mine", metadata={"a": "b"})
    with transaction() as session:
        job = given.job(session, job_id)
        assert job.quote
        assert job.quote["credits"] == answer.quote.credits
        assert job.quote_id == answer.id
        assert job.spec == answer.spec.model_dump(mode="json") if answer.spec else False
        assert job.encoding_id == answer.encoding_id


def test_a_quote_for_another_body_or_past_its_time_is_refused(
    who: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = ready(who)
    answer = quoted(who, body)
    with pytest.raises(BadRequest, match="another request"):
        submit(who, body, quote_id=answer.id, hyperparameters={"n_epochs": 9})
    short = settings().model_copy(update={"quote_minutes": 0})
    monkeypatch.setattr("api.jobs.admission.settings", lambda: short)
    late = quoted(who, body)
    with pytest.raises(BadRequest, match="Ask for a new one"):
        submit(who, body, quote_id=late.id)


def test_a_strangers_quote_is_not_there(client: TestClient, who: Person, stranger: Person) -> None:
    body = ready(who).model_dump(mode="json", exclude_unset=True)
    answer = client.post("/v1/fine_tuning/jobs", json=body | {"quote_id": given.quote(stranger)})
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "quote_id"


@pytest.mark.parametrize(
    ("report", "tuning", "words"),
    [
        ({"unrepaired_rows": 2}, {}, "can be repaired"),
        ({"bad_rows": 2}, {"over_long": "drop"}, "skip_bad_rows"),
        ({"too_long_rows": 2}, {"skip_bad_rows": True}, "over_long"),
        ({"too_long_rows": 2}, {}, "keeps the most"),
    ],
)
def test_rows_that_would_be_left_out_refuse_the_job_until_that_is_accepted(
    who: Person, report: Body, tuning: Body, words: str
) -> None:
    body = given.submission(given.dataset(who), tuning=tuning)
    given.encode(body, **report)
    answer = quoted(who, body)
    assert answer.status == "refused"
    assert answer.error
    assert words in answer.error["message"]
    with pytest.raises(BadRequest):
        submit(who, body)
    accepted = {"skip_bad_rows": True, "over_long": "drop"}
    assert submit(who, body, tuning=accepted)


def test_preference_pairs_are_refused_by_a_method_that_learns_from_answers(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body, kind="preference")
    answer = quoted(who, body)
    assert answer.error
    assert "preference pairs" in answer.error["message"]


def test_files_are_mixed_into_one_encoding_and_each_is_named_where_it_is_not_there(
    client: TestClient, who: Person, stranger: Person
) -> None:
    mixed = {"mix_with": [{"file": given.dataset(who), "weight": 2.0}], "mixing": "interleave"}
    body = given.submission(given.dataset(who), tuning=mixed)
    given.encode(body)
    answer = quoted(who, body)
    with transaction(who.tenant_id) as session:
        encoding = own(session, Encoding, answer.encoding_id or "", tenant_id=who.tenant_id)
        recipe = encodings.recipe_of(encoding)
    assert isinstance(recipe, encodings.MixRecipe)
    assert (recipe.weights, recipe.strategy) == ((1.0, 2.0), "interleave")
    assert len(encoding.parts) == 2
    theirs = {"mix_with": [{"file": given.dataset(stranger)}]}
    wire = {"model": given.MODEL, "training_file": body.training_file, "tuning": theirs}
    refused = client.post("/v1/quotes", json=wire)
    assert refused.status_code == 404
    assert refused.json()["error"]["param"] == "tuning.mix_with[0].file"


def test_leakage_into_a_validation_file_is_reported(who: Person) -> None:
    body = given.submission(given.dataset(who), validation_file=given.dataset(who))
    found = {"exact": 2, "near": 1, "lines": [{"file": 0, "training": 3, "validation": 9}]}
    given.encode(body, leakage=found)
    answer = quoted(who, body)
    assert answer.leakage
    assert (answer.leakage.exact, answer.leakage.near) == (2, 1)


# -- encodings are shared, and forgotten ----------------------------------------------------------


def twins(who: Person) -> tuple[str, str]:
    """Two uploads of the same bytes."""
    one, other = given.dataset(who), given.dataset(who)
    with transaction() as session:
        session.execute(
            text("UPDATE datasets SET sha256 = :hash WHERE id IN (:one, :other)"),
            {"hash": "7" * 64, "one": one, "other": other},
        )
    return one, other


def wanted(who: Person, file_id: str, **options: Any) -> str:
    with transaction(who.tenant_id) as session:
        dataset = own(session, Dataset, file_id, tenant_id=who.tenant_id)
        recipe = encodings.file_recipe(dataset, base_model(given.MODEL), **options)
        return encodings.want(session, dataset, recipe).id


def test_the_same_bytes_are_encoded_once_within_a_tenant_and_apart_between_tenants(
    who: Person, stranger: Person
) -> None:
    one, other = twins(who)
    theirs, _ = twins(stranger)
    assert wanted(who, one) == wanted(who, other)
    assert wanted(who, one) != wanted(stranger, theirs)
    options: list[Body] = [
        {"cutoff_len": 64},
        {"over_long": "cut"},
        {"train_on": "last"},
        {"thinking": True},
        {"held_out_share": 0.3},
    ]
    made = {wanted(who, one, **option) for option in options}
    assert len(made) == len(options)


def test_what_was_made_of_a_file_goes_to_its_twin_and_only_then_away(
    client: TestClient, who: Person
) -> None:
    one, other = twins(who)
    encoding_id = wanted(who, one)
    key = storage.encoding_prefix(who.tenant_id, encoding_id) + "encoded.safetensors"
    storage.put(key, b"x")
    assert client.delete(f"/v1/files/{one}").status_code == 200
    assert storage.exists(key)
    assert wanted(who, other) == encoding_id
    assert client.delete(f"/v1/files/{other}").status_code == 200
    assert not storage.exists(key)


def test_a_mixture_goes_with_any_of_its_files_unless_a_job_needs_it(
    client: TestClient, who: Person
) -> None:
    second = given.dataset(who)
    body = given.submission(given.dataset(who), tuning={"mix_with": [{"file": second}]})
    given.encode(body)
    job_id = submit(who, body)
    refused = client.delete(f"/v1/files/{second}")
    assert refused.json()["error"]["code"] == "file_in_use"
    client.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/files/{second}").status_code == 200
    with transaction() as session:
        mixture = session.get(Encoding, given.job(session, job_id).encoding_id)
        assert mixture
        assert mixture.status == "failed"


def test_encodings_nobody_uses_are_swept_and_those_of_quotes_and_jobs_stay(who: Person) -> None:
    unused = wanted(who, given.dataset(who))
    quote_id = given.quote(who)
    job_id = given.queued_job(who)
    with transaction() as session:
        session.execute(text("UPDATE encodings SET status = 'ready'"))
        # Older than what other tests may have left, since a sweep takes a hundred.
        session.execute(
            text(
                "UPDATE encodings SET used_at = now() - interval '999 days' WHERE tenant_id = :mine"
            ),
            {"mine": who.tenant_id},
        )
    with transaction() as session:
        encodings.sweep(session)
    with transaction() as session:
        gone = {row.id for row in session.query(Encoding) if row.key.startswith("forgotten:")}
        quote_encoding = session.execute(
            text("SELECT encoding_id FROM quotes WHERE id = :id"), {"id": quote_id}
        ).scalar_one()
        assert unused in gone
        assert quote_encoding not in gone
        assert given.job(session, job_id).encoding_id not in gone


def test_what_is_made_of_parts_waits_for_them(who: Person) -> None:
    body = given.submission(given.dataset(who), tuning={"mix_with": [{"file": given.dataset(who)}]})
    assert quoted(who, body).status == "preparing"
    with transaction() as session:
        rows = session.query(Encoding).filter(Encoding.tenant_id == who.tenant_id).all()
        mixture, parts = next((row.id, list(row.parts)) for row in rows if row.parts)
    with transaction() as session:
        assert encodings.claim(session, mixture) is None
        for part in parts:
            claimed = encodings.claim(session, part)
            assert claimed
            assert encodings.done(session, claimed[0], report=given.READY, usable=True)
    with transaction() as session:
        claimed = encodings.claim(session, mixture)
        assert claimed
        assert [part.id for part in claimed[2]] == parts
