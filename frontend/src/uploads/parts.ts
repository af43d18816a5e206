// A file in parts: how large they are, how long to wait after a failure, how fast it goes.

const MIB = 2 ** 20;
const PART_MIN = 8 * MIB;
const PART_MAX = 16 * MIB;
const PARTS_WANTED = 200;
/** What the service takes of one upload. */
const PARTS_MAX = 10_000;
const WAIT_MAX_MS = 30_000;
const SPEED_WINDOW_MS = 8_000;

/** Small parts lose little when the network breaks; large files have fewer, larger ones. */
export function partBytesFor(size: number): number {
  const parting = (count: number) => Math.ceil(size / count / MIB) * MIB;
  const wanted = Math.min(PART_MAX, Math.max(PART_MIN, parting(PARTS_WANTED)));
  return Math.max(wanted, parting(PARTS_MAX));
}

export function partCount(size: number, partBytes: number): number {
  return Math.ceil(size / partBytes);
}

/** Parts are numbered from 1. */
export function partAt(
  number: number,
  size: number,
  partBytes: number,
): { start: number; end: number } {
  const start = (number - 1) * partBytes;
  return { start, end: Math.min(size, start + partBytes) };
}

/** Doubling from one second, never exactly in step with others; `asked` is what the service said. */
export function waitMs(failures: number, random: number, asked: number | null = null): number {
  const wait = Math.min(WAIT_MAX_MS, 1_000 * 2 ** (failures - 1));
  return Math.max(asked ?? 0, Math.round(wait * (0.75 + random / 2)));
}

export interface Part {
  id: string;
  number: number | null;
  bytes: number;
  sha256: string;
}

/** Of what has arrived, the parts that are the file's own, by number. */
export function usable(
  parts: readonly Part[],
  size: number,
  partBytes: number,
): Map<number, Part & { number: number }> {
  const found = new Map<number, Part & { number: number }>();
  for (const part of parts) {
    const number = part.number;
    if (number === null || number > partCount(size, partBytes)) continue;
    const { start, end } = partAt(number, size, partBytes);
    if (part.bytes === end - start) found.set(number, { ...part, number });
  }
  return found;
}

/** Bytes a second over the last seconds; null before there is anything to say. */
export class Speed {
  private seen: { at: number; sent: number }[] = [];

  note(sent: number, at: number): void {
    // Bytes of a part that broke off count as not sent: then the measure starts again.
    if (sent < (this.seen.at(-1)?.sent ?? 0)) this.seen = [];
    this.seen.push({ at, sent });
    while (this.seen.length > 2 && at - (this.seen[0]?.at ?? at) > SPEED_WINDOW_MS) {
      this.seen.shift();
    }
  }

  reset(): void {
    this.seen = [];
  }

  perSecond(): number | null {
    const [first, last] = [this.seen[0], this.seen.at(-1)];
    if (first === undefined || last === undefined || last.at - first.at < 500) return null;
    return ((last.sent - first.sent) / (last.at - first.at)) * 1_000;
  }
}
