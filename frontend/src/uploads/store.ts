// All uploads of this page: who goes first, what outlives a reload, and one snapshot to draw.

import { Refused } from "../client/http";
import { forget, isSameFile, type Kept, keep, keptUploads } from "./kept";
import { leasedUploads, leaseUpload } from "./lease";
import { type State, type Surroundings, Transfer, Unusable } from "./transfer";

const AT_ONCE = 2;
/** Progress is shown a few times a second, changes of state at once. */
const SHOW_MS = 200;

export interface Shown {
  readonly key: number;
  readonly name: string;
  readonly size: number;
  readonly state: State;
  readonly sent: number;
  readonly bytesPerSecond: number | null;
  readonly retryAt: number | null;
  readonly waitingFor: Transfer["waitingFor"];
  readonly retryable: boolean;
  readonly lastModified: number;
  readonly error: Error | null;
  readonly file: Transfer["file"];
  /** The file that was chosen to go on with is another one: its name. */
  readonly mismatch: string | null;
}

export interface Done {
  fileId: string;
  /** Where in the portal it was begun, and when. */
  startedAt: string;
  startedMs: number;
  /** It came alone: nothing else is on its way. */
  alone: boolean;
}

interface Entry {
  readonly key: number;
  readonly tenantId: string;
  readonly transfer: Transfer;
  readonly startedAt: string;
  readonly startedMs: number;
  /** Stopped because its tenant was left: goes on by itself when one comes back. */
  left: boolean;
  lastState: State;
  mismatch: string | null;
  /** Under which id it is kept for a reload, and the end of its lease. */
  keptId: string | null;
  release: (() => void) | null;
}

export class UploadStore {
  private entries: Entry[] = [];
  private shown: readonly Shown[] = [];
  private tenantId: string | null = null;
  private next = 1;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();
  private readonly enders = new Set<(done: Done) => void>();

  constructor(private readonly around: Surroundings) {}

  snapshot = (): readonly Shown[] => this.shown;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Hears of each file that is complete. */
  onDone = (listener: (done: Done) => void): (() => void) => {
    this.enders.add(listener);
    return () => this.enders.delete(listener);
  };

  /** Something would be cut short if the page went away now. */
  get underWay(): boolean {
    return this.entries.some(({ transfer }) => transfer.busy || transfer.state === "queued");
  }

  /** Shows this tenant's uploads. Those of another stop: the session no longer speaks for it. */
  async enter(tenantId: string): Promise<void> {
    if (tenantId === this.tenantId) return;
    this.leave();
    this.tenantId = tenantId;
    for (const entry of this.mine()) {
      if (entry.left) entry.transfer.queue();
      entry.left = false;
    }
    this.schedule();
    this.show();
    await this.offer(tenantId);
  }

  leave(): void {
    for (const entry of this.mine()) {
      if (!entry.transfer.busy && entry.transfer.state !== "queued") continue;
      entry.transfer.pause();
      entry.left = true;
    }
    this.tenantId = null;
    this.show();
  }

  /** Sends files; one that waits for its file again goes on where it was. */
  add(files: Iterable<File>, startedAt: string): void {
    for (const file of files) {
      const twin = this.mine().find(
        ({ transfer }) => !isOver(transfer.state) && isSame(transfer, file),
      );
      if (twin === undefined) this.begin(file, startedAt);
      else if (twin.transfer.state === "absent") this.goOn(twin, file);
    }
    this.schedule();
    this.show();
  }

  /** Something was dropped that is no file. */
  refuse(name: string, reason: Unusable["reason"], startedAt: string): void {
    const transfer = new Transfer({ name, size: 0, lastModified: 0 }, this.around, this.changed);
    transfer.state = "failed";
    transfer.error = new Unusable(reason);
    this.enlist(transfer, startedAt);
    this.show();
  }

  /** The same file, chosen again after a reload. */
  choose(key: number, file: File): void {
    const entry = this.entry(key);
    if (entry === undefined || entry.transfer.state !== "absent") return;
    if (isSame(entry.transfer, file)) this.goOn(entry, file);
    else entry.mismatch = file.name;
    this.schedule();
    this.show();
  }

  pause(key: number): void {
    this.entry(key)?.transfer.pause();
  }

  resume(key: number): void {
    this.entry(key)?.transfer.queue();
  }

  cancel(key: number): void {
    const entry = this.entry(key);
    if (entry === undefined) return;
    this.forget(entry);
    this.entries = this.entries.filter((each) => each !== entry);
    void entry.transfer.cancel();
    this.schedule();
    this.show();
  }

  /** Takes one that is over from the list; what a failed one has sent is thrown away. */
  dismiss(key: number): void {
    const state = this.entry(key)?.transfer.state;
    if (state !== undefined && isOver(state)) this.cancel(key);
  }

  /** Takes all that are over. */
  clear(): void {
    for (const entry of this.mine()) this.dismiss(entry.key);
  }

