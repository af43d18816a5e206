// Every entry of the books, newest first, with the balance after it.

import { Button, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Empty, Refusal } from "../../design/Notes";
import { moment } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { Amount } from "./Amount";
import css from "./Credits.module.css";
import { useJobNames } from "./data";
import { type Entry, period, saysMore, subjectOf } from "./statement";

const PAGE = 100;
export function Statement() {
  const { t } = useTranslation();
  const { since, until } = useSearch({ from: "/inside/credits" });
  const times = period(since, until);
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery(
    {
      queryKey: ["credits", "statement", times],
      queryFn: ({ pageParam, signal }) =>
        ask(
          http.GET("/v1/credits/statement", {
            params: { query: { limit: PAGE, ...times, ...(pageParam && { after: pageParam }) } },
            signal,
          }),
        ),
      initialPageParam: "",
      getNextPageParam: (last) => (last.has_more ? last.last_id : null),
    },
  );
  const entries = data?.pages.flatMap((page) => page.data);
  const filtered = since !== undefined || until !== undefined;
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <Filters csv={`/v1/credits/statement?${new URLSearchParams({ format: "csv", ...times })}`} />
      <Panel flush>
        {entries?.length === 0 ? (
          <Empty
            title={t(filtered ? "credits.statement.noneTitle" : "credits.statement.emptyTitle")}
            text={t(filtered ? "credits.statement.noneText" : "credits.statement.emptyText")}
          />
        ) : (
          <Entries entries={entries} />
        )}
        {hasNextPage && (
          <div className={css.foot}>
            <Button
              variant="default"
              loading={isFetchingNextPage}
              onClick={() => void fetchNextPage()}
            >
              {t("common.more")}
            </Button>
          </div>
        )}
      </Panel>
      <p className="dim">{t("credits.statement.sums")}</p>
    </>
  );
}

function Filters({ csv }: { csv: string }) {
  const { t } = useTranslation();
  const { since, until } = useSearch({ from: "/inside/credits" });
  const navigate = useNavigate();
  const set = (name: "since" | "until", value: string) =>
    void navigate({
      to: "/credits",
      search: (before) => {
        const { [name]: _, ...rest } = before;
        return { ...rest, tab: "statement", ...(value !== "" && { [name]: value }) };
      },
      replace: true,
    });
  return (
    <div className={css.filters}>
      <TextInput
        type="date"
        label={t("credits.statement.since")}
        value={since ?? ""}
        onChange={(event) => set("since", event.currentTarget.value)}
      />
      <TextInput
        type="date"
        label={t("credits.statement.until")}
        value={until ?? ""}
        onChange={(event) => set("until", event.currentTarget.value)}
      />
      {(since ?? until) !== undefined && (
        <Button
          variant="subtle"
          onClick={() => void navigate({ to: "/credits", search: { tab: "statement" } })}
        >
          {t("credits.statement.clear")}
        </Button>
      )}
      <Button
        component="a"
        href={csv}
        download
        variant="default"
        leftSection={<Download size={16} />}
        className={css.push ?? ""}
      >
        {t("common.csv")}
      </Button>
    </div>
  );
}

function Entries({ entries }: { entries: readonly Entry[] | undefined }) {
  const { t } = useTranslation();
  const columns: Column<Entry>[] = [
    {
      key: "at",
      head: t("credits.statement.when"),
      cell: (entry) => <span className={css.when}>{moment(entry.at)}</span>,
      wide: true,
    },
    {
      key: "what",
      head: t("credits.statement.what"),
      cell: (entry) => (
        <>
          {t(`credits.types.${entry.type}`)} <Subject entry={entry} />
          {saysMore(entry) && <small>{entry.reason}</small>}
          <small className={css.phone}>{moment(entry.at)}</small>
        </>
      ),
    },
    {
      key: "amount",
      head: t("credits.statement.amount"),
      align: "right",
      cell: (entry) => <Amount entry={entry} />,
    },
    {
      key: "available",
      head: t("credits.balance.available"),
      align: "right",
      cell: (entry) => <Money micro={entry.available} />,
    },
    {
      key: "held",
      head: t("credits.balance.held"),
      align: "right",
      wide: true,
      cell: (entry) => (
        <span className="dim">
          <Money micro={entry.held} />
        </span>
      ),
    },
  ];
  return (
    <Table
      label={t("credits.tabs.statement")}
      columns={columns}
      rows={entries}
      rowKey={(entry) => entry.id}
    />
  );
}

/** What the entry is about, as a link where there is a page for it. */
function Subject({ entry }: { entry: Entry }) {
  const { t } = useTranslation();
  const nameOf = useJobNames();
  const subject = subjectOf(entry.subject);
  if (subject.kind === "job") {
    const charged = entry.type === "settle" || entry.type === "refund";
    return (
      <AnchorLink
        to={charged ? "/jobs/$jobId/receipt" : "/jobs/$jobId"}
        params={{ jobId: subject.id }}
        size="sm"
      >
        {nameOf(subject.id) ?? subject.id}
      </AnchorLink>
    );
  }
  if (subject.kind === "voucher") {
    return (
      <AnchorLink to="/credits" size="sm">
        {t("credits.subjects.voucher")}
      </AnchorLink>
    );
  }
  if (subject.kind === "other") return null;
  return <span className="dim">{t(`credits.subjects.${subject.kind}`)}</span>;
}
