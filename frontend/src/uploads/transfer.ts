// One upload's life, without a page: create, send what is missing (two parts at a time), complete;
// pause and go on, wait where the network or the service is away. It draws nothing.

import { Refused, type Schemas } from "../client/http";
import type { Kept } from "./kept";
import { partAt, partBytesFor, partCount, Speed, usable } from "./parts";
import { type Patience, patience } from "./patience";

/**
 * queued: others go first. waiting: tries again at `retryAt`. checking: all is sent, the service
 * puts it together. absent: begun before a reload; the file has to be chosen again.
 */
export type State =
  | "queued"
  | "uploading"
  | "waiting"
  | "paused"
  | "checking"
  | "absent"
  | "done"
  | "failed"
  | "cancelled";

/** What cannot be sent for a reason of its own; the service was not asked, or has nothing to say. */
export class Unusable extends Error {
  constructor(readonly reason: "empty" | "folder" | "unreadable" | "cancelled" | "deleted") {
    super(reason);
    this.name = "Unusable";
  }
}

export interface Part {
  number: number;
  blob: Blob;
  sha256: string | null;
}

type Created = Pick<Schemas["Upload"], "id" | "status" | "file">;
type Arrived = Pick<Schemas["UploadPart"], "id" | "number" | "bytes" | "sha256">;
/** What a file is known by after a reload, when the page no longer holds it. */
type Identity = Pick<File, "name" | "size" | "lastModified">;

/** What we use of the wire; tests bring a twin. */
export interface Transport {
  create(file: { name: string; size: number; type: string }, signal: AbortSignal): Promise<Created>;
  received(uploadId: string, signal: AbortSignal): Promise<Created & { parts: Arrived[] }>;
  send(
    uploadId: string,
    part: Part,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<Arrived>;
  complete(uploadId: string, partIds: string[], signal: AbortSignal): Promise<Created>;
  cancel(uploadId: string): Promise<void>;
}

export interface Surroundings {
  transport: Transport;
  hash: (blob: Blob) => Promise<string | null>;
}

const AT_ONCE = 2;
const DEFAULT_TYPE = "application/octet-stream";

export class Transfer {
  readonly name: string;
  readonly size: number;
  readonly lastModified: number;
  readonly partBytes: number;
  state: State = "queued";
  /** Of the service; null until it was created. */
  uploadId: string | null = null;
  error: Error | null = null;
  retryAt: number | null = null;
  waitingFor: Patience["what"] | null = null;
  file: Schemas["File"] | null = null;

  private blob: File | null = null;
  private readonly numbers: readonly number[];
  private readonly arrived = new Map<number, Arrived>();
  /** Those of `arrived` whose bytes are known to be this file's: sent by this page, or hashed. */
  private readonly certain = new Set<string>();
  /** By part, the bytes that have left so far. */
  private readonly leaving = new Map<number, number>();
  private readonly speed = new Speed();
  private failures = 0;
  private running: AbortController | null = null;
  private wake: (() => void) | null = null;

  constructor(
    identity: Identity,
    private readonly around: Surroundings,
    private readonly changed: (transfer: Transfer) => void,
    partBytes = partBytesFor(identity.size),
  ) {
    this.name = identity.name;
    this.size = identity.size;
    this.lastModified = identity.lastModified;
    this.partBytes = partBytes;
    const count = partCount(identity.size, partBytes);
    this.numbers = Array.from({ length: count }, (_, n) => n + 1);
  }

  static of(file: File, around: Surroundings, changed: (transfer: Transfer) => void): Transfer {
    const transfer = new Transfer(file, around, changed);
    transfer.blob = file;
    if (file.size === 0) transfer.end("failed", new Unusable("empty"));
    return transfer;
  }

  /** One that was begun before a reload. */
  static again(kept: Kept, around: Surroundings, changed: (transfer: Transfer) => void): Transfer {
    const { name, bytes: size, lastModified, partBytes } = kept;
    const transfer = new Transfer({ name, size, lastModified }, around, changed, partBytes);
    transfer.uploadId = kept.uploadId;
    transfer.state = "absent";
    return transfer;
  }

  get kept(): Kept | null {
    const { uploadId, name, size: bytes, lastModified, partBytes } = this;
    return uploadId === null ? null : { uploadId, name, bytes, lastModified, partBytes };
  }

  get sent(): number {
    let sum = 0;
    for (const part of this.arrived.values()) sum += part.bytes;
    for (const bytes of this.leaving.values()) sum += bytes;
    return sum;
  }

  /** It holds one of the places of those that go at once. */
  get busy(): boolean {
    return this.state === "uploading" || this.state === "waiting" || this.state === "checking";
  }

  get retryable(): boolean {
    return this.blob !== null && this.size > 0;
  }

  bytesPerSecond(): number | null {
    return this.state === "uploading" ? this.speed.perSecond() : null;
  }

  /** The same file once more, after a reload. */
  give(file: File): void {
    this.blob = file;
    if (this.state === "absent") this.become("queued");
  }

  /** What is known to have arrived, before it goes on. */
  learn(parts: readonly Arrived[]): void {
    this.arrived.clear();
    for (const [number, part] of usable(parts, this.size, this.partBytes)) {
      this.arrived.set(number, part);
    }
  }

  start(): void {
    if (this.running !== null || this.blob === null) return;
    this.error = null;
    this.failures = 0;
    this.become("uploading");
    const controller = new AbortController();
    this.running = controller;
    void this.run(this.blob, controller.signal);
  }

  pause(): void {
    if (this.state !== "queued" && !this.busy) return;
    this.stop();
    this.become("paused");
  }

