// How numbers, money and time are written. The one place that turns micro-credits into credits.

import type { MicroCredits } from "../client/wire";
import { words } from "../words";

const LOCALE = "en";
const MICRO = 1_000_000;

/** A balance. */
export function credits(micro: MicroCredits): string {
  return decimal(micro, 2);
}

/** What one job holds or costs: two decimals would hide a small one. */
export function jobCredits(micro: MicroCredits): string {
  return decimal(micro, 4);
}

/** To the micro-credit, for tooltips. */
export function exactCredits(micro: MicroCredits): string {
  return `${(micro / MICRO).toFixed(6)} ${words.nav.credits}`;
}

export function loss(value: number | null | undefined): string {
  return value === null || value === undefined ? words.none : value.toFixed(3);
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString(LOCALE);
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return words.time.seconds(String(s));
  const min = Math.round(s / 60);
  if (min < 60) return words.time.minutes(min);
  const hours = Math.floor(min / 60);
  if (hours < 48) return words.time.hours(hours, min % 60);
  return words.time.days(Math.floor(hours / 24), hours % 24);
}

/** Under ten seconds in tenths: for a live indicator. */
export function fineDuration(seconds: number): string {
  return seconds < 10 ? words.time.seconds(Math.max(0, seconds).toFixed(1)) : duration(seconds);
}

export function ago(unixSeconds: number, nowSeconds: number): string {
  const passed = nowSeconds - unixSeconds;
  if (passed < 5) return words.time.now;
  if (passed < 7 * 86_400) return words.time.ago(coarse(passed));
  return new Date(unixSeconds * 1_000).toISOString().slice(0, 10);
}

export function clock(iso: string): string {
  return new Date(iso).toLocaleTimeString("en-GB");
}

export function moment(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1_000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function decimal(micro: MicroCredits, digits: number): string {
  return (micro / MICRO).toLocaleString(LOCALE, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function coarse(seconds: number): string {
  if (seconds < 3_600) return duration(seconds);
  if (seconds < 86_400) return words.time.hours(Math.floor(seconds / 3_600), 0);
  return words.time.days(Math.floor(seconds / 86_400), 0);
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}
