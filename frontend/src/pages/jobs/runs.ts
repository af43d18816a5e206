// Runs side by side: which are chosen, how each is drawn, and in what they differ.

import type { Job } from "../../hooks/useJob";
import type { Look } from "./Lines";

export const RUNS_MAX = 8;

/** `?compare=a,b`, each once, no more than fit. */
export function chosen(compare: string | undefined): string[] {
  return [...new Set((compare ?? "").split(",").filter((id) => id !== ""))].slice(0, RUNS_MAX);
}

/** The address with `id` in or out of it. */
export function toggled(compare: string | undefined, id: string): string {
  const now = chosen(compare);
  const next = now.includes(id) ? now.filter((other) => other !== id) : [...now, id];
  return next.slice(0, RUNS_MAX).join(",");
}

/** A colour and a dash each, so that none is told by its colour alone. */
export const RUN_LOOKS: readonly Look[] = [
  { colour: "--run-1", width: 2 },
  { colour: "--run-2", width: 2, dash: [8, 4] },
  { colour: "--run-3", width: 2, dash: [2, 3] },
  { colour: "--run-4", width: 2, dash: [12, 4, 2, 4] },
  { colour: "--run-5", width: 2, dash: [5, 2] },
  { colour: "--run-6", width: 2, dash: [14, 6] },
  { colour: "--run-7", width: 2, dash: [6, 3, 2, 3, 2, 3] },
  { colour: "--run-8", width: 2, dash: [1, 4] },
];

export interface Difference {
  name: string;
  /** One a run, in their order. */
  values: unknown[];
}

/** The settings that are not the same in all the runs; with one run, none. */
export function differences(jobs: readonly Job[]): Difference[] {
  const settings = jobs.map((job): Record<string, unknown> => {
    const { model, training_file } = job;
    return { model, training_file, ...settingsOf(job) };
  });
  const names = new Set(settings.flatMap((one) => Object.keys(one)));
  return [...names]
    .map((name) => ({ name, values: settings.map((one) => one[name]) }))
    .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1);
}

/** All that a run was made with; null is what was left to the service and not chosen yet. */
export function settingsOf(job: Job): Record<string, unknown> {
  const { hyperparameters, spec } = job;
  const { type: _, ...method } = spec?.method ?? {};
  return {
    ...hyperparameters,
    ...method,
    ...(spec === null ? {} : { precision: spec.precision }),
    seed: job.seed,
  };
}
