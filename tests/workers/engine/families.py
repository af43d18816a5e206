"""Chat templates in the style of a dozen model families, each over a tokenizer of its kind.

The templates are written here and only resemble the families': where the turns' tokens stand, what
is trimmed, who refuses what. The tokenizers are SmolLM2's real one with other control tokens, and
small ones trained on the spot.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from api.rows.words import Message
from workers.engine.template import Conversation, Template

_CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then it sleeps for 12 hours.",
    "A model answers questions about weather, travel, food and 3,407 other things.",
    'Tools are called with {"city": "Paris", "days": 5} and give {"sky": "clear"} back.',
    "Ein kleiner Satz auf Deutsch, une phrase en français, 一句中文。",
    "user assistant system model tool think name arguments function parameters type string",
] * 40
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@dataclass(frozen=True)
class Family:
    name: str
    template: str
    tokenizer: Callable[[Path], Tokenizer]
    controls: Sequence[str] = ()
    words: Sequence[str] = ()  # added tokens that are not special
    eats: Sequence[str] = ()  # control tokens that eat the white space after them
    special: dict[str, str] = field(default_factory=dict)
    end: str = ""
    system: bool = True
    tools: str | None = None  # how arguments are given
    reasoning: bool = False
    closes: bool = True  # false: nothing ends a last answer


def byte_level() -> tuple[Any, Any]:
    split = pre_tokenizers.Split(Regex(_LLAMA3_SPLIT), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, level]), decoders.ByteLevel()


@functools.cache
def _llama3_like() -> str:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer, tokenizer.decoder = byte_level()
    trainer = BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return str(tokenizer.to_str())


@functools.cache
def _with_byte_fallback() -> dict[str, Any]:
    """BPE over words that start with ▁, with a token for each byte."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = BpeTrainer(
        vocab_size=900, special_tokens=["<unk>", "<s>", "</s>", *_BYTES], show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    parsed: dict[str, Any] = json.loads(tokenizer.to_str())
    parsed["added_tokens"] = parsed["added_tokens"][:3]
    parsed["pre_tokenizer"] = None
    last = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}]
    steps += [{"type": "ByteFallback"}, {"type": "Fuse"}, last]  # type: ignore[list-item]
    parsed["decoder"] = {"type": "Sequence", "decoders": steps}
    return parsed


def _llama2_like(_: Path) -> Tokenizer:
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [{"type": "Prepend", "prepend": "▁"}, spaces]
    normalizer = {"type": "Sequence", "normalizers": steps}
    tokenizer = Tokenizer.from_str(json.dumps(_with_byte_fallback() | {"normalizer": normalizer}))
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def _mistral_like(_: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(_with_byte_fallback()))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return tokenizer


def _gemma_like(_: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(_with_byte_fallback()))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("▁▁▁▁")])
    return tokenizer


def small_tokenizer(*controls: str) -> str:
    """A byte-level tokenizer that loads in no time."""
    tokenizer = Tokenizer.from_str(_llama3_like())
    tokenizer.add_special_tokens(list(controls))
    return str(tokenizer.to_str())


def _llama3_tokenizer(_: Path) -> Tokenizer:
    return Tokenizer.from_str(_llama3_like())


