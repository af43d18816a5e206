// What a cutoff keeps of a file and what it loses, from the histogram of its rows' lengths.

import type { Schemas } from "../../client/http";

export type Histogram = Schemas["Histogram"];
type EncodingReport = Schemas["EncodingReport"];

export interface Lengths {
  histogram: Histogram;
  longest: number;
  rows: number;
  tokens: number;
  /** Counted by the service, not estimated. */
  known: readonly Schemas["Cutoff"][];
}

/** null: there are no lengths, because no row was encoded. `cutoff` is what it was encoded with. */
export function lengthsOf(report: EncodingReport, cutoff: number): Lengths | null {
  const { tokens: histogram, longest_row: longest, cutoffs = [] } = report;
  if (!histogram || !longest) return null;
  const rows = sum(histogram.counts);
  if (rows === 0) return null;
  // Rows over the cutoff are measured, but not among those that were encoded.
  const leftOut = cutoffs.find(({ cutoff_len }) => cutoff_len === cutoff)?.tokens ?? 0;
  const tokens = (report.train_tokens ?? 0) + (report.held_out_tokens ?? 0) + leftOut;
  return { histogram, longest, rows, tokens, known: cutoffs };
}

export interface Loss {
  rows: number;
  tokens: number;
  /** False where it is estimated: lengths are known by bins only. */
  exact: boolean;
}

/** What is lost if rows longer than `cutoff` are left out. */
export function lost(lengths: Lengths, cutoff: number): Loss {
  if (cutoff >= lengths.longest) return { rows: 0, tokens: 0, exact: true };
  const counted = lengths.known.find(({ cutoff_len }) => cutoff_len === cutoff);
  if (counted !== undefined) return { rows: counted.rows, tokens: counted.tokens, exact: true };
  const { edges, counts } = lengths.histogram;
  let rows = 0;
  let over = 0;
  let all = 0;
  counts.forEach((count, bin) => {
    const from = edges[bin] ?? 0;
    // Nothing is longer than the longest, so the last bin ends there.
    const to = Math.max(from, Math.min(edges[bin + 1] ?? from, lengths.longest));
    all += (count * (from + to)) / 2;
    if (to <= cutoff) return;
    const cut = Math.max(from, cutoff);
    const share = to === from ? 1 : (to - cut) / (to - from);
    rows += count * share;
    over += (count * share * (cut + to)) / 2;
  });
  const tokens = all === 0 ? 0 : (over / all) * lengths.tokens;
  return {
    rows: Math.min(lengths.rows, Math.max(1, Math.round(rows))),
    tokens: Math.min(lengths.tokens, Math.round(tokens)),
    exact: false,
  };
}

/** The bins that say something: from the first that is filled to the last, or to `upTo`. */
export function filledBins(
  { edges, counts }: Histogram,
  upTo = 0,
  margin = 1,
): { first: number; end: number } {
  const filled = counts.flatMap((count, bin) => (count > 0 ? [bin] : []));
  const first = filled[0] ?? 0;
  let last = filled.at(-1) ?? 0;
  while (last < counts.length - 1 && (edges[last + 1] ?? 0) < upTo) last += 1;
  return {
    first: Math.max(0, first - margin),
    end: Math.min(counts.length, last + 1 + margin),
  };
}

/** Where a value stands over bins drawn equally wide, as a share of their whole width. */
export function placeOf(edges: readonly number[], value: number): number {
  const bins = edges.length - 1;
  const bin = edges.findIndex((_, at) => at < bins && value < (edges[at + 1] ?? 0));
  if (bin === -1) return 1;
  const from = edges[bin] ?? 0;
  const to = edges[bin + 1] ?? from;
  if (value <= from) return bin / bins;
  return (bin + (value - from) / (to - from)) / bins;
}

/** The value at a place: the other way round, to a whole number. */
export function valueAt(edges: readonly number[], place: number): number {
  const bins = edges.length - 1;
  const at = Math.min(Math.max(place, 0), 1) * bins;
  const bin = Math.min(Math.floor(at), bins - 1);
  const from = edges[bin] ?? 0;
  const to = edges[bin + 1] ?? from;
  return Math.round(from + (to - from) * (at - bin));
}

/** Cutoffs one chooses by hand: so many to a bin, which is a doubling. */
export const STOPS_PER_BIN = 8;

export function stopOf(edges: readonly number[], cutoff: number): number {
  return Math.round(placeOf(edges, cutoff) * STOPS_PER_BIN * (edges.length - 1));
}

export function cutoffAt(edges: readonly number[], stop: number): number {
  return Math.max(1, valueAt(edges, stop / (STOPS_PER_BIN * (edges.length - 1))));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
