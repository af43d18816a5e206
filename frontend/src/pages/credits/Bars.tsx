// Bars of credits: training in the accent, chat thinner above it. The table beside says the same.

import { Tooltip } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useTranslation } from "react-i18next";
import { credits } from "../../design/numbers";
import css from "./Bars.module.css";
import { type Bar, roundTop, type Usage } from "./usage";

const HEIGHT = 200;
const FOOT = 24;
const SIDE = 64;
const PLOT = HEIGHT - FOOT;
const LABEL_EVERY_PX = 96;

export function DayBars({ bars }: { bars: readonly Bar[] }) {
  const { t } = useTranslation();
  const { ref, width } = useElementSize<HTMLDivElement>();
  const top = roundTop(Math.max(0, ...bars.map((bar) => bar.training + bar.chat)));
  const slot = bars.length === 0 ? 0 : Math.max(0, width - SIDE) / bars.length;
  const labelled = Math.max(1, Math.ceil(LABEL_EVERY_PX / Math.max(1, slot)));
  return (
    <div ref={ref} className={css.plot} style={{ height: HEIGHT }}>
      <svg width={width} height={HEIGHT} role="img" aria-label={t("credits.usage.charts.day")}>
        {[0, 0.5, 1].map((share) => (
          <g key={share}>
            <line className={css.grid} x1={SIDE} x2={width} y1={y(share)} y2={y(share)} />
            <text className={css.axis} x={SIDE - 8} y={y(share) + 4} textAnchor="end">
              {credits(top * share)}
            </text>
          </g>
        ))}
        {bars.map((bar, index) => (
          <Day key={bar.key} bar={bar} top={top} x={SIDE + index * slot} slot={slot} />
        ))}
        {bars.map((bar, index) =>
          (bars.length - 1 - index) % labelled === 0 ? (
            <text
              key={bar.key}
              className={css.axis}
              x={SIDE + (index + 0.5) * slot}
              y={HEIGHT - 4}
              textAnchor={index === bars.length - 1 && slot < 40 ? "end" : "middle"}
            >
              {bar.key.slice(5)}
            </text>
          ) : null,
        )}
      </svg>
    </div>
  );
}

function Day({ bar, top, x, slot }: { bar: Bar; top: number; x: number; slot: number }) {
  const { t } = useTranslation();
  const gap = Math.min(4, slot / 4);
  const width = Math.min(32, Math.max(1, slot - gap));
  const left = x + (slot - width) / 2;
  const training = (bar.training / top) * (PLOT - 8);
  const chat = (bar.chat / top) * (PLOT - 8);
  const said = t("credits.usage.dayBar", {
    day: bar.key,
    training: credits(bar.training),
    chat: credits(bar.chat),
  });
  return (
    <Tooltip label={said}>
      <g className={css.day}>
        <rect className={css.catch} x={x} y={0} width={slot} height={PLOT} />
        <rect
          className={css.training}
          x={left}
          y={PLOT - training}
          width={width}
          height={training}
        />
        <rect
          className={css.chat}
          x={left}
          y={PLOT - training - chat}
          width={width}
          height={chat}
        />
      </g>
    </Tooltip>
  );
}

function y(share: number): number {
  return PLOT - share * (PLOT - 8);
}

export function NamedBars({
  rows,
  name,
}: {
  rows: readonly Usage[];
  name: (row: Usage) => string;
}) {
  const most = Math.max(1, ...rows.map((row) => row.credits));
  const share = (micro: number) => `${(micro / most) * 100}%`;
  return (
    <ul className={css.named}>
      {rows.slice(0, 12).map((row) => (
        <li key={row.key ?? ""}>
          <span className="clip" title={name(row)}>
            {name(row)}
          </span>
          <span className={css.track}>
            <i className={css.training} style={{ width: share(row.training_credits) }} />
            <i className={css.chat} style={{ width: share(row.chat_credits) }} />
          </span>
          <span className="number">{credits(row.credits)}</span>
        </li>
      ))}
    </ul>
  );
}
