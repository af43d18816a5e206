// The price, what it is made of, and what stands in the way of starting.

import { Button, Skeleton, VisuallyHidden } from "@mantine/core";
import { Play, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Refused, type Schemas } from "../../client/http";
import { useMe } from "../../client/session";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { bytes, duration, whole } from "../../design/numbers";
import { missingCredits, useForm } from "./form";
import css from "./NewJob.module.css";
import { Obstacles } from "./Obstacles";
import { SETTING_NAMES, type SettingName } from "./parameters";
import { Fold } from "./SettingField";
import type { useStart } from "./useStart";
import { isStale } from "./useStart";
import { valueWords } from "./words";

type Ready = Schemas["QuoteAnswer"] & { quote: Schemas["Quote"] };

interface CardProps {
  start: () => void;
  starting: ReturnType<typeof useStart>;
  startable: boolean;
}

export function QuoteCard({ start, starting, startable }: CardProps) {
  const { quoted } = useForm();
  const ready = readyOf(quoted.answer);
  return (
    <div className={css.quote} aria-busy={!quoted.fresh}>
      <Price />
      {ready !== null && (
        <div data-stale={!quoted.fresh}>
          <Details ready={ready} />
        </div>
      )}
      <Obstacles />
      <StartError error={starting.error} />
      <StartButton start={start} busy={starting.isPending} startable={startable} />
      {ready !== null && <EveryValue ready={ready} />}
    </div>
  );
}

export function readyOf(answer: Schemas["QuoteAnswer"] | null): Ready | null {
  return answer?.status === "ready" && answer.quote !== null ? (answer as Ready) : null;
}

/** The figure alone: on the card, and in the bar of small screens. */
export function Price() {
  const { t } = useTranslation();
  const { quoted, file } = useForm();
  const ready = readyOf(quoted.answer);
  if (file === null) return <p className="dim">{t("newJob.quote.idle")}</p>;
  if (ready === null) {
    const waits = quoted.answer?.status === "preparing" || (!quoted.fresh && !quoted.error);
    return waits ? (
      <div role="status">
        <VisuallyHidden>{t("newJob.quote.working")}</VisuallyHidden>
        <Skeleton height={36} width={140} />
      </div>
    ) : (
      <p className={css.blocked}>{t("newJob.quote.blocked")}</p>
    );
  }
  return (
    <p className={css.price} data-stale={!quoted.fresh} aria-live="polite">
      <b>
        <Money micro={ready.quote.credits} />
      </b>
      <span>{t("newJob.quote.credits")}</span>
      <small>{t("newJob.quote.most")}</small>
    </p>
  );
}

