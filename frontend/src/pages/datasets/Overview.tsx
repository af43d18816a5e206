// What was detected in a file, how long its rows are, what a cutoff would lose, what to look at.

import { Slider } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { ArrowRight } from "lucide-react";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { CopyButton } from "../../design/Copy";
import { bytes, compact, moment, NONE, percent, whole } from "../../design/numbers";
import { Facts, Panel } from "../../design/Panel";
import { Bars } from "./Bars";
import {
  cutoffAt,
  filledBins,
  type Histogram,
  type Lengths,
  lengthsOf,
  lost,
  placeOf,
  STOPS_PER_BIN,
  stopOf,
} from "./cutoff";
import type { File, Report } from "./data";
import css from "./Overview.module.css";
import { type ProblemCode, totals } from "./problems";
import { VerdictMark } from "./Verdicts";

interface OverviewProps {
  report: Report;
  file: File | undefined;
  /** Tokens are still being counted. */
  encoding: boolean;
}

export function Overview({ report, file, encoding }: OverviewProps) {
  const { t } = useTranslation();
  const found = report.report;
  const { encoding: made } = report;
  const ready = made?.status === "ready" ? made.report : null;
  const cutoff = made?.recipe.type === "file" ? made.recipe.cutoff_len : 0;
  const lengths = ready ? lengthsOf(ready, cutoff) : null;
  return (
    <div className={css.overview}>
      <div className={css.main}>
        {encoding && <Counting />}
        {made?.status === "failed" && <p role="alert">{made.report?.fault}</p>}
        {lengths !== null && (
          <CutoffPanel
            key={made?.id}
            lengths={lengths}
            proposed={ready?.proposed_cutoff_len ?? lengths.longest}
          />
        )}
        <div className={css.pair}>
          {found?.turns && (
            <Panel title={t("datasets.turns")}>
              <Counts
                label={t("datasets.turns")}
                histogram={found.turns}
                name={(from, to) => (to - from <= 1 ? whole(from) : `${from}–${to - 1}`)}
              />
            </Panel>
          )}
          {ready?.supervised_share && (
            <Panel title={t("datasets.share")}>
              <Counts
                label={t("datasets.share")}
                histogram={shares(ready.supervised_share)}
                name={(from, to) => `${Math.round(from * 100)}–${Math.round(to * 100)} %`}
                ticks={(edge) => `${Math.round(edge * 100)}`}
                margin={10}
              />
            </Panel>
          )}
        </div>
      </div>
      <aside className={css.side}>
        <Warnings report={report} />
        <Detected report={report} />
        {file !== undefined && <Stored file={file} />}
      </aside>
    </div>
  );
}

function Counting() {
  const { t } = useTranslation();
  return (
    <Panel title={t("datasets.lengths")}>
      <div className={css.counting} role="status">
        {t("datasets.counting")}
      </div>
    </Panel>
  );
}

// -- the cutoff ------------------------------------------------------------------------------------

