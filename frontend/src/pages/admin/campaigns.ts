// What a campaign's dates, counts and budget come to.

import type { CampaignRow } from "./data";

export type CampaignState = "open" | "scheduled" | "ended" | "used_up" | "revoked";

type Bounds = Pick<
  CampaignRow,
  | "revoked_at"
  | "starts_at"
  | "ends_at"
  | "redemptions"
  | "redemptions_max"
  | "credits"
  | "credits_max"
  | "amount"
>;

export function campaignState(campaign: Bounds, nowSeconds: number): CampaignState {
  if (campaign.revoked_at !== null) return "revoked";
  if (campaign.ends_at !== null && campaign.ends_at <= nowSeconds) return "ended";
  if (campaign.starts_at > nowSeconds) return "scheduled";
  const { redemptions_max: most, credits_max: budget } = campaign;
  if (most !== null && campaign.redemptions >= most) return "used_up";
  if (budget !== null && campaign.credits + campaign.amount > budget) return "used_up";
  return "open";
}

/** "example.org, @school.edu" as a list of domains. */
export function domains(typed: string): string[] {
  return typed
    .split(/[\s,;]+/)
    .map((domain) => domain.replace(/^@/, "").toLowerCase())
    .filter((domain) => domain !== "");
}

/** The codes as a spreadsheet reads them. They hold letters, digits and dashes only. */
export function codesCsv(codes: readonly { id: string; code: string }[]): string {
  return ["code,id", ...codes.map(({ code, id }) => `${code},${id}`), ""].join("\r\n");
}

/** The number of an invariant of the books ("I4 no hold is …"), for what it means. */
export function invariantNumber(name: string): string | null {
  return /^I\d+/.exec(name)?.[0] ?? null;
}