def _smollm2_tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_HERMES_TOOLS = """
{%- macro calls(m) -%}
{%- for c in m.tool_calls -%}
{%- if c.function %}{% set c = c.function %}{% endif -%}
{{- '\n<tool_call>\n{"name": "' ~ c.name ~ '", "arguments": ' ~ (c.arguments | tojson) ~
   '}\n</tool_call>' -}}
{%- endfor -%}
{%- endmacro -%}
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{% endif %}
    {{- '# Tools\n<tools>' }}
    {%- for tool in tools %}{{- '\n' ~ (tool | tojson) }}{% endfor %}
    {{- '\n</tools><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
"""
QWEN25 = (
    _HERMES_TOOLS
    + """
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
    {%- elif m.role == 'assistant' and not m.tool_calls %}
        {{- '<|im_start|>assistant\n' + m.content + '<|im_end|>\n' }}
    {%- elif m.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if m.content %}{{- '\n' + m.content }}{% endif %}
        {{- calls(m) + '<|im_end|>\n' }}
    {%- elif m.role == 'tool' %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + m.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}
"""
)
QWEN3 = (
    _HERMES_TOOLS
    + """
{%- set ns = namespace(looking=true, last=messages | length - 1) %}
{%- for m in messages[::-1] %}
    {%- if ns.looking and m.role == 'user' and not (m.content.startswith('<tool_response>')
        and m.content.endswith('</tool_response>')) %}
        {%- set ns.looking = false %}
        {%- set ns.last = messages | length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- set content = m.content if m.content is string else '' %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif m.role == 'assistant' %}
        {%- set thoughts = '' %}
        {%- if m.reasoning_content is string %}
            {%- set thoughts = m.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > ns.last and (loop.last or thoughts) %}
            {{- '<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- calls(m) + '<|im_end|>\n' }}
    {%- elif m.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + content + '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""
)
LLAMA2 = """
{%- if messages[0].role == 'system' %}
    {%- set turns = messages[1:] %}
    {%- set lead = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}
{%- else %}
    {%- set turns = messages %}
    {%- set lead = '' %}
{%- endif %}
{%- for m in turns %}
    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- set content = lead + m.content if loop.first else m.content %}
    {%- if m.role == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
        {{- ' ' + content.strip() + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}
"""
LLAMA3 = """
{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set opening = messages[0].content | trim %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set opening = '' %}
    {%- set turns = messages %}
{%- endif %}
{%- if opening or tools is not none %}
    {{- '<|start_header_id|>system<|end_header_id|>\n\n' + opening }}
    {%- if tools is not none %}
        {{- '\n\nCall one of these:\n\n' }}
        {%- for tool in tools %}{{- tool | tojson(indent=4) }}{{- '\n\n' }}{% endfor %}
    {%- endif %}
    {{- '<|eot_id|>' }}
{%- endif %}
{%- for m in turns %}
    {%- if not (m.role == 'ipython' or m.role == 'tool' or 'tool_calls' in m) %}
        {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim
            + '<|eot_id|>' }}
    {%- elif 'tool_calls' in m %}
        {%- if not m.tool_calls | length == 1 %}{{ raise_exception('one call a turn') }}{% endif %}
        {%- set call = m.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + call.name + '", ' }}
        {{- '"parameters": ' + (call.arguments | tojson) + '}<|eot_id|>' }}
    {%- else %}
        {{- '<|start_header_id|>ipython<|end_header_id|>\n\n' }}
        {{- m.content | tojson if m.content is mapping else m.content }}
        {{- '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
MISTRAL = """
{{- bos_token }}
{%- set asked = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {%- if tools is not none and m == asked[-1] %}
            {{- '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' + m.content + '[/INST]' }}
    {%- elif m.tool_calls is defined and m.tool_calls is not none %}
        {{- '[TOOL_CALLS] [' }}
        {%- for c in m.tool_calls %}
            {%- if c.id is not defined or c.id | length != 9 %}
                {{- raise_exception('ids have nine letters') }}
            {%- endif %}
            {%- set out = c.function | tojson %}
            {{- out[:-1] }}{{- ', "id": "' + c.id + '"}' }}
            {{- ', ' if not loop.last else ']' + eos_token }}
        {%- endfor %}
    {%- elif m.role == 'assistant' %}
        {{- ' ' + m.content + eos_token }}
    {%- elif m.role == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' + (m.content | tojson) + ', "call_id": "' }}
        {{- m.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception('only user, assistant and tool') }}
    {%- endif %}
{%- endfor %}
"""
GEMMA = """
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set lead = messages[0]['content'] + '\n\n' %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set lead = '' %}
    {%- set turns = messages %}
{%- endif %}
{%- for m in turns %}
    {%- set role = 'model' if m['role'] == 'assistant' else m['role'] %}
    {{- '<start_of_turn>' + role + '\n' + (lead if loop.first else '') + m['content'] | trim
        + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{% endif %}
"""
PHI = """
{%- for m in messages %}{{- '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{% endif %}
"""
GLM = """
{{- '[gMASK]<sop>' }}
{%- for m in messages %}{{- '<|' + m.role + '|>\n' + m.content }}{% endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{% endif %}
"""
DEEPSEEK3 = """
{%- set ns = namespace(system='', in_tool=false) %}
{%- for m in messages %}
    {%- if m['role'] == 'system' %}
        {%- set ns.system = ns.system + '\n\n' + m['content'] if ns.system else m['content'] %}
    {%- endif %}
{%- endfor %}
{{- bos_token + ns.system }}
{%- if tools %}{{- '\n\n' + (tools | tojson(indent=2)) }}{% endif %}
{%- for m in messages %}
    {%- if m['role'] == 'user' %}
        {{- '<｜User｜>' + m['content'] }}
    {%- elif m['role'] == 'assistant' and m['tool_calls'] %}
        {{- '<｜Assistant｜>' + m['content'] + '<｜tool▁calls▁begin｜>' }}
        {%- for c in m['tool_calls'] %}
            {{- '<｜tool▁call▁begin｜>' + c['type'] + '<｜tool▁sep｜>' + c['function']['name'] }}
            {{- '\n```json\n' + c['function']['arguments'] + '\n```<｜tool▁call▁end｜>' }}
        {%- endfor %}
        {{- '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}
    {%- elif m['role'] == 'assistant' %}
        {%- if ns.in_tool %}{{- m['content'] }}{% else %}{{- '<｜Assistant｜>' + m['content'] }}
        {%- endif %}
        {{- '<｜end▁of▁sentence｜>' }}
        {%- set ns.in_tool = false %}
    {%- elif m['role'] == 'tool' %}
        {%- set ns.in_tool = true %}
        {{- '<｜tool▁output▁begin｜>' + m['content'] + '<｜tool▁output▁end｜>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt and not ns.in_tool %}{{- '<｜Assistant｜>' }}{% endif %}
"""
DEEPSEEK2 = """
{{- bos_token }}
{%- for m in messages %}
    {%- if m.role == 'user' %}{{- 'User: ' + m.content + '\n\n' }}
    {%- elif m.role == 'assistant' %}{{- 'Assistant: ' + m.content + eos_token }}
    {%- else %}{{- m.content + '\n\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'Assistant:' }}{% endif %}
"""
BAICHUAN = """
{%- for m in messages %}
    {%- if m.role == 'system' %}{{- m.content }}
    {%- elif m.role == 'user' %}{{- '<reserved_106>' + m.content }}
    {%- else %}{{- '<reserved_107>' + m.content + eos_token }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<reserved_107>' }}{% endif %}
"""

_SENTENCES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_IM = {"eos_token": "<|im_end|>"}
_HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_THINK = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>")
_DEEPSEEK_CALLS = tuple(
    f"<｜tool▁{name}｜>"
    for name in (
        "calls▁begin", "call▁begin", "sep", "call▁end", "calls▁end", "output▁begin", "output▁end",
    )
)  # fmt: skip
_MISTRAL_TOKENS = tuple(
    f"[{slash}{name}]"
    for name in ("INST", "AVAILABLE_TOOLS", "TOOL_RESULTS")
    for slash in ("", "/")
)

FAMILIES = [
    Family("smollm2", "", _smollm2_tokenizer, end="<|im_end|>", special=_IM),
    Family(
        "yi", CHATML, _llama3_tokenizer,
        controls=("<|im_start|>", "<|im_end|>"), end="<|im_end|>", special=_IM,
    ),
    Family(
        "qwen2.5", QWEN25, _smollm2_tokenizer,
        words=_THINK[2:], special=_IM, end="<|im_end|>", tools="mapping",
    ),
    Family(
        "qwen3", QWEN3, _llama3_tokenizer,
        controls=("<|im_start|>", "<|im_end|>"), words=_THINK, special=_IM,
        end="<|im_end|>", tools="mapping", reasoning=True,
    ),
    Family("llama2", LLAMA2, _llama2_like, special=_SENTENCES, end="</s>"),
    Family(
        "llama3", LLAMA3, _llama3_tokenizer,
        controls=_HEADERS,
        special={"bos_token": _HEADERS[0], "eos_token": _HEADERS[3]},
        end="<|eot_id|>", tools="mapping",
    ),
    Family(
        "mistral", MISTRAL, _mistral_like,
        controls=(*_MISTRAL_TOKENS, "[TOOL_CALLS]"), special=_SENTENCES, end="</s>", system=False,
        tools="mapping",
    ),
    Family(
        "gemma", GEMMA, _gemma_like,
        controls=("<start_of_turn>", "<end_of_turn>"), special=_SENTENCES, end="<end_of_turn>",
    ),
    Family(
        "phi3", PHI, _llama2_like,
        controls=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        eats=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        special=_SENTENCES, end="<|end|>",
    ),
    Family(
        "glm4", GLM, _llama3_tokenizer,
        controls=("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>", "<|endoftext|>"),
        special={"eos_token": "<|endoftext|>"}, end="<|endoftext|>", closes=False,
    ),
    Family(
        "deepseek3", DEEPSEEK3, _llama3_tokenizer,
        controls=("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        words=("<｜User｜>", "<｜Assistant｜>", *_DEEPSEEK_CALLS),
        special={"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
        end="<｜end▁of▁sentence｜>", tools="text",
    ),
    Family("deepseek2", DEEPSEEK2, _gemma_like, special=_SENTENCES, end="</s>"),
    Family(
        "baichuan", BAICHUAN, _mistral_like,
        controls=("<reserved_106>", "<reserved_107>"), special=_SENTENCES, end="</s>",
    ),
]  # fmt: skip
NAMES = [family.name for family in FAMILIES]


class Twin:
    """Our template and transformers' tokenizer of one family."""

    def __init__(self, family: Family, smollm2_folder: Path) -> None:
        self.family = family
        tokenizer = family.tokenizer(smollm2_folder)
        eats = set(family.eats)
        tokenizer.add_special_tokens(
            [AddedToken(token, rstrip=token in eats, normalized=False) for token in family.controls]
        )
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in family.words])
        self.tokenizer_json = str(tokenizer.to_str())
        own = (smollm2_folder / "chat_template.jinja").read_text(encoding="utf-8")
        self.source = family.template or own
        self.ours = Template(self.tokenizer_json, self.source, dict(family.special))
        self.theirs: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=Tokenizer.from_str(self.tokenizer_json), **family.special
        )
        self.theirs.chat_template = self.source

    def ids(self, conversation: Conversation, *, prompt: bool = False) -> list[int]:
        """What transformers gives, with the end that we add where a template leaves it out."""
        ids: list[int] = self._apply(conversation, prompt=prompt, tokenize=True, return_dict=False)
        open_end = not prompt and not self.family.closes
        if open_end and conversation.messages[-1].role == "assistant":
            return [*ids, self.ours.control_tokens[self.family.end]]
        return ids

    def text(self, conversation: Conversation, *, prompt: bool = False) -> str:
        text: str = self._apply(conversation, prompt=prompt, tokenize=False)
        return text

    def _apply(self, conversation: Conversation, *, prompt: bool, **options: Any) -> Any:
        return self.theirs.apply_chat_template(
            [self._turn(message) for message in conversation.messages],
            tools=json.loads(conversation.tools) if conversation.tools else None,
            add_generation_prompt=prompt,
            enable_thinking=conversation.thinking,
            thinking=conversation.thinking,
            **options,
        )

    def _turn(self, message: Message) -> dict[str, Any]:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.reasoning:
            turn["reasoning_content"] = message.reasoning
        if message.tool_call_id:
            turn["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            as_text = self.family.tools == "text"
            turn["tool_calls"] = [
                {
                    "type": "function",
                    "id": call.id,
                    "function": {
                        "name": call.name,
                        "arguments": call.arguments if as_text else json.loads(call.arguments),
                    },
                }
                for call in message.tool_calls
            ]
        return turn


def expected_end(twin: Twin, conversation: Conversation) -> str:
    """What the last answer's turn says, from the prompt's end to the token that ends it."""
    whole = twin.text(conversation)
    asked = Conversation(conversation.messages[:-1], conversation.tools, conversation.thinking)
    prompt = twin.text(asked, prompt=True)
    assert whole.startswith(prompt)
    answer, end, _ = (whole + twin.family.end)[len(prompt) :].rpartition(twin.family.end)
    if twin.family.closes:
        answer, end, _ = whole[len(prompt) :].rpartition(twin.family.end)
    return answer + end
