// Curves as they grow: plain arrays by step that grow in place, a running mean kept up point by
// point, and the choice of points that a screen can show.

/** What is measured at every optimizer step. */
export interface Point {
  step: number;
  loss: number;
  learning_rate: number;
  grad_norm: number;
  tokens_per_second: number;
}

export type Measure = "loss" | "learning_rate" | "grad_norm" | "tokens_per_second";

/** A resumed attempt steps back to its checkpoint; what it is about to repeat is dropped. */
export class Curve {
  readonly step: number[] = [];
  readonly loss: number[] = [];
  readonly learning_rate: number[] = [];
  readonly grad_norm: number[] = [];
  readonly tokens_per_second: number[] = [];
  readonly heldOut = { step: [] as number[], loss: [] as number[], accuracy: [] as number[] };
  /** How often points were taken back: whoever keeps sums over them has to start anew. */
  rewinds = 0;

  add(point: Point): void {
    const last = this.step.at(-1);
    if (last !== undefined && point.step <= last) this.rewind(point.step);
    this.step.push(point.step);
    this.loss.push(point.loss);
    this.learning_rate.push(point.learning_rate);
    this.grad_norm.push(point.grad_norm);
    this.tokens_per_second.push(point.tokens_per_second);
  }

  addHeldOut(step: number, loss: number, accuracy: number): void {
    this.rewindHeldOut(step);
    this.heldOut.step.push(step);
    this.heldOut.loss.push(loss);
    this.heldOut.accuracy.push(accuracy);
  }

  /** Takes back everything from `step` on. */
  private rewind(step: number): void {
    const length = firstAtLeast(this.step, step);
    this.step.length = length;
    this.loss.length = length;
    this.learning_rate.length = length;
    this.grad_norm.length = length;
    this.tokens_per_second.length = length;
    this.rewindHeldOut(step);
    this.rewinds += 1;
  }

  private rewindHeldOut(step: number): void {
    const length = firstAtLeast(this.heldOut.step, step);
    this.heldOut.step.length = length;
    this.heldOut.loss.length = length;
    this.heldOut.accuracy.length = length;
  }
}

/**
 * An exponential moving average without the pull of its start (divided by 1 − weightⁿ, as in Adam).
 * Only new points are computed, until points were taken back.
 */
export class RunningMean {
  private means: number[] = [];
  /** weightⁿ after n points. */
  private power = 1;
  private rewinds = 0;

  constructor(private readonly weight: number) {}

  of(values: readonly number[], rewinds = 0): readonly number[] {
    if (rewinds !== this.rewinds || values.length < this.means.length) {
      this.means = [];
      this.power = 1;
      this.rewinds = rewinds;
    }
    const { weight, means } = this;
    for (let n = means.length; n < values.length; n++) {
      const sum = (means[n - 1] ?? 0) * (1 - this.power);
      this.power *= weight;
      means.push((weight * sum + (1 - weight) * (values[n] ?? 0)) / (1 - this.power));
    }
    return means;
  }
}

/**
 * The points of a line that `columns` pixels can show between `from` and `to`: first, lowest,
 * highest and last of each column, so that no spike is lost. Few points are all kept, and one
 * beyond each edge, for the line to reach it.
 */
export function thin(
  xs: readonly number[],
  ys: readonly number[],
  from: number,
  to: number,
  columns: number,
): [number[], number[]] {
  const first = Math.max(0, firstAtLeast(xs, from) - 1);
  const end = Math.min(xs.length, firstAtLeast(xs, to) + 1);
  if (end - first <= 2 * columns) return [xs.slice(first, end), ys.slice(first, end)];
  const kept: [number[], number[]] = [[], []];
  const perUnit = columns / (to - from);
  let at = first;
  while (at < end) {
    const column = Math.floor(((xs[at] ?? 0) - from) * perUnit);
    let [low, high, last] = [at, at, at];
    for (let n = at + 1; n < end; n++) {
      if (Math.floor(((xs[n] ?? 0) - from) * perUnit) !== column) break;
      if ((ys[n] ?? 0) < (ys[low] ?? 0)) low = n;
      if ((ys[n] ?? 0) > (ys[high] ?? 0)) high = n;
      last = n;
    }
    let before = -1;
    for (const n of [at, Math.min(low, high), Math.max(low, high), last]) {
      if (n === before) continue;
      kept[0].push(xs[n] ?? 0);
      kept[1].push(ys[n] ?? 0);
      before = n;
    }
    at = last + 1;
  }
  return kept;
}

/** The index of the value nearest to `x` in a sorted list; -1 where it is empty. */
export function nearest(xs: readonly number[], x: number): number {
  const after = firstAtLeast(xs, x);
  const before = after - 1;
  if (before < 0) return xs.length === 0 ? -1 : 0;
  if (after === xs.length) return before;
  return x - (xs[before] ?? 0) <= (xs[after] ?? 0) - x ? before : after;
}

/** How many values of a sorted list are less than `x`: the index of the first that is not. */
export function firstAtLeast(sorted: readonly number[], x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < x) low = middle + 1;
    else high = middle;
  }
  return low;
}
