// A job's receipt: what was quoted, what was charged, what that is made of. It prints on a page.

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Printer } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { useMe } from "../../client/session";
import { CodeButton } from "../../design/Copy";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { duration, moment, NONE, whole } from "../../design/numbers";
import { Page } from "../../design/Page";
import { Facts, Figures, Panel } from "../../design/Panel";
import { StatusMark } from "../../design/Status";
import { type Column, Table } from "../../design/Table";
import { Amount } from "./Amount";
import css from "./Receipt.module.css";
import { receiptSnippets } from "./snippets";
import { type Entry, entriesOf } from "./statement";
import { usePaper } from "./usePaper";

const receiptOf = (jobId: string, signal: AbortSignal) =>
  ask(
    http.GET("/v1/fine_tuning/jobs/{job_id}/receipt", {
      params: { path: { job_id: jobId } },
      signal,
    }),
  );
type Bill = Awaited<ReturnType<typeof receiptOf>>;
type Rows = (readonly [string, ReactNode])[];

export function Receipt() {
  const { t } = useTranslation();
  const { jobId } = useParams({ from: "/inside/jobs/$jobId/receipt" });
  const { data, error, refetch } = useQuery({
    queryKey: ["credits", "receipt", jobId],
    queryFn: ({ signal }) => receiptOf(jobId, signal),
  });
  usePaper();
  const name = data?.name ?? jobId;
  return (
    <Page
      title={t("credits.receipt.title", { name })}
      crumb={
        <AnchorLink to="/jobs/$jobId" params={{ jobId }} size="sm">
          {t("credits.receipt.toJob", { name })}
        </AnchorLink>
      }
      aside={data && <StatusMark status={data.status} />}
      actions={
        <>
          <CodeButton snippets={receiptSnippets(jobId, window.location.origin)} />
          <Button
            variant="default"
            leftSection={<Printer size={16} />}
            onClick={() => window.print()}
          >
            {t("credits.receipt.print")}
          </Button>
        </>
      }
    >
      <Refusal error={error} retry={() => void refetch()} />
      <Sums bill={data} />
      {data && (
        <>
          <Calculation bill={data} />
          <Entries bill={data} />
          <div className={css.pair}>
            <Sources bill={data} />
            <About bill={data} />
          </div>
        </>
      )}
    </Page>
  );
}

function Sums({ bill }: { bill: Bill | undefined }) {
  const { t } = useTranslation();
  const money = (micro: number | undefined) =>
    micro === undefined ? NONE : <Money micro={micro} />;
  return (
    <Panel>
      <Figures
        items={[
          { label: t("credits.receipt.quoted"), value: money(bill?.quoted) },
          { label: t("credits.receipt.charged"), value: money(bill?.charged) },
          { label: t("credits.receipt.returned"), value: money(bill?.returned) },
          { label: t("credits.receipt.refunded"), value: money(bill?.refunded) },
        ]}
      />
      {bill && bill.finished_at !== null && (
        <p className={css.verdict}>{t(`credits.receipt.verdicts.${verdict(bill)}`)}</p>
      )}
    </Panel>
  );
}

function verdict(bill: Bill): "nothing" | "asQuoted" | "less" {
  if (bill.charged === 0) return "nothing";
  return bill.charged < bill.quoted ? "less" : "asQuoted";
}

/** Tokens × price, as the charge was reckoned. */
function Calculation({ bill }: { bill: Bill }) {
  const { t } = useTranslation();
  const columns: Column<Bill["splits"][number]>[] = [
    {
      key: "split",
      head: t("credits.receipt.part"),
      cell: (part) => t(`credits.receipt.splits.${part.split}`),
    },
    {
      key: "rows",
      head: t("credits.receipt.rows"),
      align: "right",
      wide: true,
      cell: (part) => whole(part.rows),
    },
    {
      key: "tokens",
      head: t("credits.receipt.tokens"),
      align: "right",
      wide: true,
      cell: (part) => whole(part.tokens),
    },
    {
      key: "epochs",
      head: t("credits.receipt.epochs"),
      align: "right",
      wide: true,
      cell: (part) => (part.epochs === 0 ? NONE : `× ${part.epochs}`),
    },
    {
      key: "trained",
      head: t("credits.receipt.trained"),
      align: "right",
      cell: (part) => whole(part.trained_tokens),
    },
    {
      key: "price",
      head: t("credits.receipt.price"),
      align: "right",
      cell: (part) =>
        bill.rate === null || part.epochs === 0 ? NONE : <Money micro={perMillion(bill.rate)} />,
    },
    {
      key: "charge",
      head: t("credits.receipt.charge"),
      align: "right",
      cell: (part) => (
        <b>
          <Money micro={part.trained_tokens * (bill.rate ?? 0)} />
        </b>
      ),
    },
  ];
  return (
    <Panel title={t("credits.receipt.calculation")} flush>
      {bill.splits.length === 0 ? (
        <p className={css.note}>{t("credits.receipt.noPrice")}</p>
      ) : (
        <>
          <Table
            label={t("credits.receipt.calculation")}
            columns={columns}
            rows={bill.splits}
            rowKey={(part) => part.split}
          />
          <p className={css.note}>{t("credits.receipt.heldOutFree")}</p>
        </>
      )}
    </Panel>
  );
}

