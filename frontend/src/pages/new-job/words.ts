// How a setting's value, range and problem are said.

import type { TFunction } from "i18next";
import { whole } from "../../design/numbers";
import type { Choice, Field, Problem } from "./parameters";

export function plainNumber(value: number): string {
  return Number.isInteger(value) ? whole(value) : String(Number(value.toPrecision(6)));
}

export function valueWords(t: TFunction, field: Field | undefined, value: unknown): string {
  if (value === null || value === undefined) return t("newJob.field.auto");
  if (typeof value === "number") return plainNumber(value);
  if (typeof value === "boolean") return t(value ? "newJob.field.on" : "newJob.field.off");
  if (Array.isArray(value)) return value.join(", ");
  if (value === "all-linear") return t("newJob.field.allLinear");
  if (field?.kind === "choice") return t(`newJob.choices.${value as Choice}`);
  return String(value);
}

export function rangeWords(t: TFunction, field: Field): string | null {
  if (field.kind !== "number") return null;
  const { least, above, most, below } = field;
  if (least !== null && most !== null) {
    return t("newJob.field.between", { from: plainNumber(least), to: plainNumber(most) });
  }
  const parts = [];
  if (least !== null) parts.push(t("newJob.field.least", { bound: plainNumber(least) }));
  if (above !== null) parts.push(t("newJob.field.above", { bound: plainNumber(above) }));
  if (most !== null) parts.push(t("newJob.field.most", { bound: plainNumber(most) }));
  if (below !== null) parts.push(t("newJob.field.below", { bound: plainNumber(below) }));
  return parts.length === 0 ? null : parts.join(", ");
}

export function problemWords(t: TFunction, problem: Problem): string {
  return "bound" in problem
    ? t(`newJob.problems.${problem.what}`, { bound: plainNumber(problem.bound) })
    : t(`newJob.problems.${problem.what}`);
}
