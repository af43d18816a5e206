// The jobs: filtered by the service, a page at a time, and up to eight of them on one chart.

import { Button, Checkbox, Select, TextInput } from "@mantine/core";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Plus, Search } from "lucide-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { refreshMe } from "../../client/session";
import { CodeButton } from "../../design/Copy";
import { ButtonLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Empty, Refusal } from "../../design/Notes";
import { ago, duration, loss, moment, NONE, whole } from "../../design/numbers";
import { Page } from "../../design/Page";
import { Panel } from "../../design/Panel";
import {
  isTerminal,
  JOB_STATUSES,
  type JobStatus,
  Progress,
  StatusMark,
} from "../../design/Status";
import { type Column, Table } from "../../design/Table";
import type { Job } from "../../hooks/useJob";
import { useNow } from "../../hooks/useNow";
import { Compare } from "./Compare";
import css from "./Jobs.module.css";
import { chosen, RUNS_MAX, toggled } from "./runs";
import { listSnippets } from "./snippets";

const PAGE = 50;
const MOVING_MS = 3_000;
const TYPING_MS = 250;

interface Filters {
  status?: string;
  model?: string;
  q?: string;
}

export function Jobs() {
  const { t } = useTranslation();
  const { compare, ...filters } = useSearch({ from: "/inside/jobs" });
  const navigate = useNavigate({ from: "/jobs" });
  const listed = useJobs(filters);
  const rows = listed.data?.pages.flatMap((page) => page.data);
  const runs = chosen(compare);
  const filtered = Object.keys(filters).length > 0;
  const none = rows?.length === 0;

  const put = (change: Filters & { compare?: string | undefined }) =>
    void navigate({
      search: (now) => without({ ...now, ...change }),
      replace: true,
    });
  return (
    <Page
      title={t("jobs.title")}
      wide
      actions={
        <>
          <CodeButton snippets={listSnippets(filters, window.location.origin)} />
          <ButtonLink to="/jobs/new" leftSection={<Plus size={16} />}>
            {t("jobs.new")}
          </ButtonLink>
        </>
      }
    >
      <Refusal error={listed.error} retry={() => void listed.refetch()} />
      {runs.length > 0 && (
        <Compare
          runs={runs}
          drop={(id) => put({ compare: toggled(compare, id) })}
          close={() => put({ compare: undefined })}
        />
      )}
      <Panel flush>
        {none && !filtered ? (
          <Empty title={t("jobs.emptyTitle")} text={t("jobs.emptyText")}>
            <ButtonLink to="/welcome">{t("jobs.tour")}</ButtonLink>
            <ButtonLink to="/jobs/new" variant="default">
              {t("jobs.new")}
            </ButtonLink>
          </Empty>
        ) : (
          <>
            <FilterBar filters={filters} put={put} />
            {none ? (
              <Empty title={t("jobs.noneTitle")} text={t("jobs.noneText")}>
                <Button
                  variant="default"
                  onClick={() =>
                    void navigate({ search: compare === undefined ? {} : { compare } })
                  }
                >
                  {t("jobs.clear")}
                </Button>
              </Empty>
            ) : (
              <JobTable
                rows={rows}
                runs={runs}
                toggle={(id) => put({ compare: toggled(compare, id) })}
              />
            )}
            {listed.hasNextPage && (
              <div className={css.more}>
                <Button
                  variant="default"
                  loading={listed.isFetchingNextPage}
                  onClick={() => void listed.fetchNextPage()}
                >
                  {t("common.more")}
                </Button>
              </div>
            )}
          </>
        )}
      </Panel>
    </Page>
  );
}

function useJobs(filters: Filters) {
  const listed = useInfiniteQuery({
    queryKey: ["jobs", "list", filters],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      ask(
        http.GET("/v1/fine_tuning/jobs", {
          params: {
            query: {
              limit: PAGE,
              ...(pageParam === "" ? {} : { after: pageParam }),
              ...(filters.q === undefined ? {} : { q: filters.q }),
              ...(filters.model === undefined ? {} : { model: filters.model }),
              ...(isStatus(filters.status) ? { status: [filters.status] } : {}),
            },
          },
          signal,
        }),
      ),
    getNextPageParam: (page) => (page.has_more ? page.data.at(-1)?.id : undefined),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => {
      const pages = state.data?.pages ?? [];
      const moving = pages.some(({ data }) => data.some((job) => !isTerminal(job.status)));
      return moving ? MOVING_MS * pages.length : false;
    },
  });
  // A moved status moves credits.
  const statuses = listed.data?.pages
    .flatMap(({ data }) => data.map(({ status }) => status))
    .join();
  useEffect(() => {
    if (statuses !== undefined) refreshMe();
  }, [statuses]);
  return listed;
}

