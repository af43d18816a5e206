// Several runs on one chart: training loss smoothed, by step or by trained tokens.

import { ActionIcon, SegmentedControl } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { nearest, RunningMean } from "../../client/curve";
import { ask, http } from "../../client/http";
import { Refusal } from "../../design/Notes";
import { loss, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { isTerminal } from "../../design/Status";
import { type Job, jobQuery } from "../../hooks/useJob";
import css from "./Compare.module.css";
import { Controls, fittingWeight } from "./Curves";
import { DataLink, settingText } from "./JobFacts";
import { type Line, Lines, type View } from "./Lines";
import { differences, RUN_LOOKS } from "./runs";

const MOVING_MS = 5_000;
type Axis = "steps" | "tokens";

interface CompareProps {
  runs: readonly string[];
  drop: (id: string) => void;
  close: () => void;
}

export function Compare({ runs, drop, close }: CompareProps) {
  const { t } = useTranslation();
  const [axis, setAxis] = useState<Axis>("steps");
  const [asked, setWeight] = useState<number | null>(null);
  const [log, setLog] = useState(false);
  const [view, setView] = useState<View>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const { jobs, curves, weight, error, version } = useRuns(runs, axis, asked);
  const looks = useMemo(() => RUN_LOOKS.slice(0, runs.length), [runs.length]);
  const lines = useCallback(() => curves, [curves]);
  const choose = (next: Axis) => {
    setAxis(next);
    setView(null);
  };
  return (
    <Panel
      title={t("jobs.compareTitle", { n: runs.length })}
      actions={
        <>
          <SegmentedControl
            size="xs"
            aria-label={t("jobs.over")}
            value={axis}
            onChange={(value) => choose(value as Axis)}
            data={[
              { value: "steps", label: t("jobs.overSteps") },
              { value: "tokens", label: t("jobs.overTokens") },
            ]}
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t("jobs.compareClose")}
            onClick={close}
          >
            <X size={16} />
          </ActionIcon>
        </>
      }
    >
      <Refusal error={error} />
      {runs.length < 2 ? (
        <p className="dim">{t("jobs.compareHint")}</p>
      ) : (
        <>
          <Lines
            key={runs.length}
            label={t("jobs.compareTitle", { n: runs.length })}
            height={280}
            looks={looks}
            log={log}
            lines={lines}
            dots={null}
            drawn={version}
            view={view}
            onView={setView}
            onCursor={setCursor}
          />
          <div className={css.controls}>
            <Controls
              zoomed={view !== null}
              setView={setView}
              log={log}
              setLog={setLog}
              weight={weight}
              setWeight={setWeight}
            />
          </div>
        </>
      )}
      <Legend runs={runs} jobs={jobs} curves={curves} axis={axis} cursor={cursor} drop={drop} />
    </Panel>
  );
}

interface LegendProps {
  runs: readonly string[];
  jobs: readonly (Job | undefined)[];
  curves: readonly Line[];
  axis: Axis;
  cursor: number | null;
  drop: (id: string) => void;
}

/** A row a run: how it is drawn, its value under the pointer (else the last), what is special. */
function Legend({ runs, jobs, curves, axis, cursor, drop }: LegendProps) {
  const { t } = useTranslation();
  const known = jobs.filter((job) => job !== undefined);
  const differ = known.length === runs.length && runs.length > 1 ? differences(known) : [];
  return (
    <section
      className={css.box}
      aria-label={t("jobs.legend")}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
    >
      <table className={css.legend}>
        <thead>
          <tr>
            <th>{t("jobs.job")}</th>
            <th className="number">{t("jobs.loss")}</th>
            <th className="number">{t(axis === "steps" ? "jobs.step" : "jobs.tokens")}</th>
            {differ.map(({ name }) => (
              <th key={name} className="number">
                <code>{name}</code>
              </th>
            ))}
            <th>
              <span className="unseen">{t("jobs.drop")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.map((id, n) => {
            const job = jobs[n];
            const line = curves[n];
            const at =
              line === undefined
                ? -1
                : cursor === null
                  ? line.xs.length - 1
                  : nearest(line.xs, cursor);
            return (
              <tr key={id}>
                <td>
                  <span className={css.run}>
                    <Swatch n={n} />
                    <Link to="/jobs/$jobId" params={{ jobId: id }}>
                      {job?.name ?? id}
                    </Link>
                  </span>
                </td>
                <td className="number">{loss(line?.ys[at])}</td>
                <td className="number">{whole(line?.xs[at])}</td>
                {differ.map(({ name, values }) => (
                  <td key={name} className="number">
                    <SettingValue name={name} value={values[n]} />
                  </td>
                ))}
                <td className="number">
                  <ActionIcon
                    variant="subtle"
                    color="gray"
                    size="sm"
                    aria-label={t("jobs.dropOne", { name: job?.name ?? id })}
                    onClick={() => drop(id)}
                  >
                    <X size={14} />
                  </ActionIcon>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

function SettingValue({ name, value }: { name: string; value: unknown }) {
  if (name === "training_file" && typeof value === "string") return <DataLink id={value} />;
  return settingText(name, value);
}

function Swatch({ n }: { n: number }) {
  const look = RUN_LOOKS[n];
  return (
    <svg width="32" height="8" aria-hidden="true" className={css.swatch}>
      <line
        x1="0"
        x2="32"
        y1="4"
        y2="4"
        stroke={`var(${look?.colour})`}
        strokeWidth={look?.width}
        strokeDasharray={look?.dash?.join(" ")}
      />
    </svg>
  );
}

/** Trained tokens by step: those of an epoch over its steps, so exact where an epoch ends. */
function tokens(steps: readonly number[] = [], job?: Job): number[] {
  const quote = job?.quote;
  if (!quote || quote.steps === 0) return [];
  const each = quote.trained_tokens / quote.steps;
  return steps.map((step) => Math.round(step * each));
}

/** Each run's job and its smoothed curve; asked again while it moves. */
function useRuns(runs: readonly string[], axis: Axis, asked: number | null) {
  const jobs = useQueries({ queries: runs.map(jobQuery) });
  const metrics = useQueries({
    queries: runs.map((id, n) => {
      const job = jobs[n]?.data;
      const moves = job !== undefined && !isTerminal(job.status);
      return {
        queryKey: ["jobs", "metrics", id],
        queryFn: ({ signal }: { signal: AbortSignal }) =>
          ask(
            http.GET("/v1/fine_tuning/jobs/{job_id}/metrics", {
              params: { path: { job_id: id } },
              signal,
            }),
          ),
        staleTime: moves ? 0 : Number.POSITIVE_INFINITY,
        refetchInterval: moves ? MOVING_MS : (false as const),
      };
    }),
  });
  const points = Math.max(0, ...metrics.map(({ data }) => data?.train.step.length ?? 0));
  const weight = asked ?? fittingWeight(points);
  const updates = [...jobs, ...metrics].map(({ dataUpdatedAt }) => dataUpdatedAt);
  const version = `${axis} ${weight} ${updates.join()}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the version says when the answers are others
  const curves = useMemo<Line[]>(
    () =>
      metrics.map(({ data }, n) => ({
        xs: axis === "steps" ? (data?.train.step ?? []) : tokens(data?.train.step, jobs[n]?.data),
        ys: new RunningMean(weight).of(data?.train.loss ?? []),
      })),
    [version],
  );
  const error = [...jobs, ...metrics].find((query) => query.error !== null)?.error ?? null;
  return { jobs: jobs.map(({ data }) => data), curves, weight, error, version };
}