  /** Back in line; whoever counts the places starts it. */
  queue(): void {
    if (this.state === "paused" || this.state === "failed") this.become("queued");
  }

  /** The network is back: do not sit out the rest of the wait. */
  hurry(): void {
    if (this.waitingFor === "network") this.wake?.();
  }

  async cancel(): Promise<void> {
    const open = this.state === "done" ? null : this.uploadId;
    this.stop();
    this.become("cancelled");
    // Where nobody hears it, the service lets the upload expire.
    if (open !== null) await this.around.transport.cancel(open).catch(() => {});
  }

  private async run(file: File, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.attempt(file, signal);
        return;
      } catch (caught) {
        if (signal.aborted) return;
        this.leaving.clear();
        this.speed.reset();
        const wait = patience(caught, this.failures, Math.random());
        if (wait === null) {
          this.running = null;
          this.end("failed", caught instanceof Error ? caught : new Error(String(caught)));
          return;
        }
        await this.sitOut(wait, signal);
      }
    }
  }

  private async attempt(file: File, signal: AbortSignal): Promise<void> {
    const uploadId = await this.begin(file, signal);
    if (uploadId === null) return;
    if (this.state === "waiting") this.become("uploading");
    await this.sendMissing(uploadId, file, signal);
    this.become("checking");
    const ids = this.numbers.flatMap((number) => this.arrived.get(number)?.id ?? []);
    const done = await this.around.transport.complete(uploadId, ids, signal);
    signal.throwIfAborted();
    this.finish(done.file);
  }

  /** Creates it, or asks how far it is. null: it was complete already. */
  private async begin(file: File, signal: AbortSignal): Promise<string | null> {
    const { transport } = this.around;
    if (this.uploadId !== null) {
      const found = await transport.received(this.uploadId, signal);
      if (found.status === "completed") {
        this.finish(found.file);
        return null;
      }
      if (found.status === "pending") {
        this.learn(found.parts);
        return found.id;
      }
      this.forget();
      if (found.status === "cancelled") throw new Unusable("cancelled");
    }
    const { name, size } = this;
    const type = file.type || DEFAULT_TYPE;
    const created = await transport.create({ name, size, type }, signal);
    this.uploadId = created.id;
    this.failures = 0;
    this.changed(this);
    return created.id;
  }

  private async sendMissing(uploadId: string, file: File, signal: AbortSignal): Promise<void> {
    const left = this.numbers.filter((number) => {
      const part = this.arrived.get(number);
      return part === undefined || !this.certain.has(part.id);
    });
    const failed: unknown[] = [];
    const fatal = new AbortController();
    const either = AbortSignal.any([signal, fatal.signal]);
    const lane = async () => {
      while (failed.length === 0 && !signal.aborted) {
        const number = left.shift();
        if (number === undefined) return;
        try {
          await this.sendPart(uploadId, number, file, either);
        } catch (caught) {
          this.leaving.delete(number);
          failed.push(caught);
          // What passes lets the other part finish; what does not need not wait for it.
          if (patience(caught, this.failures, 0) === null) fatal.abort();
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    if (failed.length > 0) throw failed[0];
  }

  private async sendPart(
    uploadId: string,
    number: number,
    file: File,
    signal: AbortSignal,
  ): Promise<void> {
    const { start, end } = partAt(number, this.size, this.partBytes);
    const blob = file.slice(start, end);
    const sha256 = await this.around.hash(blob);
    signal.throwIfAborted();
    const before = this.arrived.get(number);
    if (before !== undefined && (sha256 === null || sha256 === before.sha256)) {
      this.certain.add(before.id);
      return;
    }
    this.arrived.delete(number);
    const onSent = (bytes: number) => {
      if (signal.aborted) return;
      this.leaving.set(number, Math.min(bytes, blob.size));
      this.mark();
    };
    const sent = { number, blob, sha256 };
    const part = await this.around.transport.send(uploadId, sent, onSent, signal);
    signal.throwIfAborted();
    this.leaving.delete(number);
    this.arrived.set(number, part);
    this.certain.add(part.id);
    this.failures = 0;
    this.mark();
  }

  private mark(): void {
    this.speed.note(this.sent, Date.now());
    this.changed(this);
  }

  private async sitOut(wait: Patience, signal: AbortSignal): Promise<void> {
    if (wait.what !== "busy") {
      this.failures += 1;
      this.waitingFor = wait.what;
      this.retryAt = Date.now() + wait.ms;
      this.state = "waiting";
      this.changed(this);
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait.ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener("abort", () => this.wake?.(), { once: true });
    });
    this.wake = null;
    this.retryAt = null;
    this.changed(this);
  }

  private finish(file: Schemas["File"] | null): void {
    this.running = null;
    this.file = file;
    if (file === null) this.end("failed", new Unusable("deleted"));
    else this.end("done", null);
  }

  private end(state: "done" | "failed", error: Error | null): void {
    // What the service no longer has is begun anew by the next try.
    if (error instanceof Refused && isGone(error)) this.forget();
    this.error = error;
    this.become(state);
  }

  private forget(): void {
    this.uploadId = null;
    this.arrived.clear();
  }

  private stop(): void {
    this.running?.abort();
    this.running = null;
    this.leaving.clear();
    this.speed.reset();
  }

  private become(state: State): void {
    this.state = state;
    this.waitingFor = null;
    this.retryAt = null;
    this.changed(this);
  }
}

function isGone(error: Refused): boolean {
  return error.status === 404 || error.code === "upload_not_pending";
}
