"""A base model's own chat template: conversations in, token ids and what is learned out.

The same code encodes training rows, chat prompts and previews. No torch and no transformers, so a
CPU worker encodes whole files. What a user writes never becomes a control token.

`shapes` marks a conversation's texts, `sandbox` and `marks` render the marks and note what the
template looked at, `layout` finds where answers start and end, `plan` makes that ready to be
filled, `tokens` knows the tokenizer, and `template` puts it together: one plan serves all
conversations of a shape.
"""

from workers.engine.template.sandbox import TEMPLATE_DATE
from workers.engine.template.template import ENCODING_VERSION, Template
from workers.engine.template.words import Conversation, EncodedRow, TemplateError

__all__ = [
    "ENCODING_VERSION",
    "TEMPLATE_DATE",
    "Conversation",
    "EncodedRow",
    "Template",
    "TemplateError",
]
