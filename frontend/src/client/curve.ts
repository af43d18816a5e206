// The loss curve as it grows: training loss by step, its running mean, held-out loss by step.
// A resumed attempt steps back to its checkpoint; what it is about to repeat is dropped.

const SMOOTHING = 0.8;

export interface Curve {
  readonly steps: number[];
  readonly losses: (number | null)[];
  readonly smoothed: (number | null)[];
  readonly heldOut: (number | null)[];
}

export function emptyCurve(): Curve {
  return { steps: [], losses: [], smoothed: [], heldOut: [] };
}

export function addLoss(curve: Curve, step: number, loss: number): void {
  const at = place(curve, step);
  if (curve.losses[at] !== null) truncate(curve, at);
  const here = place(curve, step);
  // A step that arrives before points already drawn means that the run went back.
  truncate(curve, here + 1);
  curve.losses[here] = loss;
  curve.smoothed[here] = runningMean(curve, here, loss);
}

export function addHeldOut(curve: Curve, step: number, loss: number): void {
  curve.heldOut[place(curve, step)] = loss;
}

/** The last value of a series, or null before there is one. */
export function latest(series: readonly (number | null)[]): number | null {
  for (let i = series.length - 1; i >= 0; i--) {
    const value = series[i];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

function runningMean(curve: Curve, at: number, loss: number): number {
  const before = latest(curve.smoothed.slice(Math.max(0, at - 8), at));
  if (before === null) return loss;
  // A young curve follows its points more closely, so the mean is not held by the first one.
  const weight = Math.min(SMOOTHING, at / (at + 3));
  return weight * before + (1 - weight) * loss;
}

/** The index of `step`, made where it is missing; steps stay in order. */
function place(curve: Curve, step: number): number {
  let at = curve.steps.length;
  while (at > 0 && (curve.steps[at - 1] ?? 0) >= step) at--;
  if (curve.steps[at] === step) return at;
  curve.steps.splice(at, 0, step);
  curve.losses.splice(at, 0, null);
  curve.smoothed.splice(at, 0, null);
  curve.heldOut.splice(at, 0, null);
  return at;
}

function truncate(curve: Curve, length: number): void {
  for (const series of [curve.steps, curve.losses, curve.smoothed, curve.heldOut]) {
    series.length = Math.min(series.length, length);
  }
}
