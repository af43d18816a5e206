// Uploads without a browser: a twin of the wire is driven by hand, over a file of three parts.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Refused } from "../src/client/http";
import { keep, keptUploads } from "../src/uploads/kept";
import { partAt, partBytesFor, partCount, Speed, waitMs } from "../src/uploads/parts";
import { Held, patience, retryAfterMs } from "../src/uploads/patience";
import { type Shown, UploadStore } from "../src/uploads/store";
import type { Part, Transport } from "../src/uploads/transfer";

const MIB = 2 ** 20;
const SIZE = 20 * MIB;

type Received = Awaited<ReturnType<Transport["received"]>>;
type Arrived = Received["parts"][number];

/** The service: keeps parts by number; a hook may refuse or hold what comes. */
class Wire implements Transport {
  readonly created: string[] = [];
  readonly cancelled: string[] = [];
  readonly sent: number[] = [];
  readonly parts = new Map<number, Arrived>();
  status: Received["status"] = "pending";
  onSend: (part: Part, signal: AbortSignal) => Promise<void> = async () => {};
  onComplete: () => Promise<void> = async () => {};

  private at = <Status>(status: Status, file: unknown = null) =>
    ({ id: this.created.at(-1) ?? "upload_1", status, file }) as Received & { status: Status };

  async create({ name }: { name: string }) {
    this.created.push(`upload_${name}`);
    return this.at("pending" as const);
  }

  async received() {
    const file = this.status === "completed" ? { id: "file-1" } : null;
    return { ...this.at(this.status, file), parts: [...this.parts.values()] };
  }

  async send(_: string, part: Part, onSent: (bytes: number) => void, signal: AbortSignal) {
    this.sent.push(part.number);
    onSent(part.blob.size / 2);
    await this.onSend(part, signal);
    const { number, blob, sha256 } = part;
    const arrived = { id: `part_${number}`, number, bytes: blob.size, sha256: sha256 ?? "" };
    this.parts.set(number, arrived);
    return arrived;
  }

  async complete(_: string, partIds: string[]) {
    await this.onComplete();
    expect(partIds).toEqual(["part_1", "part_2", "part_3"]);
    return this.at("completed" as const, { id: "file-1" });
  }

  async cancel(uploadId: string) {
    this.cancelled.push(uploadId);
  }
}

function aFile(name = "shop.jsonl", size = SIZE): File {
  const file = new File([], name, { lastModified: 7 });
  const slice = (from = 0, to = size) => ({ size: to - from, from }) as unknown as Blob;
  return Object.defineProperties(file, { size: { value: size }, slice: { value: slice } });
}

const gone = () => new Refused("", 0, null, null, null);
const refused = (status: number, code: Refused["code"] = null) =>
  new Refused("No.", status, code, null, null);

const hang = (signal: AbortSignal) =>
  new Promise<void>((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
  });

