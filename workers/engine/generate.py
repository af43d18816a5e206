"""Tokens out, one at a time: a sampling loop of our own over the model's cache.

The adapter is lent to the base only while a token is computed, so between two tokens the base may
serve other adapters and other chats.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from workers.engine.lora import LoraAdapter
from workers.engine.model import Base


def generate(
    base: Base,
    adapter: LoraAdapter | None,
    prompt_ids: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop_ids: Sequence[int] = (),
) -> Iterator[int]:
    """Yield up to `max_tokens` ids; an id of `stop_ids` ends the answer and is not yielded.

    Temperature 0 is greedy. The same seed on the same machine gives the same answer.
    """
    random = torch.Generator().manual_seed(seed)
    cache = DynamicCache(config=base.model.config)
    following = torch.tensor([list(prompt_ids)], device=base.device)
    for _ in range(max_tokens):
        with torch.inference_mode(), base.lend(adapter):
            output = base.backbone(input_ids=following, cache=cache, use_cache=True)
            logits = base.head(output.last_hidden_state[0, -1:])[0].float().cpu()
        token = choose(logits, temperature=temperature, top_p=top_p, random=random)
        if token in stop_ids:
            return
        yield token
        following = torch.tensor([[token]], device=base.device)


def choose(logits: Tensor, *, temperature: float, top_p: float, random: torch.Generator) -> int:
    """One token: the likeliest, or drawn from the likeliest that share `top_p` of the mass."""
    if temperature <= 0:
        return int(logits.argmax())
    shares = torch.softmax(logits / temperature, -1)
    if top_p < 1:
        ordered, order = shares.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= top_p  # the first always stays
        shares[order[outside]] = 0
    return int(torch.multinomial(shares, 1, generator=random))
