// What a job's row and its stream say together; the one that is further is right.

import type { Heard } from "../../client/feed";
import type { Job } from "../../hooks/useJob";

export interface Advance {
  step: number;
  total: number;
  etaSeconds: number | null;
  speed: number | null;
  trainedTokens: number | null;
}

export function advance(job: Job, heard: Heard): Advance {
  const { lastStep, log } = heard;
  const running = job.status === "running";
  // Until the next step tells, what the last checkpoint was saved with.
  const saved = log.findLast(({ event }) => event.type === "saved")?.event;
  const atSave = saved?.type === "saved" ? saved.trained_tokens : undefined;
  return {
    step: Math.max(job.step, running ? (lastStep?.step ?? 0) : 0),
    total: job.total_steps,
    etaSeconds: running ? (lastStep?.eta_seconds ?? job.eta_seconds) : null,
    speed: lastStep?.tokens_per_second ?? job.tokens_per_second,
    trainedTokens: job.trained_tokens ?? lastStep?.trained_tokens ?? atSave ?? null,
  };
}

const MINIMUM_CHARGE = 10_000;

/** As api/pricing.py's `charge`: what so many tokens cost under the job's quote. */
export function charge(quote: NonNullable<Job["quote"]>, trainedTokens: number): number {
  if (trainedTokens <= 0) return 0;
  return Math.min(quote.credits, Math.max(MINIMUM_CHARGE, quote.rate * trainedTokens));
}

export interface SavedPoint {
  step: number;
  at: string;
  trainedTokens: number;
  trainLoss: number | null;
  heldOutLoss: number | null;
  best: boolean;
}

/** The checkpoints that were saved, newest first; the best has the lowest held-out loss. */
export function savedPoints(log: Heard["log"]): SavedPoint[] {
  const byStep = new Map<number, SavedPoint>();
  for (const { at, event } of log) {
    if (event.type !== "saved") continue;
    byStep.set(event.step, {
      step: event.step,
      at,
      trainedTokens: event.trained_tokens,
      trainLoss: event.train_loss ?? null,
      heldOutLoss: event.eval_loss ?? null,
      best: false,
    });
  }
  const points = [...byStep.values()].sort((a, b) => b.step - a.step);
  let best: SavedPoint | null = null;
  for (const point of points) {
    if (point.heldOutLoss === null) continue;
    // Of equals the later: it has learned more.
    if (best === null || point.heldOutLoss < (best.heldOutLoss ?? 0)) best = point;
  }
  if (best !== null) best.best = true;
  return points;
}

export interface Spoken {
  prompt: string;
  base: string | null;
  /** The newest first. */
  said: { step: number; text: string }[];
}

/** Samples by prompt: what the base said, and what was said at each step since. */
export function spoken(samples: Heard["samples"]): Spoken[] {
  const prompts = new Map<string, Map<number, string>>();
  for (const { event } of samples) {
    const texts = prompts.get(event.prompt) ?? new Map<number, string>();
    // An attempt that went back says it again; the last word counts.
    texts.set(event.step, event.text);
    prompts.set(event.prompt, texts);
  }
  return [...prompts].map(([prompt, texts]) => ({
    prompt,
    base: texts.get(0) ?? null,
    said: [...texts]
      .filter(([step]) => step > 0)
      .sort(([a], [b]) => b - a)
      .map(([step, text]) => ({ step, text })),
  }));
}
