// Beside the curves: what the job is made of, what it costs, and every setting with its origin.

import { useQuery } from "@tanstack/react-query";
import { memo, type ReactNode, useMemo } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { CopyButton } from "../../design/Copy";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { duration, moment, NONE, significant, whole } from "../../design/numbers";
import { Facts, Panel } from "../../design/Panel";
import { isTerminal } from "../../design/Status";
import type { Job } from "../../hooks/useJob";
import { useHeard } from "./heard";
import css from "./JobFacts.module.css";
import { advance, charge } from "./progress";
import { settingsOf } from "./runs";

export const JobFacts = memo(function JobFacts({ job }: { job: Job }) {
  return (
    <>
      <Made job={job} />
      <Costs job={job} />
      <Settings job={job} />
    </>
  );
});

type Row = readonly [string, ReactNode];

function Made({ job }: { job: Job }) {
  const { t } = useTranslation();
  const { quote, spec } = job;
  const rows: Row[] = [[t("job.facts.base"), job.model]];
  if (job.fine_tuned_model !== null) {
    rows.push([t("job.facts.tuned"), <Id key="tuned" id={job.fine_tuned_model} />]);
  }
  rows.push([t("job.facts.data"), <DataLink key="data" id={job.training_file} />]);
  if (job.validation_file !== null) {
    rows.push([t("job.facts.validation"), <DataLink key="v" id={job.validation_file} />]);
  }
  if (quote !== null) {
    const [train, heldOut] = [whole(quote.train_rows), whole(quote.held_out_rows)];
    rows.push([t("job.facts.rows"), t("job.facts.rowsValue", { train, heldOut })]);
  }
  if (spec !== null) rows.push([t("job.facts.method"), methodText(spec)]);
  if (job.attempt > 0) {
    rows.push([t("job.facts.tokens"), <TrainedTokens key="tokens" job={job} />]);
    rows.push([t("job.facts.speed"), <Speed key="speed" job={job} />]);
  }
  rows.push([t("job.facts.attempt"), job.attempt === 0 ? NONE : whole(job.attempt)]);
  rows.push([t("job.facts.seed"), String(job.seed)]);
  rows.push([t("job.facts.created"), moment(job.created_at)]);
  if (job.finished_at !== null) {
    rows.push([t("job.facts.finished"), moment(job.finished_at)]);
    rows.push([t("job.facts.took"), duration(job.finished_at - job.created_at)]);
  }
  rows.push([t("job.facts.id"), <Id key="id" id={job.id} />]);
  return (
    <Panel title={t("job.facts.title")}>
      <Facts rows={rows} />
    </Panel>
  );
}

function TrainedTokens({ job }: { job: Job }) {
  const { t } = useTranslation();
  const { trainedTokens } = advance(job, useHeard());
  const n = whole(trainedTokens);
  if (job.quote === null || trainedTokens === null) return n;
  return t("job.facts.tokensOf", { n, total: whole(job.quote.trained_tokens) });
}

function Speed({ job }: { job: Job }) {
  const { t } = useTranslation();
  const { speed } = advance(job, useHeard());
  return speed === null ? NONE : t("job.facts.speedValue", { n: whole(speed) });
}

function Used({ job, quote }: { job: Job; quote: NonNullable<Job["quote"]> }) {
  const { trainedTokens } = advance(job, useHeard());
  // After steps that were not heard, it is not known until the next one.
  if (trainedTokens === null && job.step > 0) return NONE;
  return <Money micro={charge(quote, trainedTokens ?? 0)} />;
}

function Id({ id }: { id: string }) {
  return (
    <>
      <code>{id}</code> <CopyButton text={id} />
    </>
  );
}

export function DataLink({ id }: { id: string }) {
  const file = useQuery({
    queryKey: ["files", id],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/files/{file_id}", { params: { path: { file_id: id } }, signal })),
    staleTime: 60_000,
  });
  return (
    <AnchorLink to="/datasets/$fileId" params={{ fileId: id }} size="sm">
      {file.data?.filename ?? id}
    </AnchorLink>
  );
}

function methodText(spec: NonNullable<Job["spec"]>): string {
  const { method, precision } = spec;
  return [`LoRA r${method?.rank ?? ""}`, `α ${method?.alpha ?? ""}`, precision].join(" · ");
}

function Costs({ job }: { job: Job }) {
  const { t } = useTranslation();
  const { quote } = job;
  if (quote === null && !isTerminal(job.status)) {
    return (
      <Panel title={t("job.money.title")}>
        <p className="dim">{t("job.money.unpriced")}</p>
      </Panel>
    );
  }
  const rows: Row[] = [];
  if (quote !== null) rows.push([t("job.money.quote"), <Money key="q" micro={quote.credits} />]);
  if (isTerminal(job.status)) {
    rows.push([t("job.money.charged"), <Money key="c" micro={job.charged_credits ?? 0} />]);
  } else if (quote !== null) {
    rows.push([t("job.money.held"), <Money key="h" micro={job.held_credits} />]);
    rows.push([t("job.money.used"), <Used key="u" job={job} quote={quote} />]);
  }
  return (
    <Panel
      title={t("job.money.title")}
      actions={
        <AnchorLink to="/jobs/$jobId/receipt" params={{ jobId: job.id }} size="sm">
          {t("job.money.receipt")}
        </AnchorLink>
      }
    >
      <Facts rows={rows} />
      {!isTerminal(job.status) && <p className="dim">{t("job.money.explain")}</p>}
    </Panel>
  );
}

function Settings({ job }: { job: Job }) {
  const { t } = useTranslation();
  const rows = useMemo(
    () =>
      Object.entries(settingsOf(job)).map(([name, value]): Row => {
        const text = value === null ? t("job.settings.auto") : settingText(name, value);
        return [name, text];
      }),
    [job, t],
  );
  return (
    <Panel title={t("job.settings.title")}>
      <div className={css.settings}>
        <Facts rows={rows} />
      </div>
    </Panel>
  );
}

export function settingText(name: string, value: unknown): string {
  if (name === "seed") return String(value);
  if (typeof value === "number") return Number.isInteger(value) ? whole(value) : significant(value);
  if (Array.isArray(value)) return value.join(", ");
  return value === null || value === undefined ? NONE : String(value);
}
