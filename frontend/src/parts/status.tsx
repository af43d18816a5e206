// The one table of what a job's status looks like; the compiler refuses a status without a row.

import type { ReactNode } from "react";
import type { JobStatus } from "../client/wire";
import { words } from "../words";

type Tone = "quiet" | "accent" | "warn" | "good" | "bad";

interface Look {
  label: string;
  tone: Tone;
  icon: ReactNode;
}

const STATUS_LOOKS: Record<JobStatus, Look> = {
  validating_files: {
    label: words.status.validating_files,
    tone: "quiet",
    icon: <circle cx="8" cy="8" r="5.5" strokeDasharray="2.2 2.2" />,
  },
  queued: {
    label: words.status.queued,
    tone: "quiet",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <path d="M8 5v3l2 1.5" />
      </>
    ),
  },
  running: {
    label: words.status.running,
    tone: "accent",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <circle cx="8" cy="8" r="2.5" fill="currentColor" stroke="none" />
      </>
    ),
  },
  paused: {
    label: words.status.paused,
    tone: "warn",
    icon: <path d="M5.5 3.5v9M10.5 3.5v9" strokeWidth="2.4" />,
  },
  succeeded: {
    label: words.status.succeeded,
    tone: "good",
    icon: <path d="M3 8.5l3.2 3.2L13 4.8" strokeWidth="2" />,
  },
  failed: {
    label: words.status.failed,
    tone: "bad",
    icon: <path d="M4 4l8 8M12 4l-8 8" strokeWidth="2" />,
  },
  cancelled: {
    label: words.status.cancelled,
    tone: "quiet",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <path d="M4.2 11.8l7.6-7.6" />
      </>
    ),
  },
};

export function statusLabel(status: JobStatus): string {
  return STATUS_LOOKS[status].label;
}

export function StatusMark({ status }: { status: JobStatus }) {
  const look = STATUS_LOOKS[status];
  return (
    <span className={`status tone-${look.tone}`}>
      <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
        {look.icon}
      </svg>
      {look.label}
    </span>
  );
}
