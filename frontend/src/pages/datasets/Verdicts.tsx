// Verdicts: as a mark with a word, and as a bar of how many rows have each.

import { CircleCheck, CircleX, TriangleAlert, Wrench } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { whole } from "../../design/numbers";
import type { Verdict } from "./problems";
import css from "./Verdicts.module.css";

const LOOKS: Record<Verdict, { tone: string; icon: ReactNode }> = {
  good: { tone: "tone-good", icon: <CircleCheck size={14} aria-hidden="true" /> },
  warned: { tone: "tone-warn", icon: <TriangleAlert size={14} aria-hidden="true" /> },
  repairable: { tone: "tone-accent", icon: <Wrench size={14} aria-hidden="true" /> },
  bad: { tone: "tone-bad", icon: <CircleX size={14} aria-hidden="true" /> },
};

export function VerdictMark({ verdict, word }: { verdict: Verdict; word?: string }) {
  const { t } = useTranslation();
  const { tone, icon } = LOOKS[verdict];
  return (
    <span className={`${css.mark} ${tone}`}>
      {icon}
      {word ?? t(`datasets.verdict.${verdict}`)}
    </span>
  );
}

export interface VerdictCounts {
  good: number;
  warned: number;
  repairable: number;
  bad: number;
}

const ORDER = ["good", "warned", "repairable", "bad"] as const satisfies readonly Verdict[];

export function VerdictBar({ counts }: { counts: VerdictCounts }) {
  const { t } = useTranslation();
  const there = ORDER.filter((verdict) => counts[verdict] > 0);
  return (
    <div className={css.verdicts}>
      <div className={css.bar} aria-hidden="true">
        {there.map((verdict) => (
          <i key={verdict} className={css[verdict]} style={{ flexGrow: counts[verdict] }} />
        ))}
      </div>
      <ul className={css.counts}>
        {there.map((verdict) => (
          <li
            key={verdict}
            className={LOOKS[verdict].tone}
            title={t(`datasets.verdict.${verdict}`)}
          >
            {LOOKS[verdict].icon}
            {whole(counts[verdict])}
            <span className="unseen">{t(`datasets.verdict.${verdict}`)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
