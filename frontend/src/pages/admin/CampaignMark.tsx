// Whether a campaign gives anything now, in a word and a tone.

import { useTranslation } from "react-i18next";
import { useNow } from "../../hooks/useNow";
import { type CampaignState, campaignState } from "./campaigns";
import type { CampaignRow } from "./data";

const TONES: Record<CampaignState, string> = {
  open: "tone-good",
  scheduled: "tone-accent",
  ended: "tone-quiet",
  used_up: "tone-warn",
  revoked: "tone-bad",
};

export function CampaignMark({ campaign }: { campaign: CampaignRow }) {
  const { t } = useTranslation();
  const state = campaignState(campaign, useNow(60_000) / 1_000);
  return <span className={TONES[state]}>{t(`admin.campaigns.states.${state}`)}</span>;
}
