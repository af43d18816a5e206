// The queue and the workers as they are now, asked for every two seconds while one looks.

import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { LiveMark } from "../../design/LiveMark";
import { AnchorLink } from "../../design/links";
import { Empty, Refusal } from "../../design/Notes";
import { ago, duration, NONE, whole } from "../../design/numbers";
import { Figures, Panel } from "../../design/Panel";
import { Progress, StatusMark } from "../../design/Status";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import css from "./Admin.module.css";

type Waiting = Schemas["QueuedJob"];
type Worker = Schemas["Worker"];

const POLL_MS = 2_000;

export function Queue() {
  const { t } = useTranslation();
  const { data, error, dataUpdatedAt } = useQuery({
    queryKey: ["admin", "queue"],
    queryFn: ({ signal }) => ask(http.GET("/v1/admin/queue", { signal })),
    refetchInterval: POLL_MS,
  });
  const link = error === null ? (data === undefined ? "connecting" : "live") : "broken";
  return (
    <>
      <Refusal error={error} />
      <Panel
        title={t("admin.queue.now")}
        actions={<LiveMark heard={{ link, heardAt: dataUpdatedAt === 0 ? null : dataUpdatedAt }} />}
      >
        <Figures
          items={[
            { label: t("codes.status.running"), value: whole(data?.running) },
            { label: t("codes.status.queued"), value: whole(data?.queued) },
            { label: t("codes.status.validating_files"), value: whole(data?.validating_files) },
          ]}
        />
      </Panel>
      <Panel title={t("admin.queue.jobs")} flush>
        {data?.data.length === 0 ? (
          <Empty title={t("admin.queue.emptyTitle")} text={t("admin.queue.emptyText")} />
        ) : (
          <Jobs rows={data?.data} />
        )}
      </Panel>
      <Workers />
    </>
  );
}

function Jobs({ rows }: { rows: readonly Waiting[] | undefined }) {
  const { t } = useTranslation();
  const now = useNow(1_000) / 1_000;
  const columns: Column<Waiting>[] = [
    {
      key: "status",
      head: t("admin.queue.status"),
      cell: (job) => (
        <>
          <StatusMark status={job.status} />
          <small>{ago(job.since, now)}</small>
        </>
      ),
    },
    {
      key: "job",
      head: t("admin.queue.job"),
      cell: (job) => (
        <>
          <code className={css.id}>{job.id}</code>
          <small>{job.model}</small>
        </>
      ),
    },
    {
      key: "tenant",
      head: t("admin.queue.tenant"),
      wide: true,
      cell: (job) => (
        <AnchorLink to="/admin" search={{ tab: "tenants", tenant: job.tenant_id }} size="sm">
          {job.tenant_name}
        </AnchorLink>
      ),
    },
    {
      key: "progress",
      head: t("admin.queue.progress"),
      wide: true,
      width: 220,
      cell: (job) => <Steps job={job} label={job.id} still={job.status !== "running"} />,
    },
    {
      key: "attempt",
      head: t("admin.queue.attempt"),
      align: "right",
      wide: true,
      cell: (job) => (
        <>
          {job.attempt}
          {job.crashes > 0 && (
            <small className="tone-warn">{t("admin.queue.crashes", { count: job.crashes })}</small>
          )}
        </>
      ),
    },
    {
      key: "worker",
      head: t("admin.queue.worker"),
      align: "right",
      wide: true,
      cell: (job) => (
        <>
          <code>{job.worker ?? NONE}</code>
          {job.lease_expires_at !== null && <Lease until={job.lease_expires_at} now={now} />}
        </>
      ),
    },
  ];
  return (
    <Table label={t("admin.queue.jobs")} columns={columns} rows={rows} rowKey={(job) => job.id} />
  );
}

function Steps({
  job,
  label,
  still,
}: {
  job: { step: number; total_steps: number };
  label: string;
  still: boolean;
}) {
  if (job.total_steps === 0) return <span className="dim">{NONE}</span>;
  return (
    <>
      <Progress step={job.step} total={job.total_steps} label={label} still={still} />
      <small>{`${whole(job.step)} / ${whole(job.total_steps)}`}</small>
    </>
  );
}

/** A lease that is over without a new one means that its worker is gone. */
function Lease({ until, now }: { until: number; now: number }) {
  const { t } = useTranslation();
  if (until > now) {
    return <small>{t("admin.queue.lease", { duration: duration(until - now) })}</small>;
  }
  return <small className="tone-bad">{t("admin.queue.leaseOver")}</small>;
}

function Workers() {
  const { t } = useTranslation();
  const now = useNow(1_000) / 1_000;
  const { data, error } = useQuery({
    queryKey: ["admin", "workers"],
    queryFn: ({ signal }) => ask(http.GET("/v1/admin/workers", { signal })),
    refetchInterval: POLL_MS,
  });
  const columns: Column<Worker>[] = [
    {
      key: "id",
      head: t("admin.queue.worker"),
      cell: (worker) => (
        <>
          <code className={css.id}>{worker.id}</code>
          <small>{worker.host}</small>
        </>
      ),
    },
    {
      key: "known",
      head: t("admin.workers.known"),
      cell: (worker) =>
        worker.known_by.includes("celery") ? (
          <span className="tone-good">{t("admin.workers.answers")}</span>
        ) : (
          <span className="tone-warn">{t("admin.workers.leaseOnly")}</span>
        ),
    },
    {
      key: "queues",
      head: t("admin.workers.queues"),
      wide: true,
      cell: (worker) => worker.queues.join(", ") || NONE,
    },
    {
      key: "does",
      head: t("admin.workers.does"),
      wide: true,
      width: 260,
      cell: (worker) => <Does worker={worker} now={now} />,
    },
    {
      key: "up",
      head: t("admin.workers.up"),
      align: "right",
      wide: true,
      cell: (worker) => (worker.uptime_seconds === null ? NONE : duration(worker.uptime_seconds)),
    },
  ];
  const silent = data !== undefined && !data.celery;
  return (
    <Panel title={t("admin.workers.title")} flush>
      <Refusal error={error} />
      {silent && <p className={css.note}>{t("admin.workers.silent")}</p>}
      {data?.data.length === 0 ? (
        <Empty title={t("admin.workers.emptyTitle")} text={t("admin.workers.emptyText")} />
      ) : (
        <Table
          label={t("admin.workers.title")}
          columns={columns}
          rows={data?.data}
          rowKey={(worker) => worker.id}
        />
      )}
      {data && data.leased_files + data.leased_encodings > 0 && (
        <p className={css.note}>
          {t("admin.workers.reading", {
            files: data.leased_files,
            encodings: data.leased_encodings,
          })}
        </p>
      )}
    </Panel>
  );
}

function Does({ worker, now }: { worker: Worker; now: number }) {
  const { t } = useTranslation();
  if (worker.jobs.length === 0) {
    return <>{worker.tasks.join(", ") || <span className="dim">{t("admin.workers.idle")}</span>}</>;
  }
  return (
    <>
      {worker.jobs.map((job) => (
        <div key={job.id}>
          <code className={css.id}>{job.id}</code>
          <Steps job={job} label={job.id} still={false} />
          {job.lease_expires_at !== null && <Lease until={job.lease_expires_at} now={now} />}
        </div>
      ))}
    </>
  );
}
