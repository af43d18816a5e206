// A histogram: bars of equal width, ticks between them or names under them, and a line to drag.

import type { PointerEvent } from "react";
import css from "./Bars.module.css";

interface Bar {
  key: string;
  count: number;
  /** All that the bar says, under the pointer. */
  title: string;
  name?: string;
}

interface BarsProps {
  /** What is to be seen in words. */
  label: string;
  bars: readonly Bar[];
  /** One more than bars: the values at their edges. */
  ticks?: readonly string[];
  /** `place` is a share of the width. */
  line?: { place: number; label: string };
  onPlace?: (place: number) => void;
  small?: boolean;
}

export function Bars({ label, bars, ticks, line, onPlace, small = false }: BarsProps) {
  const most = Math.max(1, ...bars.map(({ count }) => count));
  const drag = (event: PointerEvent<HTMLDivElement>) => {
    if (onPlace === undefined || event.buttons !== 1) return;
    const box = event.currentTarget.getBoundingClientRect();
    onPlace((event.clientX - box.left) / box.width);
  };
  return (
    <div className={css.chart} role="img" aria-label={label}>
      {/* The line can also be moved by the slider below it, which has a name and takes keys. */}
      <div
        className={[css.plot, small && css.small, onPlace && css.drags].filter(Boolean).join(" ")}
        onPointerDown={(event) => {
          if (onPlace !== undefined) event.currentTarget.setPointerCapture(event.pointerId);
          drag(event);
        }}
        onPointerMove={drag}
      >
        {bars.map(({ key, count, title }, at) => {
          const over = line !== undefined && at / bars.length >= line.place;
          return (
            <div key={key} className={css.bin} title={title}>
              <i
                className={over ? css.over : undefined}
                style={{ height: `${(count / most) * 100}%`, minHeight: count > 0 ? 2 : 0 }}
              />
            </div>
          );
        })}
        {line !== undefined && (
          <div
            className={line.place > 0.8 ? `${css.line} ${css.leftward}` : css.line}
            style={{ left: `${line.place * 100}%` }}
          >
            <span>{line.label}</span>
          </div>
        )}
      </div>
      {ticks !== undefined && (
        <ol className={css.ticks}>
          {ticks.map((tick, at) => (
            <li key={tick} style={{ left: `${(at / (ticks.length - 1)) * 100}%` }}>
              {tick}
            </li>
          ))}
        </ol>
      )}
      {ticks === undefined && (
        <ol className={css.names}>
          {bars.map(({ key, name }) => (
            <li key={key}>{name}</li>
          ))}
        </ol>
      )}
    </div>
  );
}