/** Micro-credits a token are credits a million tokens. */
function perMillion(rate: number): number {
  return rate * 1_000_000;
}

function Entries({ bill }: { bill: Bill }) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    queryKey: ["credits", "entries", bill.job_id],
    queryFn: ({ signal }) => entriesOf(bill.job_id, bill.created_at, signal),
  });
  const columns: Column<Entry>[] = [
    {
      key: "at",
      head: t("credits.statement.when"),
      cell: (entry) => <span className="dim">{moment(entry.at)}</span>,
    },
    {
      key: "what",
      head: t("credits.statement.what"),
      cell: (entry) => t(`credits.types.${entry.type}`),
    },
    {
      key: "amount",
      head: t("credits.statement.amount"),
      align: "right",
      cell: (entry) => <Amount entry={entry} />,
    },
  ];
  return (
    <Panel title={t("credits.receipt.entries")} flush>
      <Refusal error={error} retry={() => void refetch()} />
      {data?.length === 0 ? (
        <p className={css.note}>{t("credits.receipt.noEntries")}</p>
      ) : (
        <Table
          label={t("credits.receipt.entries")}
          columns={columns}
          rows={data}
          rowKey={(entry) => entry.id}
        />
      )}
    </Panel>
  );
}

function Sources({ bill }: { bill: Bill }) {
  const { t } = useTranslation();
  const rows: Rows = bill.datasets.map((file) => [
    t(`credits.receipt.uses.${file.use}`),
    <span key={file.id}>
      <AnchorLink to="/datasets/$fileId" params={{ fileId: file.id }} size="sm">
        {file.filename}
      </AnchorLink>
      <Hash of={file.sha256} />
    </span>,
  ]);
  if (bill.encoded_sha256) {
    rows.push([t("credits.receipt.encoded"), <Hash key="encoded" of={bill.encoded_sha256} />]);
  }
  rows.push([
    t("credits.receipt.base"),
    <span key="base">
      {bill.base_model}
      {bill.base_revision && <code className={css.hash}>{bill.base_revision}</code>}
    </span>,
  ]);
  if (bill.method) rows.push([t("credits.receipt.method"), methodText(bill.method)]);
  if (bill.seed !== null) {
    rows.push([t("credits.receipt.seed"), <code key="seed">{bill.seed}</code>]);
  }
  if (bill.tuned_model) {
    rows.push([t("credits.receipt.tuned"), <code key="tuned">{bill.tuned_model}</code>]);
  }
  const code = Object.entries(bill.code ?? {}).map(([name, version]) => `${name} ${version}`);
  if (code.length > 0) {
    rows.push([t("credits.receipt.code"), <code key="code">{code.join(" · ")}</code>]);
  }
  return (
    <Panel title={t("credits.receipt.made")}>
      <Facts rows={rows} />
    </Panel>
  );
}

function Hash({ of }: { of: string }) {
  return <code className={css.hash}>{`sha256 ${of}`}</code>;
}

/** "lora, rank 16, alpha 32": the service's own names, with what has a plain value. */
function methodText(method: object): string {
  return Object.entries(method)
    .filter(([, value]) => typeof value === "string" || typeof value === "number")
    .map(([name, value]) => (name === "type" ? String(value) : `${name} ${value}`))
    .sort((one, other) => Number(one.includes(" ")) - Number(other.includes(" ")))
    .join(", ");
}

function About({ bill }: { bill: Bill }) {
  const { t } = useTranslation();
  const me = useMe();
  const rows: Rows = [
    [t("credits.receipt.team"), me.tenant.name],
    [t("credits.receipt.job"), <code key="job">{bill.job_id}</code>],
    [t("credits.receipt.created"), moment(bill.created_at)],
  ];
  if (bill.started_at !== null) rows.push([t("credits.receipt.started"), moment(bill.started_at)]);
  if (bill.finished_at !== null) {
    rows.push([t("credits.receipt.finished"), moment(bill.finished_at)]);
  }
  if (bill.started_at !== null && bill.finished_at !== null) {
    rows.push([t("credits.receipt.took"), duration(bill.finished_at - bill.started_at)]);
  }
  rows.push([t("credits.receipt.by"), <code key="by">{bill.created_by}</code>]);
  if (bill.price_version) rows.push([t("credits.receipt.prices"), bill.price_version]);
  if (bill.quote_id) {
    rows.push([t("credits.receipt.quote"), <code key="quote">{bill.quote_id}</code>]);
  }
  return (
    <Panel title={t("credits.receipt.about")}>
      <Facts rows={rows} />
    </Panel>
  );
}
