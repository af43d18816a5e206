"""The order of turns that chat templates accept: checked, and repaired where nothing is guessed.

A conversation may start with one system turn, then the user speaks, and neither user nor assistant
speaks twice in a row; the last word is the assistant's. What a repair moves, joins or drops is said
in its finding, and done only once a person has accepted it.
"""

from collections.abc import Sequence

from api.rows.findings import Findings
from api.rows.turns import Turn
from api.rows.words import Message
from api.rows.words import ProblemCode as Code


def conversation(found: Findings, turns: list[Turn], field: str) -> list[Turn]:
    """Turns that end with an answer. `field` is where they stand, for what they lack together."""
    last_said = turns[-1][1]
    if last_said.role == "assistant" and last_said.weight and _alternate(turns):
        return turns  # as nearly all are; where turns alternate, somebody asked
    turns = _opening(found, turns)
    if not _has_answer(found, turns, field) or not _has_question(found, turns, field):
        return turns
    last = len(turns) - 1
    while turns[last][1].role != "assistant":
        last -= 1
    if last < len(turns) - 1:
        dropped = len(turns) - 1 - last
        says = f"has no answer after it. The repair drops {_turns(dropped)} from here to the end."
        found.repair(Code.TRAILING_QUESTION, turns[last + 1][0], says)
    return turns[: last + 1]


def _opening(found: Findings, turns: list[Turn]) -> list[Turn]:
    """Turns that start well and alternate, whoever speaks last: a conversation, or a prompt."""
    if _alternate(turns):
        return turns
    return _merged(found, _question_first(found, _system_first(found, turns)))


def prompt(found: Findings, turns: list[Turn], field: str) -> list[Turn]:
    """What both answers of a pair follow, so it must end where an answer is due."""
    turns = _opening(found, turns)
    if _has_question(found, turns, field) and turns[-1][1].role == "assistant":
        says = "is the assistant's, and so are the answers after it. End with the user's turn."
        found.about(Code.SAME_ROLE_TWICE, turns[-1][0], says)
    return turns


def side(found: Findings, turns: list[Turn], field: str) -> list[Turn]:
    """One answer of a pair: it may call tools and go on over several turns."""
    for place, message in turns:
        if message.role == "system":
            says = "is a system turn in an answer. Move it to the start of the prompt."
            found.about(Code.SYSTEM_NOT_FIRST, place, says)
    turns = _merged(found, turns)
    if not _has_answer(found, turns, field):
        return turns
    if turns[0][1].role != "assistant":
        says = "comes before the answer. Move it to the prompt."
        found.about(Code.WRONG_TYPE, turns[0][0], says)
    if turns[-1][1].role != "assistant":
        says = f"ends with a {turns[-1][1].role} turn. End with the answer."
        found.about(Code.LAST_TURN_NOT_ASSISTANT, field, says)
    return turns


def _has_question(found: Findings, turns: list[Turn], field: str) -> bool:
    if any(message.role == "user" for _, message in turns):
        return True
    found.about(Code.EMPTY_QUESTION, field, "asks nothing. Add the user's turn.")
    return False


def _has_answer(found: Findings, turns: list[Turn], field: str) -> bool:
    answers = [message for _, message in turns if message.role == "assistant"]
    if not answers:
        says = "has no answer of the assistant, so there is nothing to learn. Add the answer."
        found.about(Code.NO_ANSWER, field, says)
    elif not any(message.weight for message in answers):
        says = "has weight 0 on every answer, so there is nothing to learn. Give one weight 1."
        found.about(Code.NOTHING_SUPERVISED, field, says)
    else:
        return True
    return False


def _alternate(turns: list[Turn]) -> bool:
    """Whether there is nothing to repair, which is so for nearly every row."""
    before = "start"
    for _, message in turns:
        role = message.role
        if role == before and role != "tool":
            return False
        if role == "system" and before != "start":
            return False
        if before in {"start", "system"} and role in {"assistant", "tool"}:
            return False
        before = role
    return True


def _system_first(found: Findings, turns: list[Turn]) -> list[Turn]:
    head = 0
    while head < len(turns) and turns[head][1].role == "system":
        head += 1
    later = [turn for turn in turns[head:] if turn[1].role == "system"]
    for place, _ in later:
        says = (
            "is a system turn later than the first. The repair moves it to the start, a blank line "
            "after what stands there."
        )
        found.repair(Code.SYSTEM_NOT_FIRST, place, says)
    for place, _ in turns[1:head]:
        found.repair(Code.SAME_ROLE_TWICE, place, _joins("system"))
    systems = [*turns[:head], *later]
    if not systems:
        return turns
    place, first = systems[0]
    text = _joined([message.content for _, message in systems])
    others = [turn for turn in turns if turn[1].role != "system"]
    return [(place, first.model_copy(update={"content": text})), *others]


def _question_first(found: Findings, turns: list[Turn]) -> list[Turn]:
    head = 1 if turns[0][1].role == "system" else 0
    users = [i for i, (_, message) in enumerate(turns) if message.role == "user"]
    first = users[0] if users else head
    if first > head:
        says = f"comes before any question. The repair drops {_turns(first - head)} from here on."
        found.repair(Code.LEADING_ANSWER, turns[head][0], says)
    return turns[:head] + turns[first:]


def _merged(found: Findings, turns: list[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for place, message in turns:
        role = message.role
        if not merged or merged[-1][1].role != role or role in {"tool", "system"}:
            merged.append((place, message))
        elif (joined := _merge(merged[-1][1], message)) is not None:
            found.repair(Code.SAME_ROLE_TWICE, place, _joins(role))
            merged[-1] = (merged[-1][0], joined)
        else:
            says = (
                f"follows another {role} turn, and they differ in weight or name, or would change "
                "their order when joined. Join them, or add the turn that is missing between."
            )
            found.about(Code.SAME_ROLE_TWICE, place, says)
            merged.append((place, message))
    return merged


def _merge(first: Message, second: Message) -> Message | None:
    """One turn of both, where that keeps everything and its order: thoughts, text, calls."""
    if (first.weight, first.name) != (second.weight, second.name):
        return None
    if first.tool_calls and (second.content or second.reasoning):
        return None
    if first.content and second.reasoning:
        return None
    update = {
        "content": _joined([first.content, second.content]),
        "reasoning": _joined([first.reasoning, second.reasoning]),
        "tool_calls": first.tool_calls + second.tool_calls,
    }
    return first.model_copy(update=update)


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(text for text in texts if text)


def _joins(role: str) -> str:
    return f"follows another {role} turn. The repair joins the two with a blank line between them."


def _turns(count: int) -> str:
    return "the one turn" if count == 1 else f"the {count:,} turns"
