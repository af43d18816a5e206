// How a file is read, as one edits it: what was detected as fields, fields as a mapping, and which
// field a refusal is about.

import type { Schemas } from "../../client/http";

export type Mapping = Schemas["Mapping"];
export type Form = Schemas["Form"];
export type Kind = Schemas["Kind"];

export const FORMS = [
  "messages",
  "alpaca",
  "sharegpt",
  "prompt_completion",
  "text",
] as const satisfies readonly Form[];

export const KINDS = [
  "conversation",
  "text",
  "preference",
  "kto",
] as const satisfies readonly Kind[];

export const TAGS = [
  "role",
  "content",
  "user",
  "assistant",
  "observation",
  "function",
  "system",
] as const;
export type Tag = (typeof TAGS)[number];

const OWN: Record<Form, readonly string[]> = {
  messages: ["messages"],
  alpaca: ["instruction", "input", "output", "history"],
  sharegpt: ["conversations"],
  prompt_completion: ["prompt", "completion"],
  text: ["text"],
};

/** Our names of what rows of this form and kind can have. */
export function namesOf(form: Form | null, kind: Kind | null): string[] {
  if (form === null) return [];
  if (form === "text") return [...OWN.text];
  const pair = kind === "preference" ? ["chosen", "rejected"] : [];
  const label = kind === "kto" ? ["label"] : [];
  return [...OWN[form], ...pair, ...label, "system", "tools"];
}

/** Forms whose turns say who speaks under names that files choose. */
export function hasTags(form: Form | null): boolean {
  return form === "sharegpt" || form === "messages";
}

export interface Draft {
  form: Form | null;
  kind: Kind | null;
  columns: Record<string, string>;
  tags: Partial<Record<Tag, string>>;
}

/** What was detected or said, as fields to edit. */
export function draftOf(report: Schemas["Report"]): Draft {
  const found = report.report;
  const said = report.mapping ?? found?.mapping ?? null;
  const tags: Draft["tags"] = {};
  for (const name of TAGS) {
    const word = said?.tags?.[name];
    if (word) tags[name] = word;
  }
  return {
    form: said?.form ?? found?.form ?? null,
    kind: said?.kind ?? found?.kind ?? null,
    columns: { ...said?.columns },
    tags,
  };
}

/** The mapping to send: only what is said, of names that this form has. */
export function mappingOf({ form, kind, columns, tags }: Draft): Mapping {
  const names = namesOf(form, kind);
  const kept = Object.entries(columns)
    .map(([ours, theirs]) => [ours, theirs.trim()] as const)
    .filter(([ours, theirs]) => theirs !== "" && theirs !== ours && names.includes(ours));
  const word = (name: Tag) => tags[name]?.trim() || null;
  const tagged = hasTags(form) && TAGS.some((name) => word(name) !== null);
  const usual = form === "messages" ? { role: "role", content: "content" } : null;
  return {
    form,
    kind,
    columns: Object.fromEntries(kept),
    tags: tagged
      ? {
          role: word("role") ?? usual?.role ?? "from",
          content: word("content") ?? usual?.content ?? "value",
          user: word("user"),
          assistant: word("assistant"),
          observation: word("observation"),
          function: word("function"),
          system: word("system"),
        }
      : null,
  };
}

export const DETECT: Mapping = { form: null, kind: null, columns: {}, tags: null };

/** What was refused, by the field it is about; "" for what is about none of them. */
export function refusedFields(message: string, draft: Draft): Map<string, string> {
  const starts = [
    ...message.matchAll(
      /(?:^|(?<=\. ))(?:`((?:columns|tags)\.\w+|form|kind)`|The column `([^`]+)`|Rows of form|Two of `tags`)/g,
    ),
  ];
  const found = new Map<string, string>();
  const say = (field: string, text: string) => {
    const before = found.get(field);
    found.set(field, before === undefined ? text : `${before} ${text}`);
  };
  const first = starts[0]?.index ?? message.length;
  if (first > 0) say("", message.slice(0, first).trim());
  starts.forEach((start, at) => {
    const text = message.slice(start.index, starts[at + 1]?.index ?? message.length).trim();
    const [whole, field, theirs] = start;
    if (field !== undefined) say(field, text);
    else if (theirs !== undefined) {
      const twice = Object.keys(draft.columns).filter((ours) => draft.columns[ours] === theirs);
      for (const ours of twice) say(`columns.${ours}`, text);
      if (twice.length === 0) say("", text);
    } else say(whole.startsWith("Rows") ? "kind" : "tags.role", text);
  });
  return found;
}

/** A dataset_info.json as pasted; null where it is no JSON object. */
export function pastedInfo(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
    return value as Record<string, unknown>;
  } catch {
    return null;
  }
}
