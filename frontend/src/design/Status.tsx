// The one table of what a job's status looks like; the compiler refuses a status without a row.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../client/http";
import css from "./Status.module.css";

export type JobStatus = Schemas["JobStatus"];

type Tone = "quiet" | "accent" | "warn" | "good" | "bad";

interface Look {
  tone: Tone;
  icon: ReactNode;
}

const STATUS_LOOKS: Record<JobStatus, Look> = {
  validating_files: {
    tone: "quiet",
    icon: <circle cx="8" cy="8" r="5.5" strokeDasharray="2.2 2.2" />,
  },
  queued: {
    tone: "quiet",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <path d="M8 5v3l2 1.5" />
      </>
    ),
  },
  running: {
    tone: "accent",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <circle cx="8" cy="8" r="2.5" fill="currentColor" stroke="none" />
      </>
    ),
  },
  paused: {
    tone: "warn",
    icon: <path d="M5.5 3.5v9M10.5 3.5v9" strokeWidth="2.4" />,
  },
  succeeded: {
    tone: "good",
    icon: <path d="M3 8.5l3.2 3.2L13 4.8" strokeWidth="2" />,
  },
  failed: {
    tone: "bad",
    icon: <path d="M4 4l8 8M12 4l-8 8" strokeWidth="2" />,
  },
  cancelled: {
    tone: "quiet",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <path d="M4.2 11.8l7.6-7.6" />
      </>
    ),
  },
};

export const JOB_STATUSES = Object.keys(STATUS_LOOKS) as JobStatus[];

export function isTerminal(status: JobStatus): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

export function StatusMark({ status }: { status: JobStatus }) {
  const { t } = useTranslation();
  const look = STATUS_LOOKS[status];
  return (
    <span className={`${css.status} tone-${look.tone}`} data-status={status}>
      <svg className={css.icon} viewBox="0 0 16 16" aria-hidden="true">
        {look.icon}
      </svg>
      {t(`codes.status.${status}`)}
    </span>
  );
}

/** How far a job has come; grey while it does not move. */
export function Progress({
  step,
  total,
  label,
  still,
}: {
  step: number;
  total: number;
  label: string;
  still: boolean;
}) {
  const share = total === 0 ? 0 : Math.min(1, step / total);
  return (
    <div
      className={still ? `${css.bar} ${css.still}` : css.bar}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={step}
    >
      <div style={{ width: `${share * 100}%` }} />
    </div>
  );
}
