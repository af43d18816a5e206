// The tour: an example's rows, their price, and a job, each by a click and with its real result.

import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Check, LoaderCircle } from "lucide-react";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, newKey, Refused, type Schemas } from "../../client/http";
import { refreshMe } from "../../client/session";
import { AnchorLink, ButtonLink } from "../../design/links";
import { Refusal } from "../../design/Notes";
import { credits, duration, whole } from "../../design/numbers";
import { Page } from "../../design/Page";
import { isTerminal, StatusMark } from "../../design/Status";
import { useFiles, useModels } from "../datasets/data";
import {
  addExample,
  type Example,
  exampleAmong,
  exampleQuery,
  quoteWhenReady,
  startTour,
  tourBase,
  tourJob,
} from "./tour";
import css from "./Welcome.module.css";

/** Encoding the example takes seconds; behind a queue of large files it may take longer. */
const QUOTE_MS = 10 * 60_000;
const LOOK_MS = 3_000;

export function Welcome() {
  const { t } = useTranslation();
  const example = useQuery(exampleQuery);
  const files = useFiles();
  const models = useModels();
  const failed = [example, files, models].find((query) => query.error !== null);
  const base = tourBase(models.data?.data ?? []);
  const found = example.data && files.data ? exampleAmong(files.data.data, example.data) : null;
  return (
    <Page title={t("door.welcome.title")}>
      <p className={css.text}>{t("door.welcome.text")}</p>
      {failed && <Refusal error={failed.error} retry={() => void failed.refetch()} />}
      <Steps
        key={found?.id ?? "none"}
        example={example.data ?? null}
        file={found}
        base={base}
        looking={files.isPending || example.isPending}
      />
      <p className={css.skip}>
        <AnchorLink to="/jobs">{t("door.welcome.skip")}</AnchorLink>
        <span className="dim">{t("door.welcome.again")}</span>
      </p>
    </Page>
  );
}

interface StepsProps {
  example: Example | null;
  file: Schemas["File"] | null;
  base: Schemas["BaseModelCard"] | null;
  looking: boolean;
}

function Steps({ example, file, base, looking }: StepsProps) {
  const started = useStartedJob(file?.id ?? null);
  const [quote, setQuote] = useState<Schemas["QuoteAnswer"] | null>(null);
  const read = file?.status === "processed";
  return (
    <ol className={css.steps}>
      <DatasetStep example={example} file={file} looking={looking} />
      <QuoteStep
        file={read ? file : null}
        base={base}
        quote={quote}
        onQuote={setQuote}
        started={started}
      />
      <StartStep file={file} base={base} quote={quote} onQuote={setQuote} started={started} />
    </ol>
  );
}

/** The job of an earlier visit, unless nothing came of it. */
function useStartedJob(fileId: string | null): Schemas["Job"] | null {
  const jobs = useQuery({
    queryKey: ["jobs", "tour", fileId],
    enabled: fileId !== null,
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/fine_tuning/jobs", {
          params: { query: { training_file: fileId ?? "", limit: 1 } },
          signal,
        }),
      ),
    refetchInterval: ({ state }) => {
      const job = state.data?.data[0];
      return job && !isTerminal(job.status) ? LOOK_MS : false;
    },
  });
  const job = jobs.data?.data[0];
  return job === undefined || job.status === "failed" || job.status === "cancelled" ? null : job;
}

// -- the steps -------------------------------------------------------------------------------------

function DatasetStep({ example, file, looking }: Omit<StepsProps, "base">) {
  const { t } = useTranslation();
  const cache = useQueryClient();
  const add = useMutation({
    mutationFn: addExample,
    onSuccess: () => cache.invalidateQueries({ queryKey: ["files"] }),
  });
  const being = file?.status === "uploaded";
  return (
    <Step
      n={1}
      title={t("door.welcome.dataset.title")}
      text={t("door.welcome.dataset.text")}
      done={file?.status === "processed"}
    >
      {file === null ? (
        <Button
          loading={add.isPending}
          disabled={example === null || looking}
          onClick={() => example && add.mutate(example)}
        >
          {t("door.welcome.dataset.action")}
        </Button>
      ) : being ? (
        <Busy>{t("door.welcome.dataset.busy")}</Busy>
      ) : (
        <Result>
          {t("door.welcome.dataset.done", {
            rows: whole(file.rows),
            good: whole(file.good_rows),
          })}
          <AnchorLink to="/datasets/$fileId" params={{ fileId: file.id }}>
            {file.filename}
          </AnchorLink>
        </Result>
      )}
      <Refusal error={add.error} />
    </Step>
  );
}

interface QuoteStepProps {
  file: Schemas["File"] | null;
  base: Schemas["BaseModelCard"] | null;
  quote: Schemas["QuoteAnswer"] | null;
  onQuote: (quote: Schemas["QuoteAnswer"]) => void;
  started: Schemas["Job"] | null;
}

