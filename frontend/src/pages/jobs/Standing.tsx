import { CircleAlert } from "lucide-react";
import { memo, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useMe } from "../../client/session";
import { ButtonLink } from "../../design/links";
import { credits, duration, whole } from "../../design/numbers";
import { isTerminal, Progress } from "../../design/Status";
import type { Job } from "../../hooks/useJob";
import { useHeard } from "./heard";
import { advance } from "./progress";
import css from "./Standing.module.css";

export const Standing = memo(function Standing({ job }: { job: Job }) {
  if (job.status === "failed") return <Failed job={job} />;
  if (isTerminal(job.status)) return null;
  return (
    <section className={css.standing}>
      <Bar job={job} />
      {job.status !== "running" && <Why job={job} />}
    </section>
  );
});

function Bar({ job }: { job: Job }) {
  const { t } = useTranslation();
  const { step, total, etaSeconds } = advance(job, useHeard());
  const label = t("job.step", { step: whole(step), total: total === 0 ? "…" : whole(total) });
  return (
    <>
      <div className={css.line}>
        <b>{label}</b>
        {etaSeconds !== null && <span>{t("job.left", { duration: duration(etaSeconds) })}</span>}
        {job.cancel_requested && <span className="tone-warn">{t("job.cancelling")}</span>}
        {job.attempt > 1 && <span className="dim">{t("job.attempt", { n: job.attempt })}</span>}
      </div>
      <Progress step={step} total={total} label={label} still={job.status !== "running"} />
    </>
  );
}

function Why({ job }: { job: Job }) {
  const { t } = useTranslation();
  if (job.status === "paused") return <Paused job={job} />;
  if (job.status === "validating_files") return <p>{t("job.why.validating_files")}</p>;
  return (
    <p>
      {t("job.why.queued")} {job.step > 0 && t("job.why.again")}
    </p>
  );
}

function Paused({ job }: { job: Job }) {
  const { t } = useTranslation();
  const me = useMe();
  if (job.pause === null) return <p>{t("job.why.paused")}</p>;
  const missing = Math.max(0, job.pause.quote.credits - job.held_credits);
  const { available } = me.credits;
  if (missing <= available) return <p>{t("job.why.outOfCreditReady")}</p>;
  return (
    <Note tone="warn">
      <p>
        {t("job.why.outOfCredit", { missing: credits(missing), available: credits(available) })}
      </p>
      <ButtonLink to="/credits" variant="default" size="xs">
        {t("job.why.redeem")}
      </ButtonLink>
    </Note>
  );
}

function Failed({ job }: { job: Job }) {
  const { t, i18n } = useTranslation();
  const { error } = job;
  const charged = job.charged_credits ?? 0;
  const words = error === null ? "" : t(`codes.errors.${error.code}`);
  const english = i18n.language === "en";
  return (
    <Note tone="bad">
      <div>
        <p>
          <b>{t("job.why.failed")}</b> {english || words === "" ? error?.message : words}
        </p>
        {!english && <p className="dim">{error?.message}</p>}
        <p className="dim">
          {charged === 0
            ? t("job.why.notCharged")
            : t("job.why.charged", { credits: credits(charged) })}
        </p>
      </div>
      <div className={css.acts}>
        {error?.code === "invalid_training_file" && (
          <ButtonLink
            to="/datasets/$fileId"
            params={{ fileId: job.training_file }}
            variant="default"
            size="xs"
          >
            {t("job.why.report")}
          </ButtonLink>
        )}
        <ButtonLink to="/jobs/new" search={{ from: job.id }} size="xs">
          {t("job.why.startAgain")}
        </ButtonLink>
      </div>
    </Note>
  );
}

function Note({ tone, children }: { tone: "warn" | "bad"; children: ReactNode }) {
  return (
    <div className={`${css.note} ${css[tone]}`} role={tone === "bad" ? "alert" : "status"}>
      <CircleAlert size={16} aria-hidden="true" className={`tone-${tone}`} />
      {children}
    </div>
  );
}