  /** The network is back. */
  hurry = (): void => {
    for (const { transfer } of this.entries) transfer.hurry();
  };

  private begin(file: File, startedAt: string): void {
    this.enlist(Transfer.of(file, this.around, this.changed), startedAt);
  }

  private enlist(transfer: Transfer, startedAt: string): void {
    if (this.tenantId === null) return;
    this.entries.push({
      key: this.next++,
      tenantId: this.tenantId,
      transfer,
      startedAt,
      startedMs: Date.now(),
      left: false,
      lastState: transfer.state,
      mismatch: null,
      keptId: transfer.uploadId,
      release: null,
    });
  }

  private goOn(entry: Entry, file: File): void {
    entry.mismatch = null;
    if (entry.keptId !== null) entry.release = leaseUpload(entry.keptId);
    entry.transfer.give(file);
  }

  /** What a reload cut short, and no other tab is sending. */
  private async offer(tenantId: string): Promise<void> {
    const leased = await leasedUploads();
    for (const kept of keptUploads(tenantId)) {
      if (!leased.has(kept.uploadId)) await this.offerOne(tenantId, kept);
    }
  }

  private async offerOne(tenantId: string, kept: Kept): Promise<void> {
    if (this.knows(kept)) return;
    const transfer = Transfer.again(kept, this.around, this.changed);
    try {
      const found = await this.around.transport.received(
        kept.uploadId,
        new AbortController().signal,
      );
      if (found.status !== "pending") {
        forget(tenantId, kept.uploadId);
        return;
      }
      transfer.learn(found.parts);
    } catch (caught) {
      if (caught instanceof Refused && caught.status === 404) {
        forget(tenantId, kept.uploadId);
        return;
      }
    }
    // Asking took a while, in which somebody else may have listed it, or left.
    if (tenantId !== this.tenantId || this.knows(kept)) return;
    this.enlist(transfer, "");
    this.show();
  }

  private knows({ uploadId }: Kept): boolean {
    return this.entries.some(({ transfer }) => transfer.uploadId === uploadId);
  }

  private changed = (transfer: Transfer): void => {
    const entry = this.entries.find((each) => each.transfer === transfer);
    if (entry === undefined) return;
    this.remember(entry);
    if (transfer.state === entry.lastState) {
      this.timer ??= setTimeout(this.show, SHOW_MS);
      return;
    }
    entry.lastState = transfer.state;
    if (transfer.state === "done") this.ended(entry);
    this.schedule();
    this.show();
  };

  private ended(entry: Entry): void {
    const { file } = entry.transfer;
    if (file === null) return;
    const { startedAt, startedMs } = entry;
    const alone = !this.mine().some((each) => each !== entry && isGoing(each.transfer.state));
    for (const listener of this.enders) {
      listener({ fileId: file.id, startedAt, startedMs, alone });
    }
  }

  /** Keeps what a reload would need, for as long as it would. */
  private remember(entry: Entry): void {
    const { kept, state } = entry.transfer;
    const id = state === "done" || state === "cancelled" ? null : (kept?.uploadId ?? null);
    if (id === entry.keptId) return;
    this.forget(entry);
    if (kept === null || id === null) return;
    keep(entry.tenantId, kept);
    entry.keptId = id;
    entry.release = leaseUpload(id);
  }

  private forget(entry: Entry): void {
    entry.release?.();
    entry.release = null;
    if (entry.keptId !== null) forget(entry.tenantId, entry.keptId);
    entry.keptId = null;
  }

  private schedule(): void {
    // Counted anew each time: starting one comes back here.
    for (const { transfer } of this.mine()) {
      const going = this.entries.filter((each) => each.transfer.busy).length;
      if (going >= AT_ONCE) return;
      if (transfer.state === "queued") transfer.start();
    }
  }

  private mine(): Entry[] {
    return this.entries.filter(({ tenantId }) => tenantId === this.tenantId);
  }

  private entry(key: number): Entry | undefined {
    return this.mine().find((entry) => entry.key === key);
  }

  private show = (): void => {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.shown = this.mine().map(shownOf);
    for (const listener of this.listeners) listener();
  };
}

function isSame(transfer: Transfer, file: File): boolean {
  const { name, size: bytes, lastModified } = transfer;
  return isSameFile({ name, bytes, lastModified }, file);
}

function isOver(state: State): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

function isGoing(state: State): boolean {
  return state === "queued" || state === "uploading" || state === "waiting" || state === "checking";
}

function shownOf({ key, transfer, mismatch }: Entry): Shown {
  const { name, size, state, sent, retryAt, waitingFor, retryable, lastModified, error, file } =
    transfer;
  const bytesPerSecond = transfer.bytesPerSecond();
  return {
    key,
    name,
    size,
    state,
    sent,
    bytesPerSecond,
    retryAt,
    waitingFor,
    retryable,
    lastModified,
    error,
    file,
    mismatch,
  };
}
