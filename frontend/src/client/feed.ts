// One job's event stream, kept alive. The browser resumes a dropped stream by itself and sends
// Last-Event-ID; where it gives up, we open a new one, and `seq` drops what was already heard.

import { addHeldOut, addLoss, type Curve, emptyCurve } from "./curve";
import {
  EVENT_TYPES,
  type EventRecord,
  isTerminal,
  type JobEvent,
  type SampleEvent,
  type StepEvent,
} from "./wire";

/** connecting: nothing heard yet. broken: was heard, is being resumed. ended: nothing more comes. */
export type Link = "connecting" | "live" | "broken" | "ended";

export type LogRecord = EventRecord<Exclude<JobEvent, StepEvent | SampleEvent>>;

export interface Heard {
  readonly link: Link;
  readonly heardAt: number | null;
  readonly lastStep: StepEvent | null;
  readonly log: readonly LogRecord[];
  readonly samples: readonly EventRecord<SampleEvent>[];
  readonly curve: Curve;
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
  open: (url: string) => Source;
  now: () => number;
}

const CLOSED = 2;
const FLUSH_MS = 80;
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

export const SILENCE: Heard = {
  link: "connecting",
  heardAt: null,
  lastStep: null,
  log: [],
  samples: [],
  curve: emptyCurve(),
};

export class Feed {
  private heard: Heard = { ...SILENCE, curve: emptyCurve() };
  private shown: Heard = this.heard;
  private source: Source | null = null;
  private seq = 0;
  private failures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private flush: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly url: string,
    private readonly around: Surroundings,
  ) {}

  start(): void {
    if (this.heard.link === "ended") return;
    const source = this.around.open(this.url);
    this.source = source;
    source.onopen = () => {
      if (this.heard.link === "ended") return;
      this.failures = 0;
      this.update({ link: "live", heardAt: this.around.now() });
    };
    source.onerror = () => this.broke(source);
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, (message) => this.take(message.data));
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
    if (record.event.type === "status" && isTerminal(record.event.status)) {
      this.source?.close();
      this.update({ link: "ended" });
    }
  }

  private absorb(record: EventRecord): Partial<Heard> {
    const { event } = record;
    switch (event.type) {
      case "step":
        addLoss(this.heard.curve, event.step, event.loss);
        return { lastStep: event };
      case "sample":
        return { samples: [...this.heard.samples, record as EventRecord<SampleEvent>] };
      case "eval":
        addHeldOut(this.heard.curve, event.step, event.loss);
        return { log: [...this.heard.log, record as LogRecord] };
      default:
        return { log: [...this.heard.log, record as LogRecord] };
    }
  }

  /** A history of ten thousand steps arrives at once: draw a few times a second, not each time. */
  private update(change: Partial<Heard>): void {
    this.heard = { ...this.heard, ...change };
    this.flush ??= setTimeout(() => {
      this.flush = undefined;
      this.shown = this.heard;
      for (const listener of this.listeners) listener();
    }, FLUSH_MS);
  }
}
