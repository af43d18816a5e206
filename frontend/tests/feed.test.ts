// The feed without a browser: a twin of EventSource is driven by hand.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Feed, type History, type Source } from "../src/client/feed";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

class Twin implements Source {
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  private readonly listeners = new Map<string, (event: { data: string }) => void>();

  constructor(readonly after: number) {}

  addEventListener(type: string, listener: (event: { data: string }) => void) {
    this.listeners.set(type, listener);
  }

  close() {
    this.readyState = 2;
  }

  say(seq: number, event: { type: string }) {
    const data = JSON.stringify({ job_id: "ftjob-1", seq, at: "2026-11-24T12:00:00Z", event });
    this.listeners.get(event.type)?.({ data });
  }

  breakOff(how: { forGood: boolean }) {
    this.readyState = how.forGood ? 2 : 0;
    this.onerror?.();
  }
}

function listen(past?: History) {
  const opened: Twin[] = [];
  const feed = new Feed({
    open: (after) => {
      const twin = new Twin(after);
      opened.push(twin);
      return twin;
    },
    now: () => Date.now(),
  });
  if (past !== undefined) feed.fill(past);
  feed.start();
  const heard = () => {
    vi.advanceTimersByTime(100);
    return feed.snapshot();
  };
  const source = (n = 0): Twin => {
    const twin = opened[n];
    if (twin === undefined) throw new Error(`stream ${n} was not opened`);
    return twin;
  };
  return { feed, heard, opened, source };
}

const step = (n: number, loss = 2) => ({
  type: "step" as const,
  step: n,
  total_steps: 9,
  epoch: n / 3,
  loss,
  learning_rate: 1e-4,
  grad_norm: 1,
  trained_tokens: n * 10,
  tokens_per_second: 100,
  eta_seconds: 9 - n,
});
const status = (word: "running" | "succeeded") => ({
  type: "status" as const,
  status: word,
  message: "",
  attempt: 1,
});
const record = (seq: number, event: History["log"]["data"][number]["event"]) => ({
  job_id: "ftjob-1",
  seq,
  at: "2026-11-24T12:00:00Z",
  event,
});

function past(metricsSeq: number, logSeq: number, ...data: History["log"]["data"]): History {
  const steps = [1, 2, 3];
  const of = (value: number) => steps.map(() => value);
  return {
    metrics: {
      last_seq: metricsSeq,
      train: {
        step: steps,
        loss: [3, 2.5, 2],
        learning_rate: of(1e-4),
        grad_norm: of(1),
        tokens_per_second: of(100),
      },
      eval: { step: [0], loss: [3.2], token_accuracy: [0.3] },
    },
    log: { last_seq: logSeq, data },
  };
}

describe("the feed", () => {
  it("is live once the stream is open, and says when it was last heard", () => {
    const { heard, source } = listen();
    expect(heard().link).toBe("connecting");
    source().onopen?.();
    expect(heard().link).toBe("live");
    source().say(1, step(1));
    const saidAt = Date.now();
    expect(heard().heardAt).toBe(saidAt);
  });

  it("leaves the resuming to the browser while the browser still tries", () => {
    const { heard, opened, source } = listen();
    source().onopen?.();
    source().breakOff({ forGood: false });
    expect(heard().link).toBe("broken");
    vi.advanceTimersByTime(60_000);
    expect(opened.length).toBe(1);
    source().onopen?.();
    expect(heard().link).toBe("live");
  });

  it("opens a new stream where the browser gave up, and drops what it heard before", () => {
    const { heard, opened, source } = listen();
    source().onopen?.();
    source().say(1, status("running"));
    source().say(2, step(1));
    source().breakOff({ forGood: true });
    vi.advanceTimersByTime(1_000);
    expect(opened.map(({ after }) => after)).toEqual([0, 2]);
    source(1).onopen?.();
    source(1).say(1, status("running"));
    source(1).say(2, step(1));
    source(1).say(3, step(2));
    expect(heard().curve.step).toEqual([1, 2]);
    expect(heard().log.length).toBe(1);
  });

  it("closes after a terminal status and never opens again", () => {
    const { feed, heard, opened, source } = listen();
    source().onopen?.();
    source().say(1, status("succeeded"));
    expect(source().readyState).toBe(2);
    source().onerror?.();
    vi.advanceTimersByTime(60_000);
    feed.start();
    expect(opened.length).toBe(1);
    expect(heard().link).toBe("ended");
  });

  it("draws a burst once", () => {
    const { feed, heard, source } = listen();
    let draws = 0;
    feed.subscribe(() => draws++);
    for (let n = 1; n <= 1_000; n++) source().say(n, step(n));
    expect(heard().curve.step.length).toBe(1_000);
    expect(draws).toBe(1);
  });
});

describe("the history", () => {
  it("is shown at once, and the stream goes on from the older half without a jump", () => {
    const saved = record(7, {
      type: "saved",
      step: 3,
      trained_tokens: 30,
      folder: "checkpoints/step-3",
      train_loss: 2,
      eval_loss: 3.2,
      eval_token_accuracy: 0.3,
    });
    const { feed, heard, source } = listen(past(6, 7, record(1, status("running")), saved));
    expect(feed.snapshot().curve.step).toEqual([1, 2, 3]);
    expect(feed.snapshot().curve.heldOut.loss).toEqual([3.2]);
    expect(source().after).toBe(6);
    source().say(7, saved.event);
    source().say(8, step(4));
    expect(heard().curve.step).toEqual([1, 2, 3, 4]);
    expect(heard().log.map(({ seq }) => seq)).toEqual([1, 7]);
  });

  it("of an ended job opens no stream", () => {
    const { feed, opened } = listen(past(9, 9, record(9, status("succeeded"))));
    expect(opened.length).toBe(0);
    expect(feed.snapshot().link).toBe("ended");
  });
});
