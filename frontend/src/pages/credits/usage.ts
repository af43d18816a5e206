// Usage for a chart: the days of a period without gaps, and round steps for the axis.

import type { Schemas } from "../../client/http";

export type Usage = Schemas["UsageRow"];

export interface Bar {
  key: string;
  training: number;
  chat: number;
}

const DAY_MS = 86_400_000;
const DAYS_SHOWN_MAX = 366;

/** The UTC day a period of so many days begins with, today being the last. */
export function firstDay(days: number, now: number): string {
  return utcDay(now - (days - 1) * DAY_MS);
}

/** A bar for every day, also for those on which nothing was used. `from` null: the first used. */
export function everyDay(rows: readonly Usage[], from: string | null, now: number): Bar[] {
  const used = new Map(rows.map((row) => [row.key, row]));
  const first = from ?? rows[0]?.key;
  if (!first) return [];
  const last = Date.parse(`${utcDay(now)}T00:00:00Z`);
  const earliest = last - (DAYS_SHOWN_MAX - 1) * DAY_MS;
  const bars: Bar[] = [];
  for (let at = Math.max(Date.parse(`${first}T00:00:00Z`), earliest); at <= last; at += DAY_MS) {
    const row = used.get(utcDay(at));
    bars.push({
      key: utcDay(at),
      training: row?.training_credits ?? 0,
      chat: row?.chat_credits ?? 0,
    });
  }
  return bars;
}

/** The top of an axis that holds `most`: 1, 2 or 5 times a power of ten. */
export function roundTop(most: number): number {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 5, 10].find((each) => each * power >= most) ?? 10;
  return step * power;
}

function utcDay(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}