function Details({ ready }: { ready: Ready }) {
  const { t } = useTranslation();
  const { quote, queue, memory, duration: time } = ready;
  const rows: [string, ReactNode][] = [
    [
      t("newJob.quote.tokens"),
      t("newJob.quote.tokensTimes", {
        count: quote.n_epochs,
        tokens: whole(quote.tokens_per_epoch),
      }),
    ],
    [t("newJob.quote.steps"), whole(quote.steps)],
    [
      t("newJob.quote.rows"),
      t("newJob.quote.rowsSplit", {
        train: whole(quote.train_rows),
        heldOut: whole(quote.held_out_rows),
      }),
    ],
  ];
  const count = (n: number) => t("newJob.quote.rowCount", { count: n, n: whole(n) });
  if (ready.rows_left_out > 0) rows.push([t("newJob.quote.leftOut"), count(ready.rows_left_out)]);
  if (ready.rows_cut > 0) rows.push([t("newJob.quote.cut"), count(ready.rows_cut)]);
  if (time !== null) rows.push([t("newJob.quote.takes"), <Takes key="takes" time={time} />]);
  if (queue !== null) rows.push([t("newJob.quote.starts"), <Starts key="starts" queue={queue} />]);
  if (memory !== null) {
    rows.push([
      t("newJob.quote.memory"),
      memory.available === null
        ? bytes(memory.total)
        : t("newJob.quote.memoryOf", {
            need: bytes(memory.total),
            there: bytes(memory.available),
          }),
    ]);
  }
  const left = ready.available_credits - quote.credits;
  if (left >= 0) rows.push([t("newJob.quote.left"), <Money key="left" micro={left} />]);
  return (
    <>
      <dl className={css.quoteFacts}>
        {rows.map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Warnings ready={ready} />
    </>
  );
}

function Takes({ time }: { time: Schemas["Duration"] }) {
  const { t } = useTranslation();
  const low = duration(time.low_seconds);
  const high = duration(time.high_seconds);
  return low === high
    ? t("newJob.quote.takesAbout", { time: low })
    : t("newJob.quote.takesRange", { low, high });
}

function Starts({ queue }: { queue: Schemas["QueuePlace"] }) {
  const { t } = useTranslation();
  if (queue.ahead > 0) return t("newJob.quote.startsAfter", { count: queue.ahead });
  if (queue.running > 0) return t("newJob.quote.startsNext", { count: queue.running });
  return t("newJob.quote.startsNow");
}

/** What does not stop the job, but is worth knowing first. */
function Warnings({ ready }: { ready: Ready }) {
  const { t } = useTranslation();
  const leaked = (ready.leakage?.exact ?? 0) + (ready.leakage?.near ?? 0);
  const warnings = [
    ready.duration?.basis === "assumed" && t("newJob.quote.assumed"),
    leaked > 0 && t("newJob.quote.leaked", { count: leaked, n: whole(leaked) }),
    ready.memory?.fits === false && t("newJob.quote.unfit"),
  ].filter((one) => one !== false);
  if (warnings.length === 0) return null;
  return (
    <ul className={css.warnings}>
      {warnings.map((warning) => (
        <li key={warning}>
          <TriangleAlert size={14} aria-hidden="true" />
          {warning}
        </li>
      ))}
    </ul>
  );
}

function StartError({ error }: { error: Error | null }) {
  const { t } = useTranslation();
  if (!isStale(error)) return <Refusal error={error} />;
  return (
    <p className={css.notice} role="status">
      {t("newJob.quote.requoted")}
    </p>
  );
}

interface StartProps {
  start: () => void;
  busy: boolean;
  startable: boolean;
}

export function StartButton({ start, busy, startable }: StartProps) {
  const { t } = useTranslation();
  return (
    <Button
      fullWidth
      leftSection={<Play size={15} />}
      rightSection={<kbd className={css.key}>{isMac() ? "⌘↵" : "Ctrl ↵"}</kbd>}
      loading={busy}
      disabled={!startable}
      onClick={start}
    >
      {t("newJob.quote.start")}
    </Button>
  );
}

function isMac(): boolean {
  return navigator.platform.startsWith("Mac");
}

/** What everything comes to, and who said so. */
function EveryValue({ ready }: { ready: Ready }) {
  const { t } = useTranslation();
  const { parameters } = useForm();
  const names = SETTING_NAMES.filter((name): name is SettingName => name in ready.effective);
  return (
    <Fold title={t("newJob.quote.values")}>
      <dl className={css.values}>
        {names.map((name) => {
          const found = ready.effective[name];
          return (
            found && (
              <div key={name}>
                <dt>{t(`newJob.settings.${name}.name`)}</dt>
                <dd data-origin={found.origin}>
                  {valueWords(t, parameters?.settings[name], found.value)}
                  <small>{t(`newJob.quote.origin.${found.origin}`)}</small>
                </dd>
              </div>
            )
          );
        })}
      </dl>
    </Fold>
  );
}

/** Whether what is on screen may be started as it stands. */
export function useStartable(): boolean {
  const { quoted } = useForm();
  const me = useMe();
  const ready = readyOf(quoted.answer);
  if (ready === null || !quoted.fresh || quoted.error instanceof Refused) return false;
  return quoted.reading?.body != null && missingCredits(ready, me) === 0;
}
