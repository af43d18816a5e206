// A new job: one page, three choices, one price.

import { Button, Drawer, Skeleton } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Upload } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, Refused, type Schemas } from "../../client/http";
import { CodeButton } from "../../design/Copy";
import { AnchorLink, ButtonLink } from "../../design/links";
import { Empty, Refusal } from "../../design/Notes";
import { Page } from "../../design/Page";
import { Panel } from "../../design/Panel";
import { chooseFile } from "../../uploads/choose";
import { useFiles, useModels } from "../datasets/data";
import { BasePart } from "./BasePart";
import { DataPart } from "./DataPart";
import { type Draft, EMPTY_DRAFT, fromJob, settingOf, type Value } from "./draft";
import { type Form, FormContext, useForm } from "./form";
import { HowPart } from "./HowPart";
import css from "./NewJob.module.css";
import { parametersQuery, type SettingName } from "./parameters";
import { Price, QuoteCard, readyOf, StartButton, useStartable } from "./QuoteCard";
import { snippets } from "./snippets";
import { useQuote } from "./useQuote";
import { useStart } from "./useStart";

export function NewJob() {
  const { from } = useSearch({ from: "/inside/jobs/new" });
  return from === undefined ? <Filled key="new" /> : <Copied key={from} jobId={from} />;
}

/** Clone and edit: everything of an earlier job, to be changed. */
function Copied({ jobId }: { jobId: string }) {
  const { t } = useTranslation();
  const job = useQuery({
    queryKey: ["jobs", jobId],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/fine_tuning/jobs/{job_id}", { params: { path: { job_id: jobId } }, signal }),
      ),
    // What is being edited must not change under the hand.
    refetchOnWindowFocus: false,
  });
  if (job.data !== undefined) return <Filled job={job.data} />;
  return (
    <Page title={t("newJob.title")}>
      {job.error === null ? (
        <Loading />
      ) : (
        <Refusal error={job.error} retry={() => void job.refetch()} />
      )}
    </Page>
  );
}

function Filled({ job }: { job?: Schemas["Job"] }) {
  const { t } = useTranslation();
  const [copied] = useState(() => (job === undefined ? null : fromJob(job)));
  const form = useDraft(copied);
  const { files, models } = form;
  return (
    <FormContext value={form.form}>
      <Page title={t("newJob.title")} actions={<Code />}>
        {job !== undefined && (
          <p className="dim">
            {t("newJob.copied", { name: job.name ?? job.id })}{" "}
            <AnchorLink to="/jobs/$jobId" params={{ jobId: job.id }}>
              {t("newJob.copiedLink")}
            </AnchorLink>
          </p>
        )}
        <Refusal error={files.error} retry={() => void files.refetch()} />
        <Refusal error={models.error} retry={() => void models.refetch()} />
        {files.isPending || models.isPending ? <Loading /> : <Body />}
      </Page>
    </FormContext>
  );
}

function Loading() {
  return (
    <div className={css.columns}>
      <div className={css.parts}>
        <Skeleton height={180} />
        <Skeleton height={200} />
        <Skeleton height={320} />
      </div>
      <aside className={css.aside}>
        <Skeleton height={360} />
      </aside>
    </div>
  );
}

// -- the form --------------------------------------------------------------------------------------

function useDraft(copied: { file: string; model: string; draft: Draft } | null) {
  const search = useSearch({ from: "/inside/jobs/new" });
  const navigate = useNavigate({ from: "/jobs/new" });
  const files = useFiles();
  const models = useModels();
  const parameters = useQuery(parametersQuery);
  const [draft, setDraft] = useState<Draft>(copied?.draft ?? EMPTY_DRAFT);

  const all = files.data?.data.filter(({ purpose }) => purpose === "fine-tune") ?? [];
  const bases = (models.data?.data ?? []).filter((one) => one.owned_by === "tunery");
  const file = all.find(({ id }) => id === (search.file ?? copied?.file)) ?? null;
  const wanted = search.model ?? copied?.model;
  const base = bases.find(({ id }) => id === wanted) ?? bases[0] ?? null;
  const fileId = file?.id;
  const baseId = base?.id;
  const filled = useMemo(
    () =>
      fileId === undefined || baseId === undefined ? null : { file: fileId, model: baseId, draft },
    [fileId, baseId, draft],
  );
  const quoted = useQuote(filled, parameters.data);

  const go = useCallback(
    (change: { file?: string; model?: string }) =>
      void navigate({ search: (before) => ({ ...before, ...change }), replace: true }),
    [navigate],
  );
  const edit = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const form: Form = {
    files: all,
    file,
    bases,
    base,
    chooseFile: useCallback((id: string) => go({ file: id }), [go]),
    chooseBase: (id) => go({ model: id }),
    draft,
    edit,
    set: (name: SettingName, value: Value) =>
      setDraft((before) => ({ ...before, values: { ...before.values, [name]: value } })),
    reset: (...names) =>
      setDraft((before) => {
        const values = { ...before.values };
        for (const name of names) delete values[name];
        return { ...before, values };
      }),
    parameters: parameters.data,
    parametersError: parameters.error,
    quoted,
    problems: quoted.reading?.problems ?? {},
    refusedField: (name) => refusedField(name, quoted.error),
  };
  return { form, files, models };
}

function refusedField(name: SettingName, error: Error | null): string | null {
  return error instanceof Refused && settingOf(error.param) === name ? error.message : null;
}

// -- the page --------------------------------------------------------------------------------------

function Code() {
  const { quoted, file } = useForm();
  const body = quoted.reading?.body;
  if (!body || file === null) return null;
  return <CodeButton snippets={snippets(body, file.filename, window.location.origin)} />;
}

function Body() {
  const { t } = useTranslation();
  const { files, quoted } = useForm();
  const starting = useStart(quoted.again);
  const startable = useStartable();
  const [opened, { open, close }] = useDisclosure(false);
  const body = quoted.reading?.body;
  const quoteId = readyOf(quoted.answer)?.id;
  const start = () => {
    if (startable && body && quoteId && !starting.isPending) starting.mutate({ body, quoteId });
  };
  // Also while one types in a field.
  useHotkeys([["mod+Enter", start]], []);
  if (files.length === 0) return <NoData />;
  const card = <QuoteCard start={start} starting={starting} startable={startable} />;
  return (
    <div className={css.columns}>
      <div className={css.parts}>
        <DataPart />
        <BasePart />
        <HowPart />
      </div>
      <aside className={css.aside} aria-label={t("newJob.quote.title")}>
        {card}
      </aside>
      <section className={css.bar} aria-label={t("newJob.quote.title")}>
        <Price />
        <Button variant="default" onClick={open}>
          {t("newJob.quote.details")}
        </Button>
        <div className={css.barStart}>
          <StartButton start={start} busy={starting.isPending} startable={startable} />
        </div>
      </section>
      <Drawer
        opened={opened}
        onClose={close}
        position="bottom"
        size="85%"
        title={t("newJob.quote.title")}
      >
        {card}
      </Drawer>
    </div>
  );
}

function NoData() {
  const { t } = useTranslation();
  return (
    <Panel flush>
      <Empty title={t("newJob.data.empty.title")} text={t("newJob.data.empty.text")}>
        <Button leftSection={<Upload size={16} />} onClick={chooseFile}>
          {t("newJob.data.upload")}
        </Button>
        <ButtonLink to="/welcome" variant="default">
          {t("newJob.data.empty.tour")}
        </ButtonLink>
      </Empty>
    </Panel>
  );
}
