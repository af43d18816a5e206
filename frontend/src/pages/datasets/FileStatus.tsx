// Where a file stands: being read, read, or not usable.

import { CircleCheck, CircleX, LoaderCircle } from "lucide-react";
import { useTranslation } from "react-i18next";
import type { File } from "./data";
import css from "./Verdicts.module.css";

const LOOKS = {
  uploaded: { tone: "tone-accent", icon: LoaderCircle },
  processed: { tone: "tone-good", icon: CircleCheck },
  error: { tone: "tone-bad", icon: CircleX },
} as const;

export function FileStatus({ status }: { status: File["status"] }) {
  const { t } = useTranslation();
  const { tone, icon: Icon } = LOOKS[status];
  return (
    <span className={`${css.mark} ${tone}`} data-status={status}>
      <Icon size={14} aria-hidden="true" />
      {t(`datasets.status.${status}`)}
    </span>
  );
}
