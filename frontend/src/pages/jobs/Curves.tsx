// What a run measures, as it grows: loss, learning rate, gradient norm, speed; one at a time.

import { Button, SegmentedControl, Slider, Switch } from "@mantine/core";
import { memo, useCallback, useId, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { type Curve, firstAtLeast, type Measure, nearest, RunningMean } from "../../client/curve";
import type { Heard } from "../../client/feed";
import { LiveMark } from "../../design/LiveMark";
import { loss, NONE, significant, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import css from "./Curves.module.css";
import { Lines, type Look, type View } from "./Lines";

const HEIGHT_PX = 300;
const MEASURES: readonly Measure[] = ["loss", "learning_rate", "grad_norm", "tokens_per_second"];
const NOISY: readonly Look[] = [
  { colour: "--curve-thin", width: 1 },
  { colour: "--accent", width: 2.25 },
];
const PLAIN: readonly Look[] = [{ colour: "--accent", width: 2 }];

export function Curves({ heard, loaded }: { heard: Heard; loaded: boolean }) {
  const { t } = useTranslation();
  const [measure, setMeasure] = useState<Measure>("loss");
  const [log, setLog] = useState(false);
  const [asked, setWeight] = useState<number | null>(null);
  const [view, setView] = useState<View>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const { curve } = heard;
  const weight = asked ?? fittingWeight(curve.step.length);
  const smooth = measure !== "learning_rate" && weight > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another measure is another mean
  const mean = useMemo(() => new RunningMean(weight), [weight, measure, curve]);
  const lines = useCallback(() => {
    const raw = { xs: curve.step, ys: curve[measure] };
    return smooth ? [raw, { xs: curve.step, ys: mean.of(raw.ys, curve.rewinds) }] : [raw];
  }, [curve, measure, mean, smooth]);
  const dots = useCallback(() => ({ xs: curve.heldOut.step, ys: curve.heldOut.loss }), [curve]);
  const empty = curve.step.length === 0 && curve.heldOut.step.length === 0;
  return (
    <Panel title={t("job.curves.title")} actions={<Choice measure={measure} choose={setMeasure} />}>
      {!empty && (
        <Legend
          curve={curve}
          measure={measure}
          mean={smooth ? mean.of(curve[measure], curve.rewinds) : null}
          cursor={cursor}
        />
      )}
      {empty ? (
        <div className={css.waiting} style={{ height: HEIGHT_PX }}>
          {loaded && t(heard.link === "ended" ? "job.curves.never" : "job.curves.waiting")}
        </div>
      ) : (
        <Lines
          label={t("job.curves.summary", {
            measure: t(`job.curves.${measure}`),
            first: text(measure, curve[measure][0]),
            last: text(measure, curve[measure].at(-1)),
            step: whole(curve.step.at(-1) ?? 0),
          })}
          height={HEIGHT_PX}
          looks={smooth ? NOISY : PLAIN}
          log={log}
          lines={lines}
          dots={measure === "loss" ? dots : null}
          drawn={`${heard.drawn} ${measure} ${weight}`}
          view={view}
          onView={setView}
          onCursor={setCursor}
        />
      )}
      <div className={css.foot}>
        <LiveMark heard={heard} />
        <Controls
          zoomed={view !== null}
          setView={setView}
          log={log}
          setLog={setLog}
          weight={weight}
          setWeight={setWeight}
        />
      </div>
    </Panel>
  );
}

interface ChoiceProps {
  measure: Measure;
  choose: (measure: Measure) => void;
}

const Choice = memo(function Choice({ measure, choose }: ChoiceProps) {
  const { t } = useTranslation();
  return (
    <SegmentedControl
      size="xs"
      aria-label={t("job.curves.measure")}
      value={measure}
      onChange={(value) => choose(value as Measure)}
      data={MEASURES.map((value) => ({ value, label: t(`job.curves.${value}`) }))}
    />
  );
});

interface ControlsProps {
  zoomed: boolean;
  setView: (view: View) => void;
  log: boolean;
  setLog: (log: boolean) => void;
  weight: number;
  setWeight: (weight: number) => void;
}

/** How a chart is seen. Kept from rendering while only points arrive. */
export const Controls = memo(function Controls(props: ControlsProps) {
  const { t } = useTranslation();
  const { zoomed, setView, log, setLog, weight, setWeight } = props;
  return (
    <div className={css.controls}>
      {zoomed && (
        <Button variant="default" size="compact-xs" onClick={() => setView(null)}>
          {t("job.curves.reset")}
        </Button>
      )}
      <Switch
        size="xs"
        label={t("job.curves.log")}
        checked={log}
        onChange={(event) => setLog(event.currentTarget.checked)}
      />
      <Smoothing value={weight} onChange={setWeight} />
    </div>
  );
});

/** The longer a run, the more of it goes into a mean that is to be read. */
export function fittingWeight(points: number): number {
  if (points < 500) return 0.9;
  return points < 10_000 ? 0.97 : 0.995;
}

/** From none to a mean over a thousand steps; each third of the way is ten times as many. */
function Smoothing({ value, onChange }: { value: number; onChange: (to: number) => void }) {
  const { t } = useTranslation();
  const label = useId();
  return (
    <div className={css.smoothing}>
      <span id={label}>{t("job.curves.smoothing")}</span>
      <Slider
        size="xs"
        w={96}
        min={0}
        max={3}
        step={0.05}
        scale={(place) => 1 - 10 ** -place}
        label={(weight) => weight.toFixed(3)}
        thumbProps={{ "aria-labelledby": label }}
        value={-Math.log10(1 - value)}
        onChange={(place) => onChange(1 - 10 ** -place)}
      />
    </div>
  );
}

interface LegendProps {
  curve: Curve;
  measure: Measure;
  mean: readonly number[] | null;
  cursor: number | null;
}

/** The values under the pointer, else the last ones. */
function Legend({ curve, measure, mean, cursor }: LegendProps) {
  const { t } = useTranslation();
  const at = cursor === null ? curve.step.length - 1 : nearest(curve.step, cursor);
  const step = curve.step[at];
  const { heldOut } = curve;
  const measured = (step === undefined ? 0 : firstAtLeast(heldOut.step, step + 1)) - 1;
  const items: [string, string, string | undefined][] = [
    [t("job.curves.step"), whole(step), undefined],
    [
      t(mean === null ? `job.curves.${measure}` : "job.curves.raw"),
      text(measure, curve[measure][at]),
      mean === null ? css.bold : css.thin,
    ],
  ];
  if (mean !== null) items.push([t("job.curves.smoothed"), text(measure, mean[at]), css.bold]);
  if (measure === "loss" && heldOut.step.length > 0) {
    const value = heldOut.loss[Math.max(0, measured)];
    items.push([t("job.curves.heldOut"), loss(value), css.ring]);
  }
  return (
    <dl className={css.legend}>
      {items.map(([term, value, mark]) => (
        <div key={term}>
          <dt className={mark}>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function text(measure: Measure, value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return NONE;
  if (measure === "loss") return loss(value);
  return measure === "tokens_per_second" ? whole(value) : significant(value);
}