async function begin(wire = new Wire()) {
  const store = new UploadStore({ transport: wire, hash: async () => "the same" });
  await store.enter("ten-1");
  const one = (): Shown => {
    const [shown] = store.snapshot();
    if (shown === undefined) throw new Error("nothing is listed");
    return shown;
  };
  const pass = (ms = 500) => vi.advanceTimersByTimeAsync(ms);
  return { wire, store, one, pass };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  localStorage.clear();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("one upload", () => {
  it("sends every part, completes, and is forgotten by the browser", async () => {
    const { wire, store, one, pass } = await begin();
    const done = vi.fn();
    store.onDone(done);
    store.add([aFile()], "/datasets");
    await pass();
    expect(one()).toMatchObject({ state: "done", sent: SIZE, file: { id: "file-1" } });
    expect(wire.sent).toEqual([1, 2, 3]);
    expect(keptUploads("ten-1")).toEqual([]);
    expect(done).toHaveBeenCalledWith(
      expect.objectContaining({ fileId: "file-1", startedAt: "/datasets", alone: true }),
    );
  });

  it("has two parts on their way, pauses, and then sends only what is missing", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = async ({ number }, signal) => {
      if (number > 1) await hang(signal);
    };
    store.add([aFile()], "/jobs");
    await pass();
    expect(wire.sent).toEqual([1, 2, 3]);
    expect(one()).toMatchObject({ state: "uploading", sent: 8 * MIB + 4 * MIB + 2 * MIB });
    store.pause(one().key);
    await pass();
    expect(one()).toMatchObject({ state: "paused", sent: 8 * MIB });
    wire.onSend = async () => {};
    store.resume(one().key);
    await pass();
    expect(one().state).toBe("done");
    expect(wire.sent).toEqual([1, 2, 3, 2, 3]);
    expect(wire.created).toHaveLength(1);
  });

  it("waits for the network, however long, and goes on at once when it is back", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = () => Promise.reject(gone());
    store.add([aFile()], "/jobs");
    await pass(600_000);
    expect(one()).toMatchObject({ state: "waiting", waitingFor: "network", error: null });
    wire.onSend = async () => {};
    store.hurry();
    await pass(1);
    expect(one().state).toBe("done");
  });

  it("leaves a busy service alone for as long as it asks", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = () => Promise.reject(new Held(refused(429), 20_000));
    store.add([aFile()], "/jobs");
    await pass();
    expect(one()).toMatchObject({ state: "waiting", waitingFor: "service" });
    const tries = wire.sent.length;
    await pass(19_000);
    expect(wire.sent.length).toBe(tries);
    wire.onSend = async () => {};
    await pass(1_000);
    expect(one().state).toBe("done");
  });

  it("gives up on a service that keeps failing; trying again goes on from there", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = ({ number }) => (number === 1 ? Promise.resolve() : Promise.reject(refused(503)));
    store.add([aFile()], "/jobs");
    await pass(600_000);
    expect(one()).toMatchObject({ state: "failed", retryable: true, error: { status: 503 } });
    wire.onSend = async () => {};
    wire.sent.length = 0;
    store.resume(one().key);
    await pass();
    expect(one().state).toBe("done");
    expect(wire.sent).toEqual([2, 3]);
  });

  it("asks again while the service is still putting it together", async () => {
    const { wire, store, one, pass } = await begin();
    let asked = 0;
    wire.onComplete = async () => {
      asked += 1;
      if (asked < 3) throw new Held(refused(409, "upload_completing"), 2_000);
    };
    store.add([aFile()], "/jobs");
    await pass();
    expect(one().state).toBe("checking");
    await pass(4_000);
    expect(one().state).toBe("done");
  });

  it("says why a file cannot be sent, and asks nobody about an empty one", async () => {
    const { wire, store, one, pass } = await begin();
    wire.create = () => Promise.reject(refused(413, "storage_bytes_max"));
    store.add([aFile("empty.jsonl", 0), aFile()], "/jobs");
    await pass();
    expect(one()).toMatchObject({ state: "failed", retryable: false, error: { reason: "empty" } });
    expect(store.snapshot()[1]).toMatchObject({
      state: "failed",
      error: { code: "storage_bytes_max" },
    });
  });

  it("begins anew where its upload has expired, not where somebody cancelled it", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = (_, signal) => hang(signal);
    store.add([aFile()], "/jobs");
    await pass();
    store.pause(one().key);
    wire.status = "cancelled";
    store.resume(one().key);
    await pass();
    expect(one()).toMatchObject({ state: "failed", error: { reason: "cancelled" } });
    expect(wire.created).toHaveLength(1);
    wire.onSend = async () => {};
    store.resume(one().key);
    await pass();
    expect(one().state).toBe("done");
    expect(wire.created).toHaveLength(2);
  });

  it("is cancelled at the service too", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = (_, signal) => hang(signal);
    store.add([aFile()], "/jobs");
    await pass();
    store.cancel(one().key);
    await pass();
    expect(store.snapshot()).toEqual([]);
    expect(wire.cancelled).toEqual(["upload_shop.jsonl"]);
    expect(keptUploads("ten-1")).toEqual([]);
  });
});

