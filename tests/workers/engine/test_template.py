"""The chat template on the real small model: modes, refusals, odd templates, plain text."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from api.rows.words import Message, ToolCall
from tests.workers.engine.conftest import chat
from tests.workers.engine.families import FAMILIES, Twin, small_tokenizer
from workers.engine.template import Conversation, EncodedRow, Template, TemplateError

_CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
_ASKED = "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
_settings = settings(max_examples=25, deadline=None)
_said = st.text("ab<> \n\t\"'{}&%é中_0", max_size=12)


@pytest.fixture(scope="module")
def tokenizer_json() -> str:
    return small_tokenizer("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def qwen3(smollm2_folder: Path) -> Twin:
    return Twin(next(family for family in FAMILIES if family.name == "qwen3"), smollm2_folder)


def _template(tokenizer_json: str, source: str | None, *controls: str) -> Template:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.add_special_tokens(list(controls))
    return Template(tokenizer.to_str(), source, {"eos_token": "<|im_end|>"})


def _text(template: Template, ids: list[int]) -> str:
    pieces = template.pieces()
    return b"".join(pieces[token] for token in ids).decode(errors="replace")


def _learned(template: Template, row: EncodedRow) -> str:
    learned = [token for token, on in zip(row.ids, row.supervised, strict=True) if on]
    return _text(template, learned)


def test_the_real_models_ids_are_those_of_transformers(
    template: Template, smollm2_folder: Path
) -> None:
    theirs: Any = AutoTokenizer.from_pretrained(smollm2_folder)
    benign = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>|"))

    @_settings
    @given(benign, benign.map(str.strip))
    def check(question: str, answer: str) -> None:
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        ids = theirs.apply_chat_template(turns, return_dict=False)
        assert template.encode(chat(question, answer)).ids == ids
        asked = theirs.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
        assert template.prompt(chat(question)) == asked

    check()


def test_a_weight_of_zero_is_read_and_not_learned(template: Template) -> None:
    messages = chat("a?", "first", "b?", "second")
    messages[1] = messages[1].model_copy(update={"weight": 0})
    row = template.encode(messages)
    assert _learned(template, row) == "second<|im_end|>"
    whole = template.encode(chat("a?", "first", "b?", "second"))
    assert row.ids == whole.ids
    assert row.turn_ends == whole.turn_ends
    assert len(row.turn_ends) == 2


def test_a_row_is_cut_only_where_a_turn_ends(template: Template) -> None:
    row = template.encode(chat("a?", "first", "b?", "second"))
    first, second = row.turn_ends
    assert row.cut_at_turn(len(row.ids)) == EncodedRow(
        row.ids[:second], row.learned, [first, second]
    )
    cut = row.cut_at_turn(second - 1)
    assert cut == EncodedRow(row.ids[:first], row.learned[:1], [first])
    assert row.cut_at_turn(first - 1) is None
    unlearned = EncodedRow(row.ids, row.learned[1:], row.turn_ends)
    assert unlearned.cut_at_turn(first) is None


def test_hostile_text_is_encoded_as_the_plain_text_around_it_would_be(template: Template) -> None:
    row = template.encode(chat("say <|im_end|> now", "no <|im_start|>"))
    assert _learned(template, row) == "no <|im_start|><|im_end|>"
    learned = [token for token, on in zip(row.ids, row.supervised, strict=True) if on]
    assert learned[-1] in template.end_ids
    assert not set(learned[:-1]) & set(template.control_tokens.values())


def test_one_bad_row_is_returned_and_the_others_encoded(template: Template) -> None:
    conversations = [Conversation(chat("a", "b")), Conversation([]), Conversation(chat("c", "d"))]
    first, second, third = template.encode_batch(conversations)
    assert isinstance(second, TemplateError)
    assert first == template.encode(chat("a", "b"))
    assert third == template.encode(chat("c", "d"))


def test_shapes_are_kept_up_to_a_limit(
    tokenizer_json: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.engine.template.template._SHAPES_MAX", 3)
    ours = _template(tokenizer_json, _CHATML + _ASKED)
    for turns in range(1, 8):
        ours.encode(chat(*["x", "y"] * turns))
        assert len(ours._plans) <= 3


def test_what_a_shape_is_refused_for_is_kept_unless_it_was_read(tokenizer_json: str) -> None:
    refuses = (
        "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% if m.content == 'x' %}{{ raise_exception('no ' + m.content) }}{% endif %}"
    )
    ours = _template(tokenizer_json, _CHATML + refuses + _ASKED)
    system = [Message(role="system", content="s")]
    for _ in range(2):
        with pytest.raises(TemplateError, match="no system"):
            ours.encode([*system, *chat("a", "b")])
        with pytest.raises(TemplateError, match="no x"):
            ours.encode(chat("x", "b"))
        assert _learned(ours, ours.encode(chat("y", "b"))) == "b<|im_end|>"
    kept = [plan for plans in ours._plans.values() for plan in plans]
    assert [str(plan).endswith("no system") for plan in kept].count(True) == 1


# Thinking, in the style of Qwen3.


def test_thoughts_are_learned_with_thinking_on(qwen3: Twin) -> None:
    answer = Message(role="assistant", content="4", reasoning="2 + 2")
    row = qwen3.ours.encode([*chat("2 + 2?"), answer], thinking=True)
    assert _learned(qwen3.ours, row) == "<think>\n2 + 2\n</think>\n\n4<|im_end|>"
    assert qwen3.ours.knows_reasoning


def test_an_answer_without_thoughts_learns_to_write_none(qwen3: Twin) -> None:
    row = qwen3.ours.encode(chat("2 + 2?", "4"), thinking=True)
    assert _learned(qwen3.ours, row) == "<think>\n\n</think>\n\n4<|im_end|>"


def test_with_thinking_off_the_empty_thoughts_are_the_prompts(qwen3: Twin) -> None:
    row = qwen3.ours.encode(chat("2 + 2?", "4"))
    assert _learned(qwen3.ours, row) == "4<|im_end|>"
    prompt = qwen3.ours.prompt(chat("2 + 2?"))
    assert _text(qwen3.ours, prompt).endswith("assistant\n<think>\n\n</think>\n\n")
    assert row.ids[: len(prompt)] == prompt


def test_thoughts_with_thinking_off_are_refused(qwen3: Twin) -> None:
    answer = Message(role="assistant", content="4", reasoning="2 + 2")
    with pytest.raises(TemplateError, match="thinking off"):
        qwen3.ours.encode([*chat("2 + 2?"), answer])


def test_earlier_thoughts_may_be_dropped(qwen3: Twin) -> None:
    first = Message(role="assistant", content="4", reasoning="2 + 2")
    second = Message(role="assistant", content="6", reasoning="3 + 3")
    row = qwen3.ours.encode([*chat("a"), first, *chat("b"), second], thinking=True)
    assert _learned(qwen3.ours, row) == "4<|im_end|><think>\n3 + 3\n</think>\n\n6<|im_end|>"


def test_an_answer_that_spells_thoughts_is_not_taken_apart(qwen3: Twin) -> None:
    text = "a</think>b<think>"
    row = qwen3.ours.encode(chat("q", text), thinking=True)
    assert _learned(qwen3.ours, row) == f"<think>\n\n</think>\n\n{text}<|im_end|>"
    ours = [row.ids.count(qwen3.ours.control_tokens[tag]) for tag in ("<think>", "</think>")]
    assert ours == [1, 1]


def test_a_prompt_that_opens_thoughts_which_training_drops_is_refused(tokenizer_json: str) -> None:
    opened = (
        "{% for m in messages %}{% set c = m.content %}"
        "{% if '</think>' in c %}{% set c = c.split('</think>')[-1] %}{% endif %}"
        "{{ '<|im_start|>' + m.role + '\n' + c + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
    )
    with pytest.raises(TemplateError, match="differs from the prompt"):
        _template(tokenizer_json, opened, "<think>", "</think>")


def test_a_prompt_that_opens_thoughts_takes_answers_with_thoughts(tokenizer_json: str) -> None:
    opened = _CHATML + _ASKED.replace("assistant\n", "assistant\n<think>\n")
    ours = _template(tokenizer_json, opened, "<think>", "</think>")
    answer = Message(role="assistant", content="4", reasoning="2 + 2")
    row = ours.encode([*chat("q"), answer], thinking=True)
    assert _learned(ours, row) == "2 + 2\n</think>\n\n4<|im_end|>"
    with pytest.raises(TemplateError, match="differs from the prompt"):
        ours.encode(chat("q", "a"))


def test_thinking_is_known_under_both_names(tokenizer_json: str) -> None:
    """As DeepSeek V3.1 and Granite ask for it, and kept apart in what is kept."""
    switch = (
        "{% if not thinking is defined %}{% set thinking = 'unknown' %}{% endif %}{{ thinking }}"
    )
    ours = _template(tokenizer_json, switch + "{{ enable_thinking }}" + _CHATML + _ASKED)
    for thinking in (True, False, True, False):
        row = ours.encode(chat("a", "b"), thinking=thinking)
        prompt = ours.prompt(chat("a"), thinking=thinking)
        assert _text(ours, row.ids).startswith(f"{thinking}{thinking}<|im_start|>user\na")
        assert row.ids[: len(prompt)] == prompt


def test_thoughts_that_only_the_prompt_opens_are_refused(tokenizer_json: str) -> None:
    tag = "{% if thinking %}<think>{% else %}</think>{% endif %}"
    closed = _CHATML.replace(
        "m.role + '\n'", "m.role + '\n' + ('</think>' if m.role[0] == 'a' else '')"
    )
    ours = _template(tokenizer_json, closed + _ASKED.replace("{% endif %}", tag + "{% endif %}"))
    assert _learned(ours, ours.encode(chat("a", "b"))) == "b<|im_end|>"
    with pytest.raises(TemplateError, match="differs from the prompt"):
        ours.encode(chat("a", "b"), thinking=True)


# Tools.


def test_tools_that_a_template_drops_are_refused_in_words(template: Template) -> None:
    call = ToolCall(name="look", arguments="{}")
    calling = Message(role="assistant", content="", tool_calls=(call,))
    with pytest.raises(TemplateError, match="does not know tools"):
        template.encode([*chat("q"), calling])
    assert not template.knows_tools


@pytest.mark.parametrize("arguments", ["[]", "no", '{"a": "\\ud800"}', "[" * 100_000, '"x"'])
def test_arguments_that_are_no_object_are_refused(qwen3: Twin, arguments: str) -> None:
    call = ToolCall(name="look", arguments=arguments)
    calling = Message(role="assistant", content="", tool_calls=(call,))
    with pytest.raises(TemplateError, match="arguments"):
        qwen3.ours.encode([*chat("q"), calling])


@pytest.mark.parametrize("tools", ["{}", "no", "[1]", '[{"type": "function"}]'])
def test_tools_that_are_none_are_refused(qwen3: Twin, tools: str) -> None:
    with pytest.raises(TemplateError, match="tool"):
        qwen3.ours.encode(chat("q", "a"), tools=tools)


def test_calls_of_one_shape_share_a_plan(qwen3: Twin) -> None:
    def conversation(name: str, value: str) -> Conversation:
        call = ToolCall(name=name, arguments=json.dumps({"a": value, "b": [1, value]}))
        calling = Message(role="assistant", content="", tool_calls=(call,))
        return Conversation([*chat("q"), calling])

    qwen3.ours.encode_batch([conversation("look", "there")])
    before = len(qwen3.ours._plans)
    [row] = qwen3.ours.encode_batch([conversation("listen", 'to "<tool_call>"')])
    assert len(qwen3.ours._plans) == before
    assert isinstance(row, EncodedRow)
    assert '"b": [1, "to \\"<tool_call>\\""]' in _learned(qwen3.ours, row)


# Templates that look into what is said: each text must be rendered as it alone would be.

_LOOKING = {
    "length": "{% if m.content | length > 4 %}{{ 'long ' }}{% endif %}",
    "slice": "{{ m.content[:2] + ' ' + m.content[-1:] }}",
    "index": "{% if m.content %}{{ m.content[0] }}{% endif %}",
    "compare": "{% if m.content == 'a' or 'b' in m.content %}{{ 'ab ' }}{% endif %}",
    "order": "{{ 'more ' if m.content > 'b' else 'less ' }}",
    "test": "{{ 'low ' if m.content is lower else 'high ' }}",
    "replace": "{{ m.content | replace('a', 'x') | upper }}",
    "split": "{% for w in m.content.split() %}{{ '(' + w + ')' }}{% endfor %}",
    "letters": "{% for w in m.content %}{{ w ~ '.' }}{% endfor %}",
    "set": "{% set x %}{{ m.content }}{% endset %}{{ 'full ' if x | trim else 'void ' }}",
    "or": "{{ (m.content or 'none') ~ (m.content and '!') }}",
    "not": "{{ 'none ' if not m.content }}",
    "default": "{{ m.content | default('none', true) }}",
    "strip": "{{ ('a ' + m.content + ' b').strip('ab ') + m.content.lstrip().rstrip('a') }}",
    "trim": "{{ ('\n' ~ m.content ~ '\n') | trim }}",
    "safe": "{{ '<b>' | safe + m.content }}",
    "format": "{{ '%s|%5s' | format(m.content, 'a') ~ '{:>6}'.format(m.content) }}",
    "percent": "{{ 'is %s' % m.content }}",
    "json": "{{ m.content | tojson ~ ({'a': [m.content]} | tojson(ensure_ascii=True)) }}",
    "join": "{{ [m.content, 'x', m.content] | join(', ') ~ '-'.join([m.content]) }}",
    "select": "{{ messages[:1] | selectattr('content', 'in', ['a', 'b']) | list | length }}",
    "true": "{{ messages[:1] | selectattr('content') | list | length }}",
    "map": "{{ messages[:1] | map(attribute='content') | map('upper') | join }}",
    "changed": "{{ loop.changed(m.content) }}",
    "same": "{{ 'same' if m == messages[0] else 'other' }}",
    "sorted": "{{ {m.content: 1, 'b': 2} | dictsort }}",
    "chain": "{{ 'mid' if 'a' < m.content < 'c' else 'out' }}",
    "start": "{{ 'a' if m.content.startswith('a') and not m.content.endswith('a') else 'b' }}",
}


@pytest.mark.parametrize("name", _LOOKING)
def test_a_template_that_looks_sees_what_is_said(tokenizer_json: str, name: str) -> None:
    looks = "{% if m.role == 'user' %}" + _LOOKING[name] + "{% endif %}"
    start = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    end = "{{ m.content + '<|im_end|>\n' }}" + _ASKED
    ours = _template(tokenizer_json, start + looks + end)

    def plain(messages: list[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        rendered: str = ours._renderer._plain_template.render(
            messages=turns, add_generation_prompt=False
        )
        return rendered

    @_settings
    @given(st.lists(_said, min_size=1, max_size=2))
    def check(questions: list[str]) -> None:
        messages = chat(*(text for question in questions for text in (question, "a")))
        [row] = ours.encode_batch([Conversation(messages)])
        if isinstance(row, TemplateError):
            assert name in {"true", "sorted"}, row
        else:
            assert _text(ours, row.ids) == plain(messages)

    check()


def test_a_template_keeps_no_text_of_others(tokenizer_json: str) -> None:
    ours = _template(tokenizer_json, _CHATML + "{{ m.content | length }}" + _ASKED)
    assert "four5" not in _text(ours, ours.encode(chat("four", "a")).ids)


# What is refused at once.


def test_a_refusing_template_says_why(tokenizer_json: str) -> None:
    strict = _CHATML + "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    ours = _template(tokenizer_json, strict + _ASKED)
    with pytest.raises(TemplateError, match="no system"):
        ours.encode([Message(role="system", content="x"), *chat("a", "b")])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for m in messages %}{{ m.content | upper + '<|im_end|>' }}{% endfor %}", "exactly"),
        ("{% for m in messages %}{{ m.content + '\n' }}{% endfor %}", "control token"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses"),
        ("{% for m in messages %}{{ m.role + '<|im_end|>' }}{% endfor %}", "drops"),
        ("{% for m in messages %}{{ m.content ~ m.content }}<|im_end|>{% endfor %}", "repeats"),
        ("{% for m in messages %}", "cannot be read"),
        ("{{ messages }}", "refuses"),
        ("{{ 1 / 0 }}", "refuses"),
    ],
)
def test_a_template_that_cannot_be_masked_is_refused(
    tokenizer_json: str, source: str, words: str
) -> None:
    with pytest.raises(TemplateError, match=words):
        _template(tokenizer_json, source)


def test_an_unreadable_tokenizer_is_refused() -> None:
    for broken in ("{}", "no", "[]", '{"model": {"type": "BPE", "vocab": {}}}'):
        with pytest.raises(TemplateError):
            Template(broken, None, {})


def test_today_is_not_in_a_rendering(tokenizer_json: str) -> None:
    ours = _template(tokenizer_json, "{{ strftime_now('%d %b %Y') }}" + _CHATML + _ASKED)
    assert ours.decode(ours.prompt(chat("x"))).startswith("26 Jul 2024")


def test_generation_tags_are_read_over(tokenizer_json: str) -> None:
    tagged = _CHATML.replace("{{", "{% generation %}{{") + "{% endgeneration %}" + _ASKED
    tagged_row = _template(tokenizer_json, tagged).encode(chat("a", "b"))
    assert tagged_row == _template(tokenizer_json, _CHATML + _ASKED).encode(chat("a", "b"))


# A base model without a template, and plain text.


def test_a_base_without_a_template_gets_chatml(tokenizer_json: str) -> None:
    ours = _template(tokenizer_json, None)
    assert ours.encode(chat("a", "b")) == _template(tokenizer_json, _CHATML + _ASKED).encode(
        chat("a", "b")
    )


def test_a_base_with_only_an_end_of_text_token_gets_turns_that_end_with_it(
    tokenizer_json: str,
) -> None:
    parsed = json.loads(tokenizer_json)
    parsed["added_tokens"] = parsed["added_tokens"][:1]
    ours = Template(json.dumps(parsed), None, {"eos_token": "<|endoftext|>"})
    row = ours.encode(chat("a", "b <|endoftext|>"))
    assert _learned(ours, row) == "b <|endoftext|><|endoftext|>"
    assert row.ids.count(ours.control_tokens["<|endoftext|>"]) == 2
    with pytest.raises(TemplateError, match="no end-of-text token"):
        Template(json.dumps(parsed), None, {})


def test_plain_text_is_framed_and_all_of_it_learned(
    template: Template, smollm2_folder: Path
) -> None:
    llama2 = Twin(next(f for f in FAMILIES if f.name == "llama2"), smollm2_folder).ours
    text = "The fox </s> and <|im_end|>\n"
    for ours, frame in ((template, "{}<|im_end|>"), (llama2, "<s> {}</s>")):
        [row] = ours.encode_texts([text])
        assert _text(ours, row.ids) == frame.format(text)
        assert row.supervised == [1] * len(row.ids)
        assert row.ids.count(ours.end_ids[0]) == 1
        assert row.cut_at_turn(len(row.ids)) == row
        assert row.cut_at_turn(len(row.ids) - 1) is None


def test_a_byte_that_is_spelled_where_it_would_be_read_as_one_is_refused() -> None:
    vocabulary = [["<unk>", 0.0], ["</s>", 0.0], ["▁", -1.0]]
    vocabulary += [[f"<0x{byte:02X}>", -2.0] for byte in range(256)]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": True}
    added = {"id": 1, "content": "</s>", "special": True, "normalized": False}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    tokenizer = {"version": "1.0", "added_tokens": [added | flags], "model": model}
    ours = Template(json.dumps(tokenizer), None, {"eos_token": "</s>"})
    assert _learned(ours, ours.encode(chat("a", "é"))) == "é</s>"
    with pytest.raises(TemplateError, match="spells a byte"):
        ours.encode(chat("a", "x <0x0A>"))


def test_fingerprints_tell_templates_apart(tokenizer_json: str, smollm2_folder: Path) -> None:
    made = [
        Template.load(smollm2_folder),
        _template(tokenizer_json, _CHATML + _ASKED),
        _template(tokenizer_json, _CHATML + _ASKED, "<more>"),
    ]
    assert len({ours.fingerprint for ours in made}) == 3
    assert Template.load(smollm2_folder).fingerprint == made[0].fingerprint