function CutoffPanel({ lengths, proposed }: { lengths: Lengths; proposed: number }) {
  const { t } = useTranslation();
  const [cutoff, setCutoff] = useState(proposed);
  const { first, end } = filledBins(lengths.histogram, proposed);
  const edges = lengths.histogram.edges.slice(first, end + 1);
  const counts = lengths.histogram.counts.slice(first, end);
  const loss = lost(lengths, cutoff);
  const place = placeOf(edges, cutoff);
  const stops = STOPS_PER_BIN * counts.length;
  const choose = (stop: number) => setCutoff(cutoffAt(edges, stop));
  const about = loss.exact ? "" : "~ ";
  return (
    <Panel
      title={t("datasets.lengths")}
      actions={<span className="dim">{t("datasets.longest", { n: whole(lengths.longest) })}</span>}
    >
      <Bars
        label={t("datasets.lengthsSummary", {
          rows: whole(lengths.rows),
          longest: whole(lengths.longest),
        })}
        bars={counts.map((count, bin) => ({
          key: String(edges[bin]),
          count,
          title: t("datasets.bin", {
            from: whole(edges[bin]),
            to: whole((edges[bin + 1] ?? 1) - 1),
            count,
            rows: whole(count),
          }),
        }))}
        ticks={edges.map((edge) => whole(edge))}
        line={{ place, label: whole(cutoff) }}
        onPlace={(at) => choose(Math.round(at * stops))}
      />
      <Slider
        className={css.slider}
        min={0}
        max={stops}
        value={stopOf(edges, cutoff)}
        onChange={choose}
        label={null}
        thumbLabel={t("datasets.cutoff")}
        thumbProps={{ "aria-valuetext": t("datasets.tokensN", { n: whole(cutoff) }) }}
      />
      <dl className={css.cutoff} aria-live="polite">
        <div>
          <dt>{t("datasets.cutoff")}</dt>
          <dd>{t("datasets.tokensN", { n: whole(cutoff) })}</dd>
          {cutoff === proposed && <dd className={css.fine}>{t("datasets.proposed")}</dd>}
        </div>
        <div>
          <dt>{t("datasets.stay")}</dt>
          <dd>
            {t("datasets.rowsOf", {
              n: about + whole(lengths.rows - loss.rows),
              all: whole(lengths.rows),
            })}
          </dd>
          <dd className={css.fine}>
            {t("datasets.tokensShare", {
              n: about + compact(lengths.tokens - loss.tokens),
              share: percent(1 - loss.tokens / Math.max(1, lengths.tokens)),
            })}
          </dd>
        </div>
        <div>
          <dt>{t("datasets.lost")}</dt>
          <dd className={loss.rows > 0 ? "tone-warn" : "tone-good"}>
            {loss.rows === 0
              ? t("datasets.nothingLost")
              : t("datasets.rowsN", { count: loss.rows, n: about + whole(loss.rows) })}
          </dd>
          {loss.rows > 0 && (
            <dd className={css.fine}>
              {t("datasets.tokensShare", {
                n: about + compact(loss.tokens),
                share: percent(loss.tokens / Math.max(1, lengths.tokens)),
              })}
            </dd>
          )}
        </div>
      </dl>
      <p className={css.small}>{t("datasets.cutoffNote")}</p>
    </Panel>
  );
}

// -- other counts ----------------------------------------------------------------------------------

interface CountsProps {
  label: string;
  histogram: Histogram;
  name: (from: number, to: number) => string;
  /** Edges are written under the bars instead of names. */
  ticks?: (edge: number) => string;
  margin?: number;
}

function Counts({ label, histogram, name, ticks, margin = 1 }: CountsProps) {
  const { t } = useTranslation();
  const { first, end } = filledBins(histogram, 0, margin);
  const bins = histogram.counts.slice(first, end).map((count, at) => {
    const from = histogram.edges[first + at] ?? 0;
    const to = histogram.edges[first + at + 1] ?? from;
    return { key: String(from), count, name: name(from, to) };
  });
  return (
    <Bars
      label={label}
      small
      {...(ticks ? { ticks: histogram.edges.slice(first, end + 1).map(ticks) } : {})}
      bars={bins.map(({ key, count, name: of }) => ({
        key,
        count,
        title: t("datasets.inBin", { name: of, count, rows: whole(count) }),
        name: of,
      }))}
    />
  );
}

/** The last bin is for what is learned whole; ten bars read better than eleven. */
function shares({ edges, counts }: Histogram): Histogram {
  if (edges.length !== 12 || counts.length !== 11) return { edges, counts };
  const last = (counts[9] ?? 0) + (counts[10] ?? 0);
  return { edges: edges.slice(0, 11), counts: [...counts.slice(0, 9), last] };
}

// -- beside ----------------------------------------------------------------------------------------

const WATCHED = [
  "secret",
  "personal_data",
  "duplicate",
  "near_duplicate",
  "other_language",
  "placeholder",
  "hidden_characters",
  "empty_answer",
  "far_longer",
  "too_long",
  "template_refused",
] as const satisfies readonly ProblemCode[];

function Warnings({ report }: { report: Report }) {
  const { t } = useTranslation();
  const found = report.report;
  const counts = totals(found?.problem_counts ?? {}, report.encoding?.report?.problem_counts ?? {});
  const there = WATCHED.filter((code) => (counts.get(code) ?? 0) > 0);
  const ready = report.encoding?.status === "ready" ? report.encoding.report : null;
  const repairable = found?.repairable ?? 0;
  const open = Math.min(repairable, ready?.unrepaired_rows ?? repairable);
  const bad = found?.bad ?? 0;
  const none = there.length === 0 && open === 0 && bad === 0;
  return (
    <Panel title={t("datasets.look")}>
      {none ? (
        <p className="dim">{t("datasets.lookNone")}</p>
      ) : (
        <ul className={css.warnings}>
          {open > 0 && (
            <Door report={report} search={{ verdict: "repairable" }} count={open}>
              <VerdictMark verdict="repairable" word={t("datasets.lookRepairable")} />
            </Door>
          )}
          {bad > 0 && (
            <Door report={report} search={{ verdict: "bad" }} count={bad}>
              <VerdictMark verdict="bad" word={t("datasets.lookBad")} />
            </Door>
          )}
          {there.map((code) => (
            <Door key={code} report={report} search={{ code }} count={counts.get(code) ?? 0}>
              {t(`codes.problems.${code}`)}
            </Door>
          ))}
        </ul>
      )}
    </Panel>
  );
}

