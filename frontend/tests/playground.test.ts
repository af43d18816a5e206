// What models are told, and how their answers are read from the stream.

import { expect, test } from "vitest";
import { EventLines } from "../src/client/chat";
import { questionOf } from "../src/pages/playground/HeldOut";
import { said, type Turn } from "../src/pages/playground/useConversation";

const answered = (text: string) => ({
  text,
  state: "done" as const,
  error: null,
  end: null,
  seconds: 1,
});

test("events are read whole, wherever the network cuts them", () => {
  const stream = 'data: {"a":1}\n\ndata: {"b":"x"}\n\n: beat\n\ndata: [DONE]\n\n';
  for (let cut = 0; cut <= stream.length; cut++) {
    const lines = new EventLines();
    const heard = [...lines.take(stream.slice(0, cut)), ...lines.take(stream.slice(cut))];
    expect(heard).toEqual(['{"a":1}', '{"b":"x"}', "[DONE]"]);
  }
});

test("each model hears its own answers and everybody's questions", () => {
  const turns: Turn[] = [
    { id: 1, user: "one", wanted: null, answers: { a: answered("A1"), b: answered("B1") } },
    { id: 2, user: "two", wanted: null, answers: { b: answered("B2") } },
  ];
  expect(said("Be kind.", [], turns, "a", "three")).toEqual([
    { role: "system", content: "Be kind." },
    { role: "user", content: "one" },
    { role: "assistant", content: "A1" },
    { role: "user", content: "three" },
  ]);
  expect(said(" ", [], turns, "b", "three").map((message) => message.content)).toEqual([
    "one",
    "B1",
    "two",
    "B2",
    "three",
  ]);
});

test("a row's own system message stands instead of the field's", () => {
  const before = [{ role: "system" as const, content: "own" }];
  expect(said("field", before, [], "a", "q")).toEqual([...before, { role: "user", content: "q" }]);
});

test("a held-out row is asked up to its last answer", () => {
  const row = [
    { role: "system" as const, content: "s" },
    { role: "user" as const, content: "u1" },
    { role: "assistant" as const, content: "a1" },
    { role: "user" as const, content: "u2" },
    { role: "assistant" as const, content: "a2" },
  ];
  expect(questionOf(row)).toEqual({ user: "u2", before: row.slice(0, 3), wanted: "a2" });
  expect(questionOf([{ role: "assistant", content: "text only" }])).toBeNull();
  expect(questionOf([])).toBeNull();
});
