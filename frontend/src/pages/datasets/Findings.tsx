// The findings of a file by line: filtered, downloaded, and mended where a repair is known.

import { Button } from "@mantine/core";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Check, Download, Wrench } from "lucide-react";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Empty, Refusal } from "../../design/Notes";
import { NONE, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { findingsUrl, type Report, useFindings, useReading } from "./data";
import css from "./Findings.module.css";
import { Marked } from "./Marked";
import {
  codesOf,
  type Finding,
  filtered,
  gathered,
  isRepair,
  keyOf,
  type ProblemCode,
  parted,
  totals,
  VERDICTS,
} from "./problems";
import { VerdictMark } from "./Verdicts";

const TABLE_PX = 640;

interface FindingsProps {
  report: Report;
  /** What the base model makes of the rows is not known yet. */
  encoding: boolean;
}

export function Findings({ report, encoding }: FindingsProps) {
  const { t } = useTranslation();
  const { verdict, code } = useSearch({ from: "/inside/datasets/$fileId" });
  const navigate = useNavigate({ from: "/datasets/$fileId" });
  const file = report.report;
  const made = report.encoding?.report ?? null;
  const counts = totals(file?.problem_counts ?? {}, made?.problem_counts ?? {});
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const first = useMemo(
    () => gathered(file?.problems ?? [], made?.problems ?? []),
    [file?.problems, made?.problems],
  );
  // The report brings the first findings; the CSV has all of them.
  const csv = useFindings(
    report.file_id,
    `${report.encoding?.id} ${report.encoding?.status}`,
    all > first.length,
  );
  const findings = useMemo(() => gathered(first, csv.data ?? []), [first, csv.data]);
  const shown = useMemo(() => filtered(findings, { verdict, code }), [findings, verdict, code]);
  const put = (change: { verdict?: string | undefined; code?: string | undefined }) =>
    void navigate({
      search: (now) =>
        Object.fromEntries(Object.entries({ ...now, ...change }).filter(([, value]) => value)),
      replace: true,
    });

  if (all === 0) {
    return (
      <Panel flush>
        <Empty
          title={t("datasets.findings.noneTitle")}
          text={t(encoding ? "datasets.findings.noneYet" : "datasets.findings.noneText")}
        />
      </Panel>
    );
  }
  const partial = all > findings.length;
  return (
    <div className={css.findings}>
      <Repairs report={report} findings={findings} partial={partial} />
      <Panel
        title={t("datasets.findings.title", { count: all, n: whole(all) })}
        actions={
          <Button
            component="a"
            variant="default"
            href={findingsUrl(report.file_id)}
            download
            leftSection={<Download size={14} aria-hidden="true" />}
          >
            {t("datasets.findings.csv")}
          </Button>
        }
        flush
      >
        <Chips findings={findings} verdict={verdict} code={code} put={put} />
        <Refusal error={csv.error} retry={() => void csv.refetch()} />
        {partial && (
          <p className={css.note}>
            {csv.isFetching
              ? t("datasets.findings.more")
              : t("datasets.findings.partial", { n: whole(findings.length), all: whole(all) })}
          </p>
        )}
        {shown.length === 0 ? (
          <Empty title={t("datasets.findings.emptyTitle")} text={t("datasets.findings.emptyText")}>
            <Button variant="default" onClick={() => put({ verdict: undefined, code: undefined })}>
              {t("datasets.clear")}
            </Button>
          </Empty>
        ) : (
          <List report={report} rows={shown} />
        )}
      </Panel>
    </div>
  );
}

// -- filters ---------------------------------------------------------------------------------------

interface ChipsProps {
  findings: readonly Finding[];
  verdict: string | undefined;
  code: string | undefined;
  put: (change: { verdict?: string | undefined; code?: string | undefined }) => void;
}

function Chips({ findings, verdict, code, put }: ChipsProps) {
  const { t } = useTranslation();
  const verdicts = VERDICTS.map((value) => ({
    value,
    count: filtered(findings, { verdict: value }).length,
  })).filter(({ count }) => count > 0);
  const codes = codesOf(filtered(findings, { verdict }));
  return (
    <div className={css.chips}>
      <fieldset>
        <legend>{t("datasets.findings.byVerdict")}</legend>
        <Chip chosen={verdict === undefined} onClick={() => put({ verdict: undefined })}>
          {t("common.all")}
        </Chip>
        {verdicts.map(({ value, count }) => (
          <Chip
            key={value}
            chosen={verdict === value}
            count={count}
            onClick={() => put({ verdict: verdict === value ? undefined : value, code: undefined })}
          >
            <VerdictMark verdict={value} />
          </Chip>
        ))}
      </fieldset>
      <fieldset>
        <legend>{t("datasets.findings.byCode")}</legend>
        <Chip chosen={code === undefined} onClick={() => put({ code: undefined })}>
          {t("common.all")}
        </Chip>
        {codes.map(({ code: value, count }) => (
          <Chip
            key={value}
            chosen={code === value}
            count={count}
            onClick={() => put({ code: code === value ? undefined : value })}
          >
            {t(`codes.problems.${value}`)}
          </Chip>
        ))}
      </fieldset>
    </div>
  );
}

interface ChipProps {
  chosen: boolean;
  count?: number;
  onClick: () => void;
  children: React.ReactNode;
}

function Chip({ chosen, count, onClick, children }: ChipProps) {
  return (
    <button type="button" className={css.chip} aria-pressed={chosen} onClick={onClick}>
      {children}
      {count !== undefined && <b>{whole(count)}</b>}
    </button>
  );
}

// -- the list --------------------------------------------------------------------------------------

function List({ report, rows }: { report: Report; rows: readonly Finding[] }) {
  const { t } = useTranslation();
  const mark = ({ verdict, code }: Finding) =>
    verdict === "repairable" && report.repairs.includes(code) ? (
      <VerdictMark verdict="good" word={t("datasets.repaired")} />
    ) : (
      <VerdictMark verdict={verdict} />
    );
  const columns: Column<Finding>[] = [
    {
      key: "line",
      head: t("datasets.findings.line"),
      align: "right",
      width: 72,
      cell: ({ line, verdict }) =>
        verdict === "warned" || verdict === "good" ? (
          <Link
            to="/datasets/$fileId"
            params={{ fileId: report.file_id }}
            search={{ tab: "tokens", line: String(line) }}
            aria-label={t("datasets.findings.seeLine", { line: whole(line) })}
          >
            {whole(line)}
          </Link>
        ) : (
          whole(line)
        ),
    },
    {
      key: "verdict",
      head: t("datasets.findings.verdict"),
      wide: true,
      width: 132,
      cell: mark,
    },
    {
      key: "field",
      head: t("datasets.findings.field"),
      wide: true,
      width: 184,
      cell: ({ field }) =>
        field === null ? <span className="dim">{NONE}</span> : <code>{field}</code>,
    },
    {
      key: "reason",
      head: t("datasets.findings.reason"),
      cell: (finding) => {
        const { code, message, field } = finding;
        const { reason, fix } = parted(message);
        return (
          <div className={css.reason}>
            <span className={css.markHere}>{mark(finding)}</span>
            <strong>{t(`codes.problems.${code}`)}</strong>
            {field !== null && <code className={css.fieldHere}>{field}</code>}
            <p>
              <Marked text={reason} />
            </p>
            {fix !== null && (
              <p className={css.fixHere}>
                <Marked text={fix} />
              </p>
            )}
          </div>
        );
      },
    },
    {
      key: "fix",
      head: t("datasets.findings.fix"),
      wide: true,
      width: "30%",
      cell: ({ message }) => {
        const { fix } = parted(message);
        return fix === null ? <span className="dim">{NONE}</span> : <Marked text={fix} />;
      },
    },
  ];
  return (
    <Table
      label={t("datasets.tabs.findings")}
      columns={columns}
      rows={rows}
      rowKey={keyOf}
      {...(rows.length > 200 ? { maxHeight: TABLE_PX } : {})}
    />
  );
}

// -- repairs ---------------------------------------------------------------------------------------

interface RepairsProps {
  report: Report;
  findings: readonly Finding[];
  partial: boolean;
}

function Repairs({ report, findings, partial }: RepairsProps) {
  const { t } = useTranslation();
  const reading = useReading(report.file_id);
  const counted = report.report?.problem_counts ?? {};
  const found = codesOf(filtered(findings, { verdict: "repairable" })).filter(({ code }) =>
    isRepair(code),
  );
  if (found.length === 0) return null;
  const count = (code: ProblemCode, seen: number) => (partial ? (counted[code] ?? seen) : seen);
  const accepted = new Set(report.repairs);
  const open = found.filter(({ code }) => !accepted.has(code));
  const accept = (codes: Iterable<ProblemCode>) => reading.mutate({ repairs: [...codes] });
  const without = (code: ProblemCode) => report.repairs.filter((one) => one !== code);
  return (
    <Panel
      title={t("datasets.repairs.title")}
      actions={
        found.length < 2 ? undefined : open.length > 0 ? (
          <Button
            variant="filled"
            loading={reading.isPending}
            leftSection={<Wrench size={14} aria-hidden="true" />}
            onClick={() => accept([...report.repairs, ...open.map(({ code }) => code)])}
          >
            {t("datasets.repairs.all")}
          </Button>
        ) : (
          <Button
            variant="default"
            loading={reading.isPending}
            onClick={() => accept(report.repairs.filter((c) => !found.some((f) => f.code === c)))}
          >
            {t("datasets.repairs.undoAll")}
          </Button>
        )
      }
    >
      <p className="dim">{t("datasets.repairs.text")}</p>
      <Refusal error={reading.error} />
      <ul className={css.repairs}>
        {found.map(({ code, count: seen }) => (
          <li key={code}>
            <div>
              <strong>{t(`codes.problems.${code}`)}</strong>
              <p className="dim">{t(`datasets.repairs.does.${code as RepairCode}`)}</p>
            </div>
            {accepted.has(code) ? (
              <span className={css.done}>
                <span className="tone-good">
                  <Check size={14} aria-hidden="true" />
                  {t("datasets.repairs.done", { count: count(code, seen) })}
                </span>
                <Button
                  variant="subtle"
                  size="compact-sm"
                  disabled={reading.isPending}
                  onClick={() => accept(without(code))}
                >
                  {t("datasets.repairs.undo")}
                </Button>
              </span>
            ) : (
              <Button
                variant="default"
                size="xs"
                disabled={reading.isPending}
                onClick={() => accept([...report.repairs, code])}
              >
                {t("datasets.repairs.one", { n: whole(count(code, seen)) })}
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

type RepairCode =
  | "same_role_twice"
  | "byte_order_mark"
  | "label_as_text"
  | "weight_as_text"
  | "number_as_text"
  | "system_not_first"
  | "leading_answer"
  | "trailing_question";