interface DoorProps {
  report: Report;
  search: { verdict?: string; code?: string };
  count: number;
  children: ReactNode;
}

/** A count that leads to its findings. */
function Door({ report, search, count, children }: DoorProps) {
  return (
    <li>
      <Link
        to="/datasets/$fileId"
        params={{ fileId: report.file_id }}
        search={{ tab: "findings", ...search }}
      >
        <span>{children}</span>
        <b>{whole(count)}</b>
        <ArrowRight size={14} aria-hidden="true" />
      </Link>
    </li>
  );
}

function Detected({ report }: { report: Report }) {
  const { t } = useTranslation();
  const found = report.report;
  if (found === null) return null;
  const container = [found.container, found.packing].filter((one) => one != null);
  const sure = found.rows
    ? 1 - (countOf(report, "other_form") + countOf(report, "unknown_form")) / found.rows
    : 0;
  const rows: [string, ReactNode][] = [
    [
      t("datasets.container"),
      container.length === 0
        ? NONE
        : container.map((one) => t(`datasets.containers.${one}`)).join(" · "),
    ],
    [t("datasets.form"), found.form ? t(`datasets.forms.${found.form}`) : t("datasets.formNone")],
    ...(found.kind
      ? [[t("datasets.kind"), t(`datasets.kinds.${found.kind}`)] as [string, ReactNode]]
      : []),
    [
      t("datasets.sure"),
      report.mapping === null
        ? t("datasets.sureShare", { share: percent(Math.max(0, sure)) })
        : t("datasets.sureSaid"),
    ],
  ];
  if (found.tools)
    rows.push([
      t("datasets.tools"),
      t("datasets.rowsN", { count: found.tools, n: whole(found.tools) }),
    ]);
  if (found.reasoning && found.reasoning !== "none") {
    rows.push([t("datasets.reasoning"), t(`datasets.reasonings.${found.reasoning}`)]);
  }
  if (found.empty_lines) rows.push([t("datasets.emptyLines"), whole(found.empty_lines)]);
  const other = countOf(report, "other_language");
  rows.push([
    t("datasets.language"),
    other === 0
      ? t("datasets.languageOne")
      : t("datasets.languageMore", { count: other, n: whole(other) }),
  ]);
  const ready = report.encoding?.status === "ready" ? report.encoding.report : null;
  if (ready?.train_rows !== undefined) {
    rows.push([t("datasets.trainRows"), whole(ready.train_rows)]);
    rows.push([t("datasets.heldOutRows"), whole(ready.held_out_rows)]);
    rows.push([t("datasets.learned"), whole(ready.supervised_tokens)]);
  }
  const ignored = Object.entries(found.ignored ?? {});
  return (
    <Panel
      title={t("datasets.detected")}
      actions={
        <Link
          to="/datasets/$fileId"
          params={{ fileId: report.file_id }}
          search={{ tab: "mapping" }}
        >
          {t("datasets.correct")}
        </Link>
      }
    >
      <Facts rows={rows} />
      {ignored.length > 0 && (
        <p className={css.small}>
          {t("datasets.ignored", { names: ignored.map(([name]) => name).join(", ") })}
        </p>
      )}
    </Panel>
  );
}

function countOf(report: Report, code: ProblemCode): number {
  return report.report?.problem_counts?.[code] ?? 0;
}

function Stored({ file }: { file: File }) {
  const { t } = useTranslation();
  return (
    <Panel title={t("datasets.file")}>
      <Facts
        rows={[
          [t("datasets.size"), bytes(file.bytes)],
          [t("datasets.uploaded"), moment(file.created_at)],
          [
            t("datasets.id"),
            <span key="id" className={css.id}>
              <span className="mono">{file.id}</span>
              <CopyButton text={file.id} />
            </span>,
          ],
          [
            t("datasets.sha"),
            <span key="sha" className={css.id}>
              <span className="mono" title={file.sha256}>
                {`${file.sha256.slice(0, 12)}…`}
              </span>
              <CopyButton text={file.sha256} />
            </span>,
          ],
        ]}
      />
    </Panel>
  );
}
