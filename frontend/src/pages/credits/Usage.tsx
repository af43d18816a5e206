// Where credits went: by day, model, member, key or job; as bars and as a table.

import { Button, SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { TFunction } from "i18next";
import { Download } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Money } from "../../design/Money";
import { Empty, Refusal } from "../../design/Notes";
import { NONE, whole } from "../../design/numbers";
import { Figures, Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { DayBars, NamedBars } from "./Bars";
import css from "./Credits.module.css";
import { type UsageBy, usageQuery } from "./data";
import { everyDay, firstDay, type Usage as Row } from "./usage";

const BYS = ["day", "model", "member", "key", "job"] as const satisfies readonly UsageBy[];
/** Words, not numbers: the router reads `days=7` in an address as a number. */
const PERIODS = { week: 7, month: 30, quarter: 90, all: null } as const;
type Period = keyof typeof PERIODS;
const PERIOD_NAMES = Object.keys(PERIODS) as Period[];

export function Usage() {
  const { t } = useTranslation();
  const search = useSearch({ from: "/inside/credits" });
  const by = BYS.find((each) => each === search.by) ?? "day";
  const period = PERIOD_NAMES.find((each) => each === search.period) ?? "month";
  const days = PERIODS[period];
  const since = days === null ? null : firstDay(days, Date.now());
  const { data, error, refetch } = useQuery(usageQuery(by, since));
  const rows = data?.by === by ? data.data : undefined;
  return (
    <>
      <Filters by={by} period={period} since={since} />
      <Refusal error={error} retry={() => void refetch()} />
      {rows?.length === 0 ? (
        <Panel>
          <Empty title={t("credits.usage.emptyTitle")} text={t("credits.usage.emptyText")} />
        </Panel>
      ) : (
        <>
          <Totals total={data?.total} />
          <Panel title={t(`credits.usage.charts.${by}`)} actions={<Legend />}>
            {by === "day" ? (
              <DayBars bars={everyDay(rows ?? [], since, Date.now())} />
            ) : (
              <NamedBars rows={rows ?? []} name={(row) => rowName(row, by, t)} />
            )}
          </Panel>
          <Panel flush>
            <UsageTable by={by} rows={by === "day" ? rows?.toReversed() : rows} />
          </Panel>
        </>
      )}
    </>
  );
}

interface FiltersProps {
  by: UsageBy;
  period: Period;
  since: string | null;
}

function Filters({ by, period, since }: FiltersProps) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const set = (next: { by?: string; period?: string }) =>
    void navigate({
      to: "/credits",
      search: { tab: "usage", by, period, ...next },
      replace: true,
    });
  const csv = new URLSearchParams({ by, format: "csv", ...(since && { since }) });
  return (
    <div className={css.filters}>
      <SegmentedControl
        aria-label={t("credits.usage.by")}
        value={by}
        onChange={(value) => set({ by: value })}
        data={BYS.map((value) => ({ value, label: t(`credits.usage.bys.${value}`) }))}
      />
      <SegmentedControl
        aria-label={t("credits.usage.period")}
        value={period}
        onChange={(value) => set({ period: value })}
        data={PERIOD_NAMES.map((value) => ({ value, label: t(`credits.usage.periods.${value}`) }))}
      />
      <Button
        component="a"
        href={`/v1/usage?${csv}`}
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

function Totals({ total }: { total: Row | undefined }) {
  const { t } = useTranslation();
  const credit = (micro: number | undefined) =>
    micro === undefined ? NONE : <Money micro={micro} />;
  return (
    <Panel>
      <Figures
        items={[
          { label: t("credits.usage.charged"), value: credit(total?.credits) },
          { label: t("credits.usage.refunded"), value: credit(total?.refunded) },
          { label: t("credits.usage.jobs"), value: whole(total?.jobs) },
          { label: t("credits.usage.trainedTokens"), value: whole(total?.trained_tokens) },
          { label: t("credits.usage.chatTurns"), value: whole(total?.chat_turns) },
        ]}
      />
    </Panel>
  );
}

function Legend() {
  const { t } = useTranslation();
  return (
    <span className={css.legend}>
      <i className={css.training} aria-hidden="true" />
      {t("credits.usage.training")}
      <i className={css.chat} aria-hidden="true" />
      {t("credits.usage.chat")}
    </span>
  );
}

function UsageTable({ by, rows }: { by: UsageBy; rows: readonly Row[] | undefined }) {
  const { t } = useTranslation();
  const columns: Column<Row>[] = [
    { key: "name", head: t(`credits.usage.bys.${by}`), cell: (row) => rowName(row, by, t) },
    {
      key: "jobs",
      head: t("credits.usage.jobs"),
      align: "right",
      wide: true,
      cell: (row) => whole(row.jobs),
    },
    {
      key: "tokens",
      head: t("credits.usage.trainedTokens"),
      align: "right",
      wide: true,
      cell: (row) => whole(row.trained_tokens),
    },
    {
      key: "training",
      head: t("credits.usage.training"),
      align: "right",
      wide: true,
      cell: (row) => <Money micro={row.training_credits} />,
    },
    {
      key: "chatTokens",
      head: t("credits.usage.chatTokens"),
      align: "right",
      wide: true,
      cell: (row) => whole(row.prompt_tokens + row.completion_tokens),
    },
    {
      key: "chat",
      head: t("credits.usage.chat"),
      align: "right",
      wide: true,
      cell: (row) => <Money micro={row.chat_credits} />,
    },
    {
      key: "credits",
      head: t("credits.usage.charged"),
      align: "right",
      cell: (row) => (
        <b>
          <Money micro={row.credits} />
        </b>
      ),
    },
  ];
  return (
    <Table
      label={t(`credits.usage.charts.${by}`)}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.key ?? ""}
    />
  );
}

/** The portal has no key, a base model's chat no job. */
function rowName(row: Row, by: UsageBy, t: TFunction): string {
  if (row.name) return row.name;
  if (row.key) return row.key;
  if (by === "key") return t("credits.usage.portal");
  if (by === "job") return t("credits.usage.baseChat");
  return NONE;
}
