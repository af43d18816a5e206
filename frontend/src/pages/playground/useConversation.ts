// A conversation with several models: each sees its own answers, all see the same questions.

import { useCallback, useEffect, useRef, useState } from "react";
import {
  type ChatEnd,
  type ChatMessage,
  type ChatSettings,
  chatBody,
  streamChat,
} from "../../client/chat";
import { refreshMe } from "../../client/session";

export interface Answer {
  text: string;
  state: "waiting" | "coming" | "done" | "stopped" | "failed";
  error: Error | null;
  end: ChatEnd | null;
  seconds: number | null;
}

export interface Turn {
  id: number;
  user: string;
  /** What the data says, where the question is a held-out row. */
  wanted: string | null;
  answers: Readonly<Record<string, Answer>>;
}

export interface Question {
  user: string;
  wanted?: string;
  /** A held-out row brings its own turns before it; it starts a conversation anew. */
  before?: readonly ChatMessage[];
}

export interface Conversation {
  turns: readonly Turn[];
  before: readonly ChatMessage[];
  system: string;
  setSystem: (system: string) => void;
  settings: ChatSettings;
  setSettings: (settings: ChatSettings) => void;
  busy: boolean;
  send: (question: Question) => void;
  stop: () => void;
  clear: () => void;
}

const DEFAULTS: ChatSettings = { temperature: 0, topP: 1, maxTokens: 256, seed: null };
const NOTHING: Answer = { text: "", state: "waiting", error: null, end: null, seconds: null };

export function useConversation(models: readonly string[]): Conversation {
  const [turns, setTurns] = useState<readonly Turn[]>([]);
  const [before, setBefore] = useState<readonly ChatMessage[]>([]);
  const [system, setSystem] = useState("");
  const [settings, setSettings] = useState(DEFAULTS);
  const running = useRef(new Set<AbortController>());
  const ids = useRef(0);

  const update = useCallback((turn: number, model: string, change: Partial<Answer>) => {
    setTurns((now) =>
      now.map((one) =>
        one.id === turn
          ? {
              ...one,
              answers: {
                ...one.answers,
                [model]: { ...NOTHING, ...one.answers[model], ...change },
              },
            }
          : one,
      ),
    );
  }, []);

  const stop = useCallback(() => {
    for (const one of running.current) one.abort();
  }, []);
  useEffect(() => stop, [stop]);

  const answer = async (turn: number, model: string, messages: ChatMessage[]) => {
    const control = new AbortController();
    running.current.add(control);
    const started = performance.now();
    const seconds = () => (performance.now() - started) / 1_000;
    let text = "";
    let drawn = 0;
    const draw = () => {
      drawn = 0;
      update(turn, model, { text, state: "coming" });
    };
    try {
      const end = await streamChat(
        chatBody(model, messages, settings),
        (piece) => {
          text += piece;
          // Tokens come faster than a screen shows them: one drawing a frame.
          drawn ||= requestAnimationFrame(draw);
        },
        control.signal,
      );
      cancelAnimationFrame(drawn);
      update(turn, model, { text, state: "done", end, seconds: seconds() });
    } catch (caught) {
      cancelAnimationFrame(drawn);
      const stopped = control.signal.aborted;
      update(turn, model, {
        text,
        state: stopped ? "stopped" : "failed",
        error: stopped ? null : (caught as Error),
        seconds: seconds(),
      });
    } finally {
      running.current.delete(control);
      refreshMe();
    }
  };

  const send = ({ user, wanted, before: own }: Question) => {
    const turn: Turn = {
      id: ++ids.current,
      user,
      wanted: wanted ?? null,
      answers: Object.fromEntries(models.map((model) => [model, NOTHING])),
    };
    const earlier = own === undefined ? turns : [];
    const first = own ?? before;
    setBefore(first);
    setTurns([...earlier, turn]);
    for (const model of models) {
      void answer(turn.id, model, said(system, first, earlier, model, user));
    }
  };

  const clear = () => {
    stop();
    setTurns([]);
    setBefore([]);
  };

  const busy = turns.some((turn) =>
    Object.values(turn.answers).some((one) => one.state === "waiting" || one.state === "coming"),
  );
  return { turns, before, system, setSystem, settings, setSettings, busy, send, stop, clear };
}

/** What one model is told: a turn that it did not answer is left out, so that roles alternate. */
export function said(
  system: string,
  before: readonly ChatMessage[],
  turns: readonly Turn[],
  model: string,
  user: string,
): ChatMessage[] {
  const own = before.some((message) => message.role === "system");
  const messages: ChatMessage[] =
    system.trim() === "" || own ? [] : [{ role: "system", content: system }];
  messages.push(...before);
  for (const turn of turns) {
    const answer = turn.answers[model];
    if (answer === undefined || answer.text === "") continue;
    messages.push(
      { role: "user", content: turn.user },
      { role: "assistant", content: answer.text },
    );
  }
  messages.push({ role: "user", content: user });
  return messages;
}