describe("after a reload", () => {
  const kept = {
    uploadId: "upload_1",
    name: "shop.jsonl",
    bytes: SIZE,
    lastModified: 7,
    partBytes: 8 * MIB,
  };
  const first = { id: "part_1", number: 1, bytes: 8 * MIB, sha256: "the same" };

  it("offers what was cut short, takes only the same file, and sends the rest", async () => {
    keep("ten-1", kept);
    const wire = new Wire();
    wire.parts.set(1, first);
    const { store, one, pass } = await begin(wire);
    expect(one()).toMatchObject({ state: "absent", sent: 8 * MIB });
    expect(store.underWay).toBe(false);
    store.choose(one().key, aFile("other.jsonl"));
    expect(one()).toMatchObject({ state: "absent", mismatch: "other.jsonl" });
    store.choose(one().key, aFile());
    await pass();
    expect(one().state).toBe("done");
    expect(wire.sent).toEqual([2, 3]);
    expect(wire.created).toEqual([]);
  });

  it("sends a part again whose bytes are not the file's", async () => {
    keep("ten-1", kept);
    const wire = new Wire();
    wire.parts.set(1, { ...first, sha256: "another" });
    const { store, one, pass } = await begin(wire);
    store.add([aFile()], "/jobs");
    await pass();
    expect(one().state).toBe("done");
    expect(wire.sent).toEqual([1, 2, 3]);
  });

  it("forgets what has ended meanwhile, and shows nothing to another tenant", async () => {
    keep("ten-1", kept);
    const wire = new Wire();
    wire.status = "expired";
    const { store } = await begin(wire);
    expect(store.snapshot()).toEqual([]);
    expect(keptUploads("ten-1")).toEqual([]);
    keep("ten-1", kept);
    await store.enter("ten-2");
    expect(store.snapshot()).toEqual([]);
  });
});

describe("several", () => {
  it("go two at a time, the rest wait; a pause makes room", async () => {
    const { wire, store, pass } = await begin();
    wire.onSend = (_, signal) => hang(signal);
    store.add([aFile("a"), aFile("b"), aFile("c"), aFile("a")], "/jobs");
    await pass();
    const states = () => store.snapshot().map(({ state }) => state);
    expect(states()).toEqual(["uploading", "uploading", "queued"]);
    store.pause(store.snapshot()[0]?.key ?? 0);
    await pass();
    expect(states()).toEqual(["paused", "uploading", "uploading"]);
  });

  it("stop when their tenant is left and go on when it is entered again", async () => {
    const { wire, store, one, pass } = await begin();
    wire.onSend = (_, signal) => hang(signal);
    store.add([aFile()], "/jobs");
    await pass();
    await store.enter("ten-2");
    expect(store.snapshot()).toEqual([]);
    expect(store.underWay).toBe(false);
    wire.onSend = async () => {};
    await store.enter("ten-1");
    await pass();
    expect(one().state).toBe("done");
  });
});

describe("arithmetic", () => {
  it("cuts a file into parts that cover it once", () => {
    for (const size of [1, 8 * MIB, 8 * MIB + 1, 3 * 2 ** 30, 300 * 2 ** 30]) {
      const part = partBytesFor(size);
      const count = partCount(size, part);
      expect(count).toBeLessThanOrEqual(10_000);
      expect(partAt(1, size, part).start).toBe(0);
      expect(partAt(count, size, part).end).toBe(size);
      expect(partAt(count, size, part).start).toBeLessThan(size);
    }
    expect([partBytesFor(1), partBytesFor(8 * 2 ** 30)]).toEqual([8 * MIB, 16 * MIB]);
  });

  it("reads Retry-After and doubles its own waits", () => {
    expect(retryAfterMs("3", 0)).toBe(3_000);
    expect(retryAfterMs("Thu, 01 Jan 1970 00:00:05 GMT", 1_000)).toBe(4_000);
    expect([retryAfterMs(null, 0), retryAfterMs("soon", 0)]).toEqual([null, null]);
    expect([1, 2, 3, 9].map((n) => waitMs(n, 0.5))).toEqual([1_000, 2_000, 4_000, 30_000]);
    expect(patience(refused(400, "empty_file"), 0, 0.5)).toBeNull();
    expect(patience(new Error("broken"), 0, 0.5)).toBeNull();
  });

  it("measures speed over the last seconds only", () => {
    const speed = new Speed();
    speed.note(0, 0);
    expect(speed.perSecond()).toBeNull();
    for (let second = 1; second <= 20; second++) speed.note(second * 100, second * 1_000);
    expect(speed.perSecond()).toBeCloseTo(100);
    speed.note(50, 21_000);
    expect(speed.perSecond()).toBeNull();
  });
});
