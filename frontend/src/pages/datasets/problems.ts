// The findings of a file: gathered from report and CSV, counted, filtered. No page in here.

import type { Schemas } from "../../client/http";

export type Verdict = Schemas["Verdict"];
export type ProblemCode = Schemas["ProblemCode"];
type Problem = Schemas["Problem"];

export type Finding = Pick<Problem, "line" | "field" | "code" | "message" | "verdict">;

/** From the worst on. */
export const VERDICTS = ["bad", "repairable", "warned"] as const satisfies readonly Verdict[];

const FILE_REPAIRS: Record<string, true> = {
  same_role_twice: true,
  byte_order_mark: true,
  label_as_text: true,
  weight_as_text: true,
  number_as_text: true,
  system_not_first: true,
  leading_answer: true,
  trailing_question: true,
} satisfies Partial<Record<ProblemCode, true>>;

export function isRepair(code: ProblemCode): boolean {
  return FILE_REPAIRS[code] === true;
}

/** What file and base model say, by line; what both say, once. */
export function gathered(...lists: readonly (readonly Finding[])[]): Finding[] {
  const seen = new Set<string>();
  const found: Finding[] = [];
  for (const finding of lists.flat()) {
    const key = keyOf(finding);
    if (seen.has(key)) continue;
    seen.add(key);
    found.push(finding);
  }
  return found.sort((a, b) => a.line - b.line);
}

export function keyOf({ line, code, field, message }: Finding): string {
  return `${line} ${code} ${field ?? ""} ${message}`;
}

/** How many there are of each code, in all: the base model repeats what is wrong with the file. */
export function totals(
  file: Readonly<Record<string, number>>,
  encoded: Readonly<Record<string, number>>,
): Map<ProblemCode, number> {
  const counts = new Map<ProblemCode, number>();
  for (const [code, count] of [...Object.entries(file), ...Object.entries(encoded)]) {
    const known = code as ProblemCode;
    counts.set(known, Math.max(counts.get(known) ?? 0, count));
  }
  return counts;
}

export interface Filter {
  verdict?: string | undefined;
  code?: string | undefined;
}

export function filtered(findings: readonly Finding[], { verdict, code }: Filter): Finding[] {
  return findings.filter(
    (finding) =>
      (verdict === undefined || finding.verdict === verdict) &&
      (code === undefined || finding.code === code),
  );
}

export interface CodeCount {
  code: ProblemCode;
  count: number;
}

/** The codes among these findings, most frequent first. */
export function codesOf(findings: readonly Finding[]): CodeCount[] {
  const counts = new Map<ProblemCode, number>();
  for (const { code } of findings) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts]
    .map(([code, count]) => ({ code, count }))
    .sort((a, b) => b.count - a.count || a.code.localeCompare(b.code));
}

/** "What is wrong. What to do." as two; the service writes the remedy last. */
export function parted(message: string): { reason: string; fix: string | null } {
  // The note in brackets says where in the bytes, and belongs to the reason.
  const [, said = message, note = ""] = /^(.*?)(\s\([^()]*\))?$/s.exec(message) ?? [];
  const sentences = said.match(/[^.]+(?:\.(?!\s|$)[^.]*)*\.?(?:\s+|$)/g) ?? [said];
  if (sentences.length < 2) return { reason: message, fix: null };
  const fix = sentences.at(-1)?.trim() ?? null;
  return { reason: `${sentences.slice(0, -1).join("").trim()}${note}`, fix };
}

// -- CSV -------------------------------------------------------------------------------------------

/** Reads the findings' CSV as it arrives. Spreadsheet-safe cells begin with an apostrophe. */
export class FindingsReader {
  #row: string[] = [];
  #cell = "";
  #quoted = false;
  #closing = false;

  /** The findings that are whole after this text. */
  read(text: string): Finding[] {
    const found: Finding[] = [];
    for (const sign of text) {
      if (this.#closing) {
        this.#closing = false;
        if (sign === '"') {
          this.#cell += '"';
          continue;
        }
        this.#quoted = false;
      }
      if (this.#quoted) {
        if (sign === '"') this.#closing = true;
        else this.#cell += sign;
      } else if (sign === '"') this.#quoted = true;
      else if (sign === ",") this.#endCell();
      else if (sign === "\n") {
        this.#endCell();
        const finding = findingOf(this.#row);
        this.#row = [];
        if (finding !== null) found.push(finding);
      } else if (sign !== "\r") this.#cell += sign;
    }
    return found;
  }

  #endCell(): void {
    this.#row.push(this.#cell);
    this.#cell = "";
  }
}

function findingOf(cells: readonly string[]): Finding | null {
  const [line, verdict, code, field, message] = cells;
  if (message === undefined || field === undefined || !/^\d+$/.test(line ?? "")) return null;
  return {
    line: Number(line),
    verdict: verdict as Verdict,
    code: code as ProblemCode,
    field: bare(field) || null,
    message: bare(message),
  };
}

function bare(cell: string): string {
  return cell.startsWith("'") ? cell.slice(1) : cell;
}
