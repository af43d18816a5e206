// One job's events, kept alive: its history as a whole, then the stream from there. The browser
// resumes a dropped stream by itself and sends Last-Event-ID; where it gives up, we open a new one,
// and `seq` drops what was already heard.

import { Curve } from "./curve";
import type { Schemas } from "./http";

type Event = Schemas["Record"]["event"];
type Kind = Event["type"];
/** An event in its place: `seq` orders a job's life and is the id on the stream. */
export type EventRecord<K extends Kind = Kind> = Omit<Schemas["Record"], "event"> & {
  event: Extract<Event, { type: K }>;
};
export type LogRecord = EventRecord<Exclude<Kind, "step" | "sample">>;

/** connecting: nothing heard yet. broken: was heard, is being resumed. ended: nothing more comes. */
export type Link = "connecting" | "live" | "broken" | "ended";

export interface Heard {
  readonly link: Link;
  readonly heardAt: number | null;
  readonly lastStep: EventRecord<"step">["event"] | null;
  readonly log: readonly LogRecord[];
  readonly samples: readonly EventRecord<"sample">[];
  readonly curve: Curve;
  /** Another number whenever the curve has grown in place. */
  readonly drawn: number;
}

/** What happened before, whole: measures in columns and every other event as it was. */
export interface History {
  metrics: Pick<Schemas["Metrics"], "last_seq" | "train" | "eval">;
  log: { last_seq: number; data: readonly EventRecord[] };
}

/** What we use of EventSource; tests bring a twin. */
export interface Source {
  readyState: number;
  onopen: (() => void) | null;
  onerror: (() => void) | null;
  addEventListener(type: string, listener: (event: { data: string }) => void): void;
  close(): void;
}

export interface Surroundings {
  open: (after: number) => Source;
  now: () => number;
}

const KINDS: readonly Kind[] = ["status", "step", "eval", "sample", "saved", "notice"];
const CLOSED = 2;
const FLUSH_MS = 80;
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

function silence(): Heard {
  return {
    link: "connecting",
    heardAt: null,
    lastStep: null,
    log: [],
    samples: [],
    curve: new Curve(),
    drawn: 0,
  };
}

export class Feed {
  private heard: Heard = silence();
  private shown: Heard = this.heard;
  private source: Source | null = null;
  private seq = 0;
  private failures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private flush: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly around: Surroundings) {}

  /** Begins with what is past. The two halves were asked for apart: the older one says how far. */
  fill({ metrics, log }: History): void {
    this.heard = { ...silence(), drawn: this.heard.drawn };
    this.seq = Math.min(metrics.last_seq, log.last_seq);
    const { curve } = this.heard;
    const { train } = metrics;
    for (let n = 0; n < train.step.length; n++) {
      curve.add({
        step: train.step[n] ?? 0,
        loss: train.loss[n] ?? Number.NaN,
        learning_rate: train.learning_rate[n] ?? Number.NaN,
        grad_norm: train.grad_norm[n] ?? Number.NaN,
        tokens_per_second: train.tokens_per_second[n] ?? Number.NaN,
      });
    }
    metrics.eval.step.forEach((step, n) => {
      const { loss, token_accuracy } = metrics.eval;
      curve.addHeldOut(step, loss[n] ?? Number.NaN, token_accuracy[n] ?? Number.NaN);
    });
    const past = log.data.filter((record) => record.seq <= this.seq);
    this.update({
      log: past.filter(isLogged),
      samples: past.filter(isSample),
      link: past.some(isEnd) ? "ended" : "connecting",
      drawn: this.heard.drawn + 1,
    });
    this.show();
  }

  start(): void {
    if (this.heard.link === "ended") return;
    const source = this.around.open(this.seq);
    this.source = source;
    source.onopen = () => {
      if (this.heard.link === "ended") return;
      this.failures = 0;
      this.update({ link: "live", heardAt: this.around.now() });
    };
    source.onerror = () => this.broke(source);
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => this.take(message.data));
    }
  }

  stop(): void {
    this.source?.close();
    this.source = null;
    clearTimeout(this.retry);
    clearTimeout(this.flush);
    this.flush = undefined;
  }

  snapshot = (): Heard => this.shown;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private broke(source: Source): void {
    if (source !== this.source || this.heard.link === "ended") return;
    this.update({ link: "broken" });
    if (source.readyState !== CLOSED) return;
    source.close();
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.retry = setTimeout(() => this.start(), wait);
  }

  private take(data: string): void {
    const record = JSON.parse(data) as EventRecord;
    if (record.seq <= this.seq) return;
    this.seq = record.seq;
    this.update({ link: "live", heardAt: this.around.now(), ...this.absorb(record) });
    if (isEnd(record)) {
      this.source?.close();
      this.update({ link: "ended" });
    }
  }

  private absorb(record: EventRecord): Partial<Heard> {
    const { event } = record;
    const { curve } = this.heard;
    if (event.type === "step") {
      curve.add(event);
      return { lastStep: event, drawn: this.heard.drawn + 1 };
    }
    if (event.type === "eval") curve.addHeldOut(event.step, event.loss, event.token_accuracy);
    if (isSample(record)) return { samples: [...this.heard.samples, record] };
    if (!isLogged(record)) return {};
    const drawn = event.type === "eval" ? this.heard.drawn + 1 : this.heard.drawn;
    return { log: [...this.heard.log, record], drawn };
  }

  /** A history of ten thousand steps arrives at once: show it a few times a second, not each time. */
  private update(change: Partial<Heard>): void {
    this.heard = { ...this.heard, ...change };
    this.flush ??= setTimeout(() => this.show(), FLUSH_MS);
  }

  private show(): void {
    clearTimeout(this.flush);
    this.flush = undefined;
    this.shown = this.heard;
    for (const listener of this.listeners) listener();
  }
}

function isSample(record: EventRecord): record is EventRecord<"sample"> {
  return record.event.type === "sample";
}

function isLogged(record: EventRecord): record is LogRecord {
  return record.event.type !== "step" && record.event.type !== "sample";
}

function isEnd({ event }: EventRecord): boolean {
  return (
    event.type === "status" &&
    (event.status === "succeeded" || event.status === "failed" || event.status === "cancelled")
  );
}
