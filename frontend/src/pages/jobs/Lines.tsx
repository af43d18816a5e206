// Lines that may have a hundred thousand points and grow: painted at most once a frame, past React,
// with no more points than the screen has columns for. Drag to zoom; a double click shows all.

import { useCallback, useEffect, useRef } from "react";
import uPlot from "uplot";
import { thin } from "../../client/curve";
import { compact, significant, whole } from "../../design/numbers";
import { axis, type Colours, Plot } from "../../design/Plot";

export interface Line {
  xs: readonly number[];
  ys: readonly number[];
}

export interface Look {
  /** A token of the design, "--accent". */
  colour: string;
  width: number;
  dash?: number[];
}

export type View = readonly [number, number] | null;

interface LinesProps {
  label: string;
  height: number;
  /** Must be stable: another list makes another chart. */
  looks: readonly Look[];
  log: boolean;
  /** What there is to paint, read when it is painted. */
  lines: () => readonly Line[];
  /** Measured now and then, painted as rings. */
  dots: (() => Line) | null;
  /** Whatever it is, another one paints again. */
  drawn: unknown;
  view: View;
  onView: (view: View) => void;
  /** Where the pointer is, in the units of the x axis. */
  onCursor: (x: number | null) => void;
}

const RING_ROOM_PX = 14;
const NOTHING: uPlot.AlignedData = [[]];

export function Lines(props: LinesProps) {
  const { label, height, looks, log, drawn, view } = props;
  const latest = useRef(props);
  latest.current = props;
  const chart = useRef<uPlot | null>(null);
  const frame = useRef(0);
  const span = useRef<[number, number]>([0, 1]);

  const paint = useCallback(() => {
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      if (chart.current !== null) span.current = put(chart.current, latest.current, span);
    });
  }, []);
  useEffect(
    () => () => {
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    },
    [],
  );
  const onChart = useCallback(
    (made: uPlot | null) => {
      chart.current = made;
      if (made !== null) paint();
    },
    [paint],
  );
  const options = useCallback(
    (colour: Colours) => describe(colour, looks, log, span, latest, paint),
    [looks, log, paint],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: what changed is only a reason to paint
  useEffect(paint, [drawn, view, paint]);
  return <Plot label={label} height={height} data={NOTHING} options={options} onChart={onChart} />;
}

type Held<T> = { current: T };

/** Hands uPlot what can be seen of the lines, and returns the y range that holds it. */
function put(chart: uPlot, props: LinesProps, span: Held<[number, number]>): [number, number] {
  const lines = props.lines();
  const dots = props.dots?.() ?? null;
  const all = dots === null ? lines : [...lines, dots];
  const [from, to] = props.view ?? extent(all);
  const columns = Math.max(1, Math.round(chart.bbox.width));
  const seen = lines.map(({ xs, ys }) => thin(xs, ys, from, to, columns));
  const inView = dots === null ? [] : dots.ys.filter((_, n) => isIn(dots.xs[n], from, to));
  span.current = range([...seen.map(([, ys]) => ys), inView], props.log);
  chart.batch(() => {
    chart.setData(aligned(seen), false);
    chart.setScale("x", { min: from, max: to });
  });
  return span.current;
}

/** All on one axis, with holes where a line has no point. */
function aligned(lines: [number[], number[]][]): uPlot.AlignedData {
  const [first] = lines;
  if (first === undefined) return NOTHING;
  if (lines.length === 1) return first;
  return uPlot.join(lines);
}

function extent(lines: readonly Line[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { xs } of lines) {
    low = Math.min(low, xs[0] ?? low);
    high = Math.max(high, xs.at(-1) ?? high);
  }
  if (low > high) return [0, 1];
  return low === high ? [low - 1, high + 1] : [low, high];
}

function range(series: readonly (readonly number[])[], log: boolean): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of series) {
    for (const value of values) {
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return log ? [0.1, 10] : [0, 1];
  if (log) return [roundTo(low, Math.floor), roundTo(high * 1.02, Math.ceil)];
  const margin = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

/** To one significant digit, so that the ticks of a log scale fall on round numbers. */
function roundTo(value: number, how: (value: number) => number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return how(value / unit + (how === Math.floor ? 1e-9 : -1e-9)) * unit;
}

function isIn(x: number | undefined, from: number, to: number): boolean {
  return x !== undefined && x >= from && x <= to;
}

function describe(
  colour: Colours,
  looks: readonly Look[],
  log: boolean,
  span: Held<[number, number]>,
  latest: Held<LinesProps>,
  paint: () => void,
): Omit<uPlot.Options, "width" | "height"> {
  const look = axis(colour);
  return {
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          latest.current.onView(null);
          return null;
        },
      },
    },
    scales: {
      x: { time: false },
      y: { ...(log ? { distr: 3 as const } : {}), range: () => span.current },
    },
    axes: [
      {
        ...look,
        grid: { show: false },
        size: 32,
        values: (_, ticks) => tickTexts(ticks),
      },
      { ...look, size: 56, values: (_, ticks) => ticks.map(valueText) },
    ],
    series: [
      {},
      ...looks.map((line) => ({
        stroke: colour(line.colour),
        width: line.width,
        spanGaps: true,
        // A line needs two points; before that, a point.
        points: { show: (chart: uPlot) => chart.data[0].length < 3, size: 5 },
        ...(line.dash === undefined ? {} : { dash: line.dash }),
      })),
    ],
    hooks: {
      draw: [(chart) => ring(chart, latest.current.dots?.() ?? null, colour)],
      setCursor: [
        ({ cursor, posToVal }) => {
          const { left } = cursor;
          const off = left === undefined || left === null || left < 0;
          latest.current.onCursor(off ? null : posToVal(left, "x"));
        },
      ],
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width < 4) return;
          const view = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")] as const;
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onView(view);
        },
      ],
      // More columns show more points.
      setSize: [paint],
    },
  };
}

/** Rings where there is room for them; a line through all, and the last ring, where there is not. */
function ring(chart: uPlot, dots: Line | null, colour: Colours): void {
  if (dots === null) return;
  const { ctx, bbox } = chart;
  const { min, max } = chart.scales.x ?? {};
  const ratio = devicePixelRatio;
  const at: [number, number][] = [];
  dots.xs.forEach((x, n) => {
    const y = dots.ys[n];
    if (y === undefined || !isIn(x, min ?? x, max ?? x)) return;
    at.push([chart.valToPos(x, "x", true), chart.valToPos(y, "y", true)]);
  });
  const crowded = at.length * RING_ROOM_PX * ratio > bbox.width;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left - 6 * ratio, bbox.top, bbox.width + 12 * ratio, bbox.height);
  ctx.clip();
  ctx.lineWidth = 2 * ratio;
  ctx.strokeStyle = colour("--held-out");
  ctx.fillStyle = colour("--surface");
  if (crowded) {
    ctx.beginPath();
    for (const [x, y] of at) ctx.lineTo(x, y);
    ctx.stroke();
  }
  for (const [x, y] of crowded ? at.slice(-1) : at) {
    ctx.beginPath();
    ctx.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

function tickTexts(ticks: readonly number[]): string[] {
  const text = (ticks.at(-1) ?? 0) >= 100_000 ? compact : whole;
  return ticks.map((tick) => (Number.isInteger(tick) ? text(tick) : ""));
}

function valueText(value: number | null): string {
  if (value === null) return "";
  return Math.abs(value) >= 10_000 ? compact(value) : significant(value);
}
