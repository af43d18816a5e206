// What a statement's entry means: its sign, and what it is about.

import { ask, http, type Schemas } from "../../client/http";

export type Entry = Schemas["StatementEntry"];
export type EntryType = Entry["type"];

/** +1 comes in, -1 is gone, 0 only moves between what is available and what is held. */
const SIGNS: Record<EntryType, -1 | 0 | 1> = {
  grant: 1,
  refund: 1,
  settle: -1,
  expiry: -1,
  correction: -1,
  hold: 0,
  release: 0,
};

export function signed(entry: Pick<Entry, "type" | "amount">): number {
  return SIGNS[entry.type] * entry.amount;
}

export function movesOnly(type: EntryType): boolean {
  return SIGNS[type] === 0;
}

export type Subject =
  | { kind: "job"; id: string }
  | { kind: "chat"; id: string }
  | { kind: "voucher" | "sign_up" | "referral" | "operator" | "refund" | "other"; id: string };

/** The ledger names what an entry is about by its id: a job, a chat turn or a grant. */
export function subjectOf(subject: string): Subject {
  const kinds = [
    ["ftjob-", "job"],
    ["chatcmpl-", "chat"],
    ["grant/voucher/", "voucher"],
    ["grant/sign-up/", "sign_up"],
    ["grant/referral/", "referral"],
    ["grant/refund/", "refund"],
    ["grant/operator/", "operator"],
  ] as const;
  const kind = kinds.find(([prefix]) => subject.startsWith(prefix))?.[1] ?? "other";
  return { kind, id: subject };
}

/** Whether the reason tells what type and subject do not: what a person wrote, or a campaign. */
export function saysMore(entry: Pick<Entry, "type" | "subject">): boolean {
  if (entry.type === "refund" || entry.type === "correction") return true;
  const { kind } = subjectOf(entry.subject);
  return entry.type === "grant" && kind !== "sign_up" && kind !== "referral";
}

/** From the start of one day of the reader's (2026-11-01) to the end of another, as moments. */
export function period(
  since: string | undefined,
  until: string | undefined,
): { since?: string; until?: string } {
  const from = startOfDay(since ?? "");
  const to = endOfDay(until ?? "");
  return { ...(from !== null && { since: from }), ...(to !== null && { until: to }) };
}

function momentOf(day: string, later: number): string | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day);
  if (match === null) return null;
  const at = new Date(Number(match[1]), Number(match[2]) - 1, Number(match[3]) + later);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

const PAGE = 1_000;

/** The entries about one job: they are in the books from its creation on. */
export async function entriesOf(
  jobId: string,
  createdAt: number,
  signal: AbortSignal,
): Promise<Entry[]> {
  const since = new Date(createdAt * 1_000).toISOString();
  const found: Entry[] = [];
  let after: string | null = null;
  do {
    const query = { limit: PAGE, order: "asc" as const, since, ...(after !== null && { after }) };
    const page: StatementPage = await ask(
      http.GET("/v1/credits/statement", { params: { query }, signal }),
    );
    found.push(...page.data.filter((entry) => entry.subject === jobId));
    after = page.has_more ? page.last_id : null;
  } while (after !== null);
  return found;
}

interface StatementPage {
  data: Entry[];
  has_more: boolean;
  last_id: string | null;
}

/** The moments at which a day of the reader's begins and is over; null where none is named. */
export function startOfDay(day: string): string | null {
  return momentOf(day, 0);
}

export function endOfDay(day: string): string | null {
  return momentOf(day, 1);
}
