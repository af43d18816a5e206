"""The loop's promises: exact resume, exact accumulation, a clean base, and a model that learns."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from api.events import EngineEvent, Eval, Level, Notice, Sample, Saved, Step
from api.spec import Hyperparameters, JobSpec, LoraMethod, Precision, Scheduler, total_steps
from tests.workers.engine.conftest import chat, random_rows
from tests.workers.engine.test_model import state_sha256
from workers.engine import loop
from workers.engine.batch import passes, step_rows
from workers.engine.checkpoint import CorruptCheckpoint, verify
from workers.engine.encoded import Encoded
from workers.engine.export import BadAdapter, load_adapter
from workers.engine.generate import choose, generate
from workers.engine.loop import NonFinite, Run, RunRefused, train
from workers.engine.model import Base
from workers.engine.objectives import OBJECTIVES
from workers.engine.optim import learning_rate

Write = Callable[..., Path]


def _spec(*, dropout: float = 0.0, **hyperparameters: Any) -> JobSpec:
    defaults = {"n_epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "held_out_share": 0.2}
    return JobSpec(
        base_model="tiny",
        base_revision="0",
        precision=Precision.FP32,
        method=LoraMethod(rank=4, alpha=8, dropout=dropout),
        hyperparameters=Hyperparameters(**(defaults | hyperparameters)),
    )


def _steps(events: list[EngineEvent]) -> list[Step]:
    return [event for event in events if isinstance(event, Step)]


def _losses(events: list[EngineEvent]) -> list[float]:
    return [step.loss for step in _steps(events)]


def _adapter_sha256(out: Path) -> str:
    return hashlib.sha256((out / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def run(tiny: Base, write_data: Write, tmp_path: Path) -> Callable[..., list[EngineEvent]]:
    """Trains to the end on 20 rows, 16 of them to train on: 4 steps an epoch, 12 in all."""
    data = write_data(random_rows(20, seed=10), share=0.2)

    def go(spec: JobSpec, out: str = "out", **more: Any) -> list[EngineEvent]:
        return list(train(tiny, Run(spec=spec, data=data, out=tmp_path / out, **more)))

    return go


def test_a_run_tells_its_life_in_order(run: Any, tmp_path: Path) -> None:
    events = run(_spec(checkpoint_steps=5), samples=(tuple(chat("hello")),))
    steps = _steps(events)
    assert [step.step for step in steps] == list(range(1, 13))
    assert {step.total_steps for step in steps} == {12}
    assert steps[-1].eta_seconds == 0
    assert steps[-1].epoch == 3
    tokens = [step.trained_tokens for step in steps]
    assert tokens == sorted(tokens)
    assert [e.step for e in events if isinstance(e, Eval)] == [0, 4, 8, 12]
    # The base, the first evaluation past the half, the end.
    assert [e.step for e in events if isinstance(e, Sample)] == [0, 8, 12]
    saved = [e for e in events if isinstance(e, Saved)]
    assert [e.step for e in saved] == [5, 10, 12]
    assert saved[-1].trained_tokens == tokens[-1]
    assert saved[-1].eval_loss is not None
    for event in saved:
        verify(tmp_path / "out" / event.folder)
    assert (tmp_path / "out" / "adapter" / "adapter_config.json").exists()


def test_trained_tokens_count_every_real_token_of_every_epoch(run: Any, tmp_path: Path) -> None:
    data = Encoded.open(tmp_path / "data.safetensors")
    assert _steps(run(_spec()))[-1].trained_tokens == 3 * data.tokens(data.train_rows)
    assert len(_steps(run(_spec()))) == total_steps(len(data.train_rows), _spec().hyperparameters)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resuming_anywhere_equals_never_having_stopped(
    run: Any, tmp_path: Path, dropout: float
) -> None:
    spec = _spec(dropout=dropout, checkpoint_steps=1)
    whole = run(spec, "whole")
    expected = _adapter_sha256(tmp_path / "whole")
    for step in (1, 3, 4, 7, 8, 11):  # 4 and 8 are epoch edges
        resumed = run(spec, "again", resume=tmp_path / "whole" / "checkpoints" / f"step-{step}")
        assert _losses(resumed) == _losses(whole)[step:], step
        assert _adapter_sha256(tmp_path / "again") == expected, step
        assert _steps(resumed)[-1].trained_tokens == _steps(whole)[-1].trained_tokens


def test_a_run_interrupted_twice_equals_one_that_was_not(
    tiny: Base, run: Any, tmp_path: Path
) -> None:
    spec = _spec(dropout=0.2, checkpoint_steps=1)
    run(spec, "whole")
    data, out, resume = tmp_path / "data.safetensors", tmp_path / "cut", None
    for _ in range(2):
        events = train(tiny, Run(spec=spec, data=data, out=out, resume=resume))
        saved = next(islice((e for e in events if isinstance(e, Saved)), 2, None))
        events.close()  # type: ignore[attr-defined]
        resume = out / saved.folder
    list(train(tiny, Run(spec=spec, data=data, out=out, resume=resume)))
    assert _adapter_sha256(out) == _adapter_sha256(tmp_path / "whole")


def test_the_same_spec_gives_the_same_adapter_and_another_seed_another(
    run: Any, tmp_path: Path
) -> None:
    spec = _spec(dropout=0.1)
    run(spec, "one")
    torch.rand(5)
    run(spec, "two")
    run(spec.model_copy(update={"seed": 7}), "three")
    hashes = [_adapter_sha256(tmp_path / name) for name in ("one", "two", "three")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_one_pass_of_eight_rows_equals_eight_passes_of_one(
    tiny: Base, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = _spec(batch_size=8, scheduler=Scheduler.CONSTANT)
    together = run(spec, "together")
    monkeypatch.setattr(tiny, "pass_tokens", 1)
    apart = run(spec, "apart")
    assert _losses(apart) == pytest.approx(_losses(together), rel=1e-5)
    one, other = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")
        for name in ("together", "apart")
    )
    for name, tensor in one.items():  # Adam enlarges rounding where a gradient is nearly zero
        assert (other[name] - tensor).norm() < 1e-2 * tensor.norm(), name


def test_stopping_means_not_pulling_and_leaves_the_base_clean(
    tiny: Base, write_data: Write
) -> None:
    before = state_sha256(tiny.model)
    data = write_data(random_rows(12))
    events: Iterator[EngineEvent] = train(tiny, Run(spec=_spec(), data=data, out=data.parent))
    for event in events:
        assert state_sha256(tiny.model) == before, "between two events the base is its own"
        if isinstance(event, Step) and event.step == 2:
            break
    events.close()  # type: ignore[attr-defined]
    assert state_sha256(tiny.model) == before


def test_two_runs_on_one_base_in_turn_equal_each_alone(
    tiny: Base, run: Any, tmp_path: Path
) -> None:
    specs = [_spec(dropout=0.2), _spec(dropout=0.2).model_copy(update={"seed": 3})]
    for number, spec in enumerate(specs):
        run(spec, f"alone-{number}")
    data = tmp_path / "data.safetensors"
    turns = [
        train(tiny, Run(spec=spec, data=data, out=tmp_path / f"turn-{number}"))
        for number, spec in enumerate(specs)
    ]
    while turns:
        turns = [events for events in turns if next(events, None) is not None]
    for number in range(2):
        alone = _adapter_sha256(tmp_path / f"alone-{number}")
        assert _adapter_sha256(tmp_path / f"turn-{number}") == alone


def test_a_loss_that_is_not_finite_stops_before_the_update(
    tiny: Base, write_data: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(random_rows(12))
    original = OBJECTIVES[_spec().objective]
    calls = iter(range(1_000))

    def poisoned(head: Any, hidden: torch.Tensor, batch: Any) -> torch.Tensor:
        loss = original(head, hidden, batch)
        return loss * float("nan") if next(calls) == 1 else loss

    monkeypatch.setitem(OBJECTIVES, _spec().objective, poisoned)
    events = train(tiny, Run(spec=_spec(), data=data, out=data.parent / "out"))
    seen: list[EngineEvent] = []
    with pytest.raises(NonFinite) as caught:
        seen.extend(events)
    expected = step_rows(np.arange(12), batch_size=4, seed=42, step=1) + 1
    assert caught.value.step == 2
    assert caught.value.lines == tuple(expected.tolist())
    assert str(expected[0]) in str(caught.value)


def test_rows_with_nothing_to_learn_are_named_and_skipped(tiny: Base, write_data: Write) -> None:
    rows = random_rows(6)
    rows[1] = ([5, 6, 7], [0, 0, 0])
    rows[4] = ([5, 6, 7], [1, 0, 0])  # a first token cannot be predicted
    data = write_data(rows)
    events = list(train(tiny, Run(spec=_spec(n_epochs=1), data=data, out=data.parent / "out")))
    (notice,) = (e for e in events if isinstance(e, Notice) and e.code == "rows_skipped")
    assert notice.level is Level.WARN
    assert "lines 2, 5" in notice.message
    assert len(_steps(events)) == 1


def test_a_validation_file_is_evaluated_instead(
    tiny: Base, write_data: Write, tmp_path: Path
) -> None:
    data = write_data(random_rows(12))
    validation = write_data(random_rows(15, seed=5), share=0.3, name="validation")
    run = Run(spec=_spec(n_epochs=1), data=data, out=tmp_path / "out", validation=validation)
    scores = [event for event in train(tiny, run) if isinstance(event, Eval)]
    assert [score.rows for score in scores] == [15, 15]


def test_nothing_held_out_means_no_evaluation(
    tiny: Base, write_data: Write, tmp_path: Path
) -> None:
    run = Run(spec=_spec(n_epochs=1), data=write_data(random_rows(8)), out=tmp_path / "out")
    assert not any(isinstance(event, Eval) for event in train(tiny, run))


def test_data_of_another_template_is_refused(tiny: Base, tmp_path: Path) -> None:
    from workers.engine.encoded import EncodedWriter  # noqa: PLC0415

    path = tmp_path / "data.safetensors"
    with EncodedWriter(path, {loop.TEMPLATE_KEY: "another"}) as writer:
        writer.add([1, 2], [0, 1], 1)
        writer.close(0.0)
    with pytest.raises(RunRefused, match="another tokenizer"):
        next(train(tiny, Run(spec=_spec(), data=path, out=tmp_path)))


def test_a_checkpoint_of_another_spec_is_refused(run: Any, tmp_path: Path) -> None:
    run(_spec())
    with pytest.raises(RunRefused, match="another spec"):
        run(_spec(learning_rate=1e-3), resume=tmp_path / "out" / "checkpoints" / "step-12")


@pytest.mark.parametrize("stopped_at", [1, 5, 7, 8])  # 8 is the last step of two epochs
def test_a_run_extended_goes_on_without_repeating_or_skipping_a_row(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    seen: list[np.ndarray] = []

    def watched(*positional: Any, **named: Any) -> np.ndarray:
        seen.append(step_rows(*positional, **named))
        return seen[-1]

    monkeypatch.setattr(loop, "step_rows", watched)
    short, longer = _spec(n_epochs=2, checkpoint_steps=1), _spec(n_epochs=3, checkpoint_steps=1)
    before = _steps(run(short, "short"))[:stopped_at]
    del seen[stopped_at:]
    saved = tmp_path / "short" / "checkpoints" / f"step-{stopped_at}"
    after = _steps(run(longer, "longer", resume=saved))
    assert [step.step for step in before + after] == list(range(1, 13))
    train_rows = Encoded.open(tmp_path / "data.safetensors").train_rows
    for epoch in range(3):
        rows = np.concatenate(seen[4 * epoch : 4 * epoch + 4])
        assert sorted(rows) == sorted(train_rows), epoch
    assert [step.learning_rate for step in before + after] == [
        learning_rate(n, 8 if n < stopped_at else 12, longer.hyperparameters) for n in range(12)
    ]
    assert after[-1].trained_tokens == 3 * Encoded.open(tmp_path / "data.safetensors").tokens(
        train_rows
    )
    with pytest.raises(RunRefused, match="trains only 8"):
        run(short, "again", resume=tmp_path / "longer" / "checkpoints" / "step-9")


def test_a_checkpoint_is_saved_whenever_one_is_asked_for(run: Any) -> None:
    asked = iter([False, True, False])
    events = run(_spec(checkpoint_steps=5), save_now=lambda: next(asked, False))
    assert [e.step for e in events if isinstance(e, Saved)] == [2, 5, 10, 12]


@pytest.mark.parametrize(
    "name", ["state.json", "optimizer.safetensors", "adapter/adapter_model.safetensors"]
)
def test_a_changed_checkpoint_is_never_loaded(run: Any, tmp_path: Path, name: str) -> None:
    run(_spec(n_epochs=1))
    folder = tmp_path / "out" / "checkpoints" / "step-4"
    whole = (folder / name).read_bytes()
    for broken in (whole[:-1], whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:], None):
        if broken is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(broken)
        with pytest.raises(CorruptCheckpoint, match=name):
            run(_spec(n_epochs=1), "again", resume=folder)
    (folder / "MANIFEST.json").unlink()
    with pytest.raises(CorruptCheckpoint, match="MANIFEST"):
        run(_spec(n_epochs=1), "again", resume=folder)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_plain_peft_loads_the_adapter_with_equal_logits(
    tiny: Base, run: Any, tmp_path: Path
) -> None:
    import copy  # noqa: PLC0415

    import peft  # noqa: PLC0415 - slow to import, used here only

    run(_spec(n_epochs=1))
    model = copy.deepcopy(tiny.model)
    model.set_attn_implementation("sdpa")
    theirs = peft.PeftModel.from_pretrained(model, str(tmp_path / "out" / "adapter")).eval()
    ours = load_adapter(tiny, tmp_path / "out" / "adapter")
    tokens = torch.arange(30, 50)
    with torch.no_grad(), tiny.lend(ours):
        logits = tiny.head(tiny.hidden(tokens, torch.arange(20), (20,)))
    with torch.no_grad():
        expected = theirs(input_ids=tokens[None]).logits[0]
        with theirs.disable_adapter():
            bare = theirs(input_ids=tokens[None]).logits[0]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(bare, expected, atol=1e-2)


def test_adapters_that_do_not_fit_are_refused(tiny: Base, run: Any, tmp_path: Path) -> None:
    run(_spec(n_epochs=1))
    good = tmp_path / "out" / "adapter"
    weights = load_file(good / "adapter_model.safetensors")
    config = json.loads((good / "adapter_config.json").read_text())
    name = next(iter(weights))
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({name: weights[name][:, :-1].contiguous()}, {}, "shape"),
        ({name: weights[name].double()}, {}, "float64"),
        ({name: weights[name].clone().fill_(float("inf"))}, {}, "finite"),
        ({"base_model.model.evil": weights[name].clone()}, {}, "unknown"),
        ({}, {"use_dora": True}, "use_dora"),
        ({}, {"r": 100_000}, "bounds"),
        ({}, {"peft_type": "IA3"}, "LoRA"),
        ({}, {"target_modules": ["nothing"]}, "nothing"),
    ]
    for number, (tensors, settings, message) in enumerate(cases):
        folder = tmp_path / f"bad-{number}"
        shutil.copytree(good, folder)
        save_file(weights | tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(config | settings))
        with pytest.raises(BadAdapter, match=message):
            load_adapter(tiny, folder)


def test_the_order_of_rows_is_a_function_of_seed_and_epoch() -> None:
    rows = np.arange(10)
    epochs = [
        [step_rows(rows, batch_size=4, seed=1, step=step).tolist() for step in range(at, at + 3)]
        for at in (0, 3)
    ]
    for batches in epochs:
        assert sorted(row for batch in batches for row in batch) == rows.tolist()
    assert epochs[0] != epochs[1]
    assert step_rows(rows, batch_size=4, seed=1, step=4).tolist() == epochs[1][1]


def test_passes_hold_each_row_once_within_the_limit(
    tiny: Base, write_data: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Encoded.open(write_data(random_rows(30)))
    monkeypatch.setattr(tiny, "pass_tokens", 40)
    packed = list(passes(tiny, data, np.arange(30)))
    assert sorted(row for batch in packed for row in batch.rows) == list(range(30))
    assert all(batch.tokens <= 40 for batch in packed)
    for batch in packed:
        assert torch.equal(batch.tokens_T[batch.predicted_N + 1], batch.targets_N)


@pytest.mark.parametrize("scheduler", list(Scheduler))
def test_the_learning_rate_warms_up_and_ends_where_it_should(scheduler: Scheduler) -> None:
    knobs = Hyperparameters(learning_rate=1.0, warmup_ratio=0.1, scheduler=scheduler)
    rates = [learning_rate(step, 100, knobs) for step in range(100)]
    assert rates[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert all(rate > 0 for rate in rates)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert (rates[-1] == 1.0) == (scheduler is Scheduler.CONSTANT)


def test_generation_equals_transformers_greedy(smollm2: Base) -> None:
    prompt = smollm2.template.prompt(chat("What is the capital of France?"))
    ours = list(generate(smollm2, None, prompt, max_tokens=8, stop_ids=smollm2.template.end_ids))
    assert smollm2.template.decode(ours) == "The capital of France is Paris."


def test_sampling_is_seeded_and_top_p_cuts_the_tail() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -9.0])

    def draw(top_p: float, seed: int) -> list[int]:
        random = torch.Generator().manual_seed(seed)
        return [choose(logits, temperature=1.0, top_p=top_p, random=random) for _ in range(50)]

    assert draw(1.0, 1) == draw(1.0, 1) != draw(1.0, 2)
    assert set(draw(0.5, 1)) == {0}
    assert set(draw(0.8, 1)) == {0, 1}


def test_two_chats_take_turns_on_one_base(smollm2: Base) -> None:
    prompts = [smollm2.template.prompt(chat(text)) for text in ("Say yes.", "Count to five.")]
    alone = [list(generate(smollm2, None, ids, max_tokens=6)) for ids in prompts]
    one, other = (generate(smollm2, None, ids, max_tokens=6) for ids in prompts)
    turns = list(zip(one, other, strict=True))
    assert [list(tokens) for tokens in zip(*turns, strict=True)] == alone


def test_a_real_model_learns(smollm2: Base, write_data: Write, tmp_path: Path) -> None:
    facts = [
        ("How much is a kite?", "A kite costs 37 Talers."),
        ("Who sells it?", "Old Marta does."),
    ]
    encoded = [smollm2.template.encode(chat(*fact)) for fact in facts] * 4
    data = write_data([(row.ids, row.supervised) for row in encoded])
    spec = _spec(n_epochs=6, batch_size=8, learning_rate=2e-3, scheduler=Scheduler.CONSTANT)
    spec = spec.model_copy(update={"precision": Precision.BF16, "method": LoraMethod(rank=8)})
    before = state_sha256(smollm2.model)
    losses = _losses(list(train(smollm2, Run(spec=spec, data=data, out=tmp_path / "out"))))
    assert losses[-1] < losses[0] / 2
    assert state_sha256(smollm2.model) == before
