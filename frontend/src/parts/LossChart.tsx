// The loss curve: training thin, its running mean bold, held-out loss as dots.

import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { latest } from "../client/curve";
import type { Heard } from "../client/feed";
import { words } from "../words";
import { loss, whole } from "./numbers";

const HEIGHT_PX = 280;

export function LossChart({ heard, ended }: { heard: Heard; ended: boolean }) {
  const { steps, losses, smoothed, heldOut } = heard.curve;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const dark = useDarkTheme();
  const empty = steps.length === 0;

  // `heard` is a new value whenever the curve's arrays grew in place.
  const data = useMemo<uPlot.AlignedData>(() => {
    const { curve } = heard;
    return [[...curve.steps], [...curve.losses], [...curve.smoothed], [...curve.heldOut]];
  }, [heard]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new theme or a first point redraws all; data follows below
  useEffect(() => {
    const parent = box.current;
    if (parent === null || empty) return;
    const chart = new uPlot(options(parent, setCursor), data, parent);
    plot.current = chart;
    const resized = new ResizeObserver(() =>
      chart.setSize({ width: parent.clientWidth, height: HEIGHT_PX }),
    );
    resized.observe(parent);
    return () => {
      resized.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [dark, empty]);

  useEffect(() => plot.current?.setData(data), [data]);

  const at = (series: readonly (number | null)[]) =>
    loss(cursor === null ? latest(series) : series[cursor]);
  return (
    <section className="card chart" aria-label={words.chart.title}>
      <header>
        <h2>{words.chart.title}</h2>
        {!empty && (
          <dl className="keys">
            <dt className="key-step">{words.chart.step}</dt>
            <dd>{whole((cursor === null ? steps.at(-1) : steps[cursor]) ?? 0)}</dd>
            <dt className="key-train">{words.chart.train}</dt>
            <dd>{at(losses)}</dd>
            <dt className="key-smoothed">{words.chart.smoothed}</dt>
            <dd>{at(smoothed)}</dd>
            <dt className="key-held">{words.chart.heldOut}</dt>
            <dd>{at(heldOut)}</dd>
          </dl>
        )}
      </header>
      {empty ? (
        <p className="waiting">{ended ? words.chart.never : words.chart.waiting}</p>
      ) : (
        <div
          ref={box}
          className="plot"
          role="img"
          aria-label={words.chart.summary(
            loss(losses.find((value) => value !== null)),
            loss(latest(losses)),
            whole(steps.at(-1) ?? 0),
          )}
        />
      )}
    </section>
  );
}

function options(parent: HTMLElement, setCursor: (at: number | null) => void): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: colour("--grey"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: `11px ${colour("--sans")}`,
  };
  return {
    width: parent.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false } },
    scales: { x: { time: false } },
    axes: [
      { ...axis, grid: { show: false }, size: 32, values: (_, ticks) => ticks.map(wholeTick) },
      { ...axis, size: 48 },
    ],
    series: [
      {},
      { stroke: colour("--curve-thin"), width: 1, spanGaps: true, points: { show: false } },
      { stroke: colour("--accent"), width: 2.5, spanGaps: true, points: { show: false } },
      {
        stroke: colour("--held-out"),
        paths: () => null,
        points: { show: true, size: 8, width: 1.5, fill: colour("--surface") },
      },
    ],
    hooks: { setCursor: [(chart) => setCursor(chart.cursor.idx ?? null)] },
  };
}

function wholeTick(value: number): string {
  return Number.isInteger(value) ? whole(value) : "";
}

function useDarkTheme(): boolean {
  const query = useMemo(() => window.matchMedia("(prefers-color-scheme: dark)"), []);
  const [dark, setDark] = useState(query.matches);
  useEffect(() => {
    const changed = () => setDark(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return dark;
}
