// A tenant's own limits as an operator types them, and what of it changed.

import type { Schemas } from "../../client/http";
import { microCredits, typedCredits } from "../../design/numbers";

export const LIMITS = [
  "credits_per_day_max",
  "credits_per_month_max",
  "queued_jobs_max",
  "running_jobs_max",
  "storage_bytes_max",
  "requests_per_minute_max",
] as const satisfies readonly (keyof Schemas["Overrides"])[];

export type LimitName = (typeof LIMITS)[number];
export type TypedLimits = Record<LimitName, string>;

const GB = 1_000_000_000;

export function isCredits(name: LimitName): boolean {
  return name.startsWith("credits_");
}

/** A limit as one types it: credits, gigabytes, or a plain number. */
export function typedLimit(name: LimitName, value: number): string {
  if (isCredits(name)) return typedCredits(value);
  return name === "storage_bytes_max" ? String(value / GB) : String(value);
}

/** Empty: the service's own (null). undefined: nothing that one could mean. */
export function readLimit(name: LimitName, typed: string): number | null | undefined {
  const text = typed.trim();
  if (text === "") return null;
  if (isCredits(name)) return microCredits(text) ?? undefined;
  if (name === "storage_bytes_max") {
    return /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * GB) : undefined;
  }
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

export function typedLimits(overrides: Readonly<Record<string, number>>): TypedLimits {
  const typed = {} as TypedLimits;
  for (const name of LIMITS) {
    const value = overrides[name];
    typed[name] = value === undefined ? "" : typedLimit(name, value);
  }
  return typed;
}

/** Only what differs from before; null where a field is no number. */
export function changedLimits(
  typed: TypedLimits,
  overrides: Readonly<Record<string, number>>,
): Schemas["Overrides"] | null {
  const changed: Schemas["Overrides"] = {};
  for (const name of LIMITS) {
    const value = readLimit(name, typed[name]);
    if (value === undefined) return null;
    if (value !== (overrides[name] ?? null)) changed[name] = value;
  }
  return changed;
}
