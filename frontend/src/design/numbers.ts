// How numbers, money and time are written. The one place that turns micro-credits into credits.

import i18next from "i18next";
import { language, locale } from "../words";

const MICRO = 1_000_000;
export const NONE = "–";

/** Micro-credits as credits: two decimals, more where two would hide what is there. */
export function credits(micro: number): string {
  const small = micro !== 0 && Math.abs(micro) < MICRO;
  return decimal(micro / MICRO, 2, small ? 6 : 4);
}

/** To the micro-credit: statements and tooltips. */
export function exactCredits(micro: number): string {
  return decimal(micro / MICRO, 6, 6);
}

export function loss(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : value.toFixed(3);
}

/** Learning rates and gradient norms: three significant digits, exponents only where needed. */
export function significant(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100_000)) return value.toExponential(2);
  return value.toLocaleString(locale(), { maximumSignificantDigits: 3 });
}

export function whole(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : Math.round(value).toLocaleString(locale());
}

/** 134,500,000 as 135M. */
export function compact(value: number): string {
  // British English writes "135m", which reads as thousandths beside other units.
  const tongue = language() === "zh" ? "zh-CN" : "en-US";
  return value.toLocaleString(tongue, { notation: "compact", maximumSignificantDigits: 3 });
}

export function decimal(value: number, least: number, most: number = least): string {
  return value.toLocaleString(locale(), {
    minimumFractionDigits: least,
    maximumFractionDigits: most,
  });
}

export function percent(share: number, digits = 1): string {
  return `${decimal(share * 100, 0, digits)} %`;
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
  const { t } = i18next;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return t("common.time.seconds", { n: s });
  const minutes = Math.round(s / 60);
  if (minutes < 60) return t("common.time.minutes", { n: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return t("common.time.hours", { h: hours, min: minutes % 60 });
  return t("common.time.days", { d: Math.floor(hours / 24), h: hours % 24 });
}

/** Under ten seconds in tenths: for a live indicator. */
export function fineDuration(seconds: number): string {
  if (seconds >= 10) return duration(seconds);
  return i18next.t("common.time.seconds", { n: Math.max(0, seconds).toFixed(1) });
}

export function ago(unixSeconds: number, nowSeconds: number): string {
  const { t } = i18next;
  const passed = nowSeconds - unixSeconds;
  if (passed < 5) return t("common.time.now");
  if (passed < 3_600) return t("common.time.ago", { duration: duration(passed) });
  if (passed < 86_400) {
    return t("common.time.ago", {
      duration: t("common.time.wholeHours", { h: Math.floor(passed / 3_600) }),
    });
  }
  if (passed < 7 * 86_400) {
    return t("common.time.ago", {
      duration: t("common.time.wholeDays", { d: Math.floor(passed / 86_400) }),
    });
  }
  return day(unixSeconds);
}

export function clock(at: string | number): string {
  const date = typeof at === "number" ? new Date(at * 1_000) : new Date(at);
  return date.toLocaleTimeString("en-GB");
}

export function day(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1_000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function moment(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1_000);
  return `${day(unixSeconds)} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}

/** What a person typed for credits ("1,250.5"), in micro-credits; null where it is no amount. */
export function microCredits(typed: string): number | null {
  const match = /^(\d+)(?:\.(\d{0,6}))?$/.exec(typed.replace(/[\s,_]/g, "").replace("。", "."));
  if (match === null) return null;
  const micro = Number(match[1]) * MICRO + Number((match[2] ?? "").padEnd(6, "0"));
  return Number.isSafeInteger(micro) ? micro : null;
}

/** Micro-credits as one would type them: exact, no grouping. */
export function typedCredits(micro: number): string {
  const whole = Math.trunc(micro / MICRO);
  const rest = String(micro % MICRO)
    .padStart(6, "0")
    .replace(/0+$/, "");
  return rest === "" ? String(whole) : `${whole}.${rest}`;
}