function FilterBar({ filters, put }: { filters: Filters; put: (change: Filters) => void }) {
  const { t } = useTranslation();
  const [text, setText] = useState(filters.q ?? "");
  const models = useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => ask(http.GET("/v1/models", { signal })),
    staleTime: 60_000,
  });
  const bases = models.data?.data.filter((model) => model.owned_by === "tunery") ?? [];
  // A link or the button back may change the words too.
  useEffect(() => setText(filters.q ?? ""), [filters.q]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only typing starts the wait
  useEffect(() => {
    if (text === (filters.q ?? "")) return;
    const timer = setTimeout(() => put({ q: text }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div className={css.filters}>
      <TextInput
        data-search
        type="search"
        className={css.search}
        aria-label={t("jobs.search")}
        placeholder={t("jobs.search")}
        leftSection={<Search size={14} aria-hidden="true" />}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <Select
        aria-label={t("jobs.status")}
        className={css.choice}
        value={filters.status ?? ""}
        onChange={(status) => put({ status: status ?? "" })}
        data={[
          { value: "", label: t("jobs.anyStatus") },
          ...JOB_STATUSES.map((value) => ({ value, label: t(`codes.status.${value}`) })),
        ]}
      />
      <Select
        aria-label={t("jobs.model")}
        className={css.choice}
        value={filters.model ?? ""}
        onChange={(model) => put({ model: model ?? "" })}
        data={[
          { value: "", label: t("jobs.anyModel") },
          ...bases.map(({ id }) => ({ value: id, label: id })),
        ]}
      />
    </div>
  );
}

interface JobTableProps {
  rows: Job[] | undefined;
  runs: readonly string[];
  toggle: (id: string) => void;
}

function JobTable({ rows, runs, toggle }: JobTableProps) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const moving = rows?.some((job) => !isTerminal(job.status)) ?? false;
  const now = useNow(moving ? 1_000 : 30_000) / 1_000;
  const full = runs.length >= RUNS_MAX;
  const columns: Column<Job>[] = [
    {
      key: "compare",
      head: <span className="unseen">{t("jobs.compare")}</span>,
      width: 48,
      cell: (job) => {
        const checked = runs.includes(job.id);
        return (
          <Checkbox
            size="xs"
            aria-label={t("jobs.compareOne", { name: job.name ?? job.id })}
            checked={checked}
            disabled={job.status === "validating_files" || (full && !checked)}
            onChange={() => toggle(job.id)}
          />
        );
      },
    },
    {
      key: "name",
      head: t("jobs.job"),
      cell: (job) => (
        <>
          <Link to="/jobs/$jobId" params={{ jobId: job.id }} className={css.name}>
            {job.name ?? job.id}
          </Link>
          <small>{job.model}</small>
        </>
      ),
    },
    { key: "status", head: t("jobs.status"), cell: (job) => <StatusMark status={job.status} /> },
    { key: "progress", head: t("jobs.progress"), wide: true, cell: (job) => <Steps job={job} /> },
    {
      key: "loss",
      head: t("jobs.loss"),
      align: "right",
      wide: true,
      cell: (job) => loss(job.loss),
    },
    {
      key: "created",
      head: t("jobs.created"),
      align: "right",
      wide: true,
      cell: (job) => <span title={moment(job.created_at)}>{ago(job.created_at, now)}</span>,
    },
    {
      key: "took",
      head: t("jobs.took"),
      align: "right",
      wide: true,
      cell: (job) => duration((job.finished_at ?? now) - job.created_at),
    },
    {
      key: "credits",
      head: t("jobs.credits"),
      align: "right",
      cell: (job) => <Credits job={job} />,
    },
  ];
  return (
    <Table
      label={t("jobs.title")}
      columns={columns}
      rows={rows}
      rowKey={(job) => job.id}
      onOpen={(job) => void navigate({ to: "/jobs/$jobId", params: { jobId: job.id } })}
    />
  );
}

function Steps({ job }: { job: Job }) {
  const { t } = useTranslation();
  if (job.total_steps === 0) return <span className="dim">{NONE}</span>;
  const label = t("jobs.steps", { step: whole(job.step), total: whole(job.total_steps) });
  const left = job.status === "running" ? job.eta_seconds : null;
  return (
    <div className={css.steps}>
      <small>
        {label}
        {left !== null && ` · ${t("job.left", { duration: duration(left) })}`}
      </small>
      <Progress
        step={job.step}
        total={job.total_steps}
        label={label}
        still={job.status !== "running"}
      />
    </div>
  );
}

function Credits({ job }: { job: Job }) {
  const { t } = useTranslation();
  if (isTerminal(job.status)) return <Money micro={job.charged_credits ?? 0} />;
  if (job.held_credits === 0) return <span className="dim">{NONE}</span>;
  return (
    <>
      <Money micro={job.held_credits} />
      <small>{t("jobs.held")}</small>
    </>
  );
}

function isStatus(word: string | undefined): word is JobStatus {
  return (JOB_STATUSES as string[]).includes(word ?? "");
}

/** The address keeps only what says something. */
function without(search: Filters & { compare?: string | undefined }) {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value));
}
