// Which failures pass, and how long to wait for it.

import { Refused } from "../client/http";
import { waitMs } from "./parts";

/** A refused request, and how long the service asked to be left alone. */
export class Held extends Refused {
  constructor(
    refused: Refused,
    readonly retryAfterMs: number | null,
  ) {
    super(refused.message, refused.status, refused.code, refused.param, refused.requestId);
  }
}

/** Retry-After is seconds or a date. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1_000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

/** busy: it is being put together already, by an earlier request. */
export interface Patience {
  ms: number;
  what: "network" | "service" | "busy";
}

/** A network comes back; a service that fails this often in a row may not. */
const SERVICE_FAILURES_MAX = 8;
const BUSY_MS = 2_000;

/** How long to wait before the next try; null where trying again would change nothing. */
export function patience(error: unknown, failures: number, random: number): Patience | null {
  if (!(error instanceof Refused)) return null;
  const asked = error instanceof Held ? error.retryAfterMs : null;
  const ms = waitMs(failures + 1, random, asked);
  if (error.status === 0) return { ms, what: "network" };
  if (error.code === "upload_completing") return { ms: asked ?? BUSY_MS, what: "busy" };
  return passes(error) && failures < SERVICE_FAILURES_MAX ? { ms, what: "service" } : null;
}

function passes({ status, code }: Refused): boolean {
  return (
    status >= 500 ||
    status === 429 ||
    status === 408 ||
    code === "checksum_mismatch" ||
    code === "upload_cut_off"
  );
}
