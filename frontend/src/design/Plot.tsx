// uPlot in React: made anew when the theme or the options change, fed in place when data does.

import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./plot.css";

export type Colours = (token: string) => string;

interface PlotProps {
  /** What is to be seen in words, for those who do not see it. */
  label: string;
  height: number;
  data: uPlot.AlignedData;
  /** Must be stable (useCallback): a new one makes a new chart. `colour("--accent")` reads a token. */
  options: (colour: Colours) => Omit<uPlot.Options, "width" | "height">;
  /** The chart, for zooming from outside; null when it is gone. */
  onChart?: (chart: uPlot | null) => void;
}

export function Plot({ label, height, data, options, onChart }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(data);
  latest.current = data;
  const scheme = useComputedColorScheme();

  // biome-ignore lint/correctness/useExhaustiveDependencies: a theme is read from the page, so a change of it redraws all
  useEffect(() => {
    const parent = box.current;
    if (parent === null) return;
    const style = getComputedStyle(document.documentElement);
    const colour: Colours = (token) => style.getPropertyValue(token).trim();
    const made = new uPlot(
      { ...options(colour), width: parent.clientWidth, height },
      latest.current,
      parent,
    );
    chart.current = made;
    onChart?.(made);
    const resized = new ResizeObserver(() => {
      if (parent.clientWidth > 0) made.setSize({ width: parent.clientWidth, height });
    });
    resized.observe(parent);
    return () => {
      resized.disconnect();
      made.destroy();
      chart.current = null;
      onChart?.(null);
    };
  }, [scheme, options, height, onChart]);

  useEffect(() => {
    // A reader who has zoomed in keeps that view while points arrive.
    const now = chart.current;
    if (now === null) return;
    const [first, last] = [now.data[0]?.[0], now.data[0]?.at(-1)];
    const { min, max } = now.scales.x ?? {};
    const zoomed = min != null && max != null && (min > (first ?? min) || max < (last ?? max));
    now.setData(data, !zoomed);
    if (zoomed) now.redraw(true, true);
  }, [data]);

  return <div ref={box} style={{ height }} role="img" aria-label={label} />;
}

/** Axes as all our charts have them. */
export function axis(colour: Colours): uPlot.Axis {
  return {
    stroke: colour("--grey"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: `11px ${colour("--sans")}`,
  };
}
