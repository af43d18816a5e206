// One upload in the tray.

import { ActionIcon, Button, FileButton, Tooltip } from "@mantine/core";
import { Check, CircleAlert, Pause, Play, X } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ButtonLink } from "../design/links";
import { useRefusal } from "../design/Notes";
import { bytes, duration, moment } from "../design/numbers";
import { Progress } from "../design/Status";
import { useNow } from "../hooks/useNow";
import type { Shown } from "./store";
import { Unusable } from "./transfer";
import css from "./Uploads.module.css";
import { uploads } from "./uploads";

export function Item({ upload }: { upload: Shown }) {
  const { t } = useTranslation();
  const { name, size, state, sent } = upload;
  const moving = state === "uploading" || state === "checking";
  return (
    <li className={css.item} aria-label={name}>
      <div className={css.line}>
        <span className={`${css.name} clip`} title={name}>
          {name}
        </span>
        <Acts upload={upload} />
      </div>
      {state !== "done" && size > 0 && (
        <Progress
          step={sent}
          total={size}
          still={!moving}
          label={t("uploads.progress", { name })}
        />
      )}
      <div className={css.line}>
        <Mark upload={upload} />
        <Numbers upload={upload} />
      </div>
      <Note upload={upload} />
      <Next upload={upload} />
    </li>
  );
}

const TONES = {
  queued: "quiet",
  uploading: "accent",
  waiting: "warn",
  paused: "quiet",
  checking: "accent",
  absent: "warn",
  done: "good",
  failed: "bad",
  cancelled: "quiet",
} as const;

function Mark({ upload: { state } }: { upload: Shown }) {
  const { t } = useTranslation();
  return (
    <span className={`${css.state} tone-${TONES[state]}`} data-state={state}>
      {state === "done" && <Check size={14} aria-hidden="true" />}
      {state === "failed" && <CircleAlert size={14} aria-hidden="true" />}
      {t(`uploads.state.${state}`)}
    </span>
  );
}

function Numbers({ upload }: { upload: Shown }) {
  const { t } = useTranslation();
  const { size, sent, state, bytesPerSecond: speed } = upload;
  if (size === 0) return null;
  if (state === "done") return <span className={css.numbers}>{bytes(size)}</span>;
  const parts = [t("uploads.amount", { sent: bytes(sent), size: bytes(size) })];
  if (speed !== null && speed > 0) {
    parts.push(t("uploads.speed", { n: bytes(speed) }));
    parts.push(t("uploads.left", { duration: duration((size - sent) / speed) }));
  }
  return <span className={css.numbers}>{parts.join(" · ")}</span>;
}

function Note({ upload }: { upload: Shown }) {
  const { t } = useTranslation();
  const { state, name, size, lastModified, mismatch, error } = upload;
  if (state === "waiting") return <Waiting upload={upload} />;
  if (state === "checking") return <p className={css.note}>{t("uploads.checking")}</p>;
  if (state === "failed" && error !== null) return <Failure error={error} />;
  if (state !== "absent") return null;
  if (mismatch === null) return <p className={css.note}>{t("uploads.absent")}</p>;
  const said = { other: mismatch, name, size: bytes(size), changed: moment(lastModified / 1_000) };
  return (
    <p className={css.bad} role="alert">
      {t("uploads.mismatch", said)}
    </p>
  );
}

function Waiting({ upload: { waitingFor, retryAt } }: { upload: Shown }) {
  const { t } = useTranslation();
  const now = useNow(retryAt === null ? null : 1_000);
  const what = waitingFor === "network" ? "network" : "service";
  const n = retryAt === null ? 0 : Math.ceil((retryAt - now) / 1_000);
  return (
    <p className={css.note}>
      {n > 0 ? t(`uploads.waiting.${what}`, { n }) : t("uploads.waiting.now")}
    </p>
  );
}

function Failure({ error }: { error: Error }) {
  const { t } = useTranslation();
  const said = useRefusal(error);
  if (error instanceof Unusable) {
    return <p className={css.bad}>{t(`uploads.unusable.${error.reason}`)}</p>;
  }
  return (
    <>
      <p className={css.bad}>{said?.sentence}</p>
      {said?.detail && <p className={css.note}>{said.detail}</p>}
    </>
  );
}

function Next({ upload }: { upload: Shown }) {
  const { t } = useTranslation();
  const { key, name, state, file, retryable } = upload;
  if (state === "done" && file !== null) {
    return (
      <div className={css.next}>
        <ButtonLink
          to="/datasets/$fileId"
          params={{ fileId: file.id }}
          variant="default"
          size="xs"
          onClick={() => uploads.dismiss(key)}
        >
          {t("uploads.act.open")}
        </ButtonLink>
      </div>
    );
  }
  if (state === "failed" && retryable) {
    return (
      <div className={css.next}>
        <Button variant="default" size="xs" onClick={() => uploads.resume(key)}>
          {t("uploads.act.retry")}
        </Button>
      </div>
    );
  }
  if (state !== "absent") return null;
  return (
    <div className={css.next}>
      <FileButton onChange={(chosen) => chosen !== null && uploads.choose(key, chosen)}>
        {(props) => (
          <Button
            {...props}
            variant="default"
            size="xs"
            aria-label={t("uploads.act.chooseNamed", { name })}
          >
            {t("uploads.act.choose")}
          </Button>
        )}
      </FileButton>
    </div>
  );
}

function Acts({ upload: { key, name, state } }: { upload: Shown }) {
  const { t } = useTranslation();
  const over = state === "done" || state === "failed";
  const pausable = state === "uploading" || state === "waiting" || state === "queued";
  return (
    <span className={css.acts}>
      {pausable && (
        <Act label={t("uploads.act.pause", { name })} onClick={() => uploads.pause(key)}>
          <Pause size={15} />
        </Act>
      )}
      {state === "paused" && (
        <Act label={t("uploads.act.resume", { name })} onClick={() => uploads.resume(key)}>
          <Play size={15} />
        </Act>
      )}
      {over ? (
        <Act label={t("uploads.act.dismiss", { name })} onClick={() => uploads.dismiss(key)}>
          <X size={15} />
        </Act>
      ) : (
        <Act label={t("uploads.act.cancel", { name })} onClick={() => uploads.cancel(key)}>
          <X size={15} />
        </Act>
      )}
    </span>
  );
}

function Act(props: { label: string; onClick: () => void; children: ReactNode }) {
  return (
    <Tooltip label={props.label}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="sm"
        aria-label={props.label}
        onClick={props.onClick}
      >
        {props.children}
      </ActionIcon>
    </Tooltip>
  );
}