function QuoteStep({ file, base, quote, onQuote, started }: QuoteStepProps) {
  const { t } = useTranslation();
  const asking = useMutation({
    mutationFn: (body: Schemas["Submission"]) =>
      quoteWhenReady(body, AbortSignal.timeout(QUOTE_MS)),
    onSuccess: onQuote,
  });
  const price = quote?.quote ?? started?.quote ?? null;
  const refused = quote?.error
    ? new Refused(quote.error.message, 400, quote.error.code, quote.error.param, null)
    : null;
  return (
    <Step
      n={2}
      title={t("door.welcome.quote.title")}
      text={t("door.welcome.quote.text")}
      done={price !== null}
      waits={file === null}
    >
      {price !== null ? (
        <Result>
          {t("door.welcome.quote.done", {
            credits: credits(price.credits),
            tokens: whole(price.trained_tokens),
          })}
          {quote?.duration && (
            <span className="dim">
              {t("door.welcome.quote.takes", {
                low: duration(quote.duration.low_seconds),
                high: duration(quote.duration.high_seconds),
              })}
            </span>
          )}
        </Result>
      ) : asking.isPending ? (
        <Busy>{t("door.welcome.quote.busy")}</Busy>
      ) : (
        <Button
          disabled={file === null || base === null}
          onClick={() => file && base && asking.mutate(tourJob(file, base))}
        >
          {t("door.welcome.quote.action")}
        </Button>
      )}
      <Refusal error={asking.error ?? refused} />
    </Step>
  );
}

function StartStep({ file, base, quote, onQuote, started }: QuoteStepProps) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const cache = useQueryClient();
  const [key] = useState(newKey);
  const start = useMutation({
    mutationFn: async (asked: Schemas["QuoteAnswer"]) => {
      if (file === null || base === null || asked.id === null) return null;
      const body = tourJob(file, base);
      try {
        return await startTour(body, asked.id, `${key}-${asked.id}`);
      } catch (caught) {
        // It was looked at for longer than it stands: the same rows cost the same.
        if (!(caught instanceof Refused) || caught.code !== "quote_expired") throw caught;
        const fresh = await quoteWhenReady(body, AbortSignal.timeout(QUOTE_MS));
        onQuote(fresh);
        if (fresh.id === null || fresh.quote?.credits !== asked.quote?.credits) return null;
        return await startTour(body, fresh.id, `${key}-${fresh.id}`);
      }
    },
    onSuccess: async (job) => {
      if (job === null) return;
      refreshMe();
      void cache.invalidateQueries({ queryKey: ["jobs"] });
      await navigate({ to: "/jobs/$jobId", params: { jobId: job.id } });
    },
  });
  const price = quote?.quote?.credits ?? 0;
  const short = quote?.status === "ready" && quote.available_credits < price;
  return (
    <Step
      n={3}
      title={t("door.welcome.start.title")}
      text={t("door.welcome.start.text")}
      done={started !== null}
      waits={quote?.status !== "ready" && started === null}
    >
      {started !== null ? (
        <Result>
          <AnchorLink to="/jobs/$jobId" params={{ jobId: started.id }}>
            {started.name ?? started.id}
          </AnchorLink>
          <StatusMark status={started.status} />
        </Result>
      ) : short ? (
        <>
          <p className="tone-bad">
            {t("door.welcome.start.short", { credits: credits(price - quote.available_credits) })}
          </p>
          <ButtonLink to="/credits">{t("door.welcome.start.redeem")}</ButtonLink>
        </>
      ) : (
        <Button
          disabled={quote?.status !== "ready"}
          loading={start.isPending}
          onClick={() => quote && start.mutate(quote)}
        >
          {t("door.welcome.start.action")}
        </Button>
      )}
      <Refusal error={start.error} />
    </Step>
  );
}

interface StepProps {
  n: number;
  title: string;
  text: string;
  done: boolean;
  waits?: boolean;
  children: ReactNode;
}

function Step({ n, title, text, done, waits = false, children }: StepProps) {
  const { t } = useTranslation();
  return (
    <li className={css.step} data-done={done} data-waits={waits}>
      <span className={css.mark} aria-hidden="true">
        {done ? <Check size={16} /> : n}
      </span>
      <div className={css.words}>
        <h2>
          {title}
          {done && <span className="unseen">{t("door.welcome.done")}</span>}
        </h2>
        <p className="dim">{text}</p>
        <div className={css.act}>{children}</div>
      </div>
    </li>
  );
}

function Busy({ children }: { children: ReactNode }) {
  return (
    <p className={css.busy} role="status">
      <LoaderCircle size={14} aria-hidden="true" />
      {children}
    </p>
  );
}

function Result({ children }: { children: ReactNode }) {
  return (
    <p className={css.result} role="status">
      {children}
    </p>
  );
}
