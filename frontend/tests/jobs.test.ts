// What the jobs pages work out by themselves: progress, money, samples, checkpoints, comparisons.

import { describe, expect, it } from "vitest";
import { Curve } from "../src/client/curve";
import type { Heard, LogRecord } from "../src/client/feed";
import type { Job } from "../src/hooks/useJob";
import { advance, charge, savedPoints, spoken } from "../src/pages/jobs/progress";
import { chosen, differences, RUN_LOOKS, RUNS_MAX, toggled } from "../src/pages/jobs/runs";
import { jobSnippets, listSnippets } from "../src/pages/jobs/snippets";

const QUOTE = {
  credits: 1_000_000,
  rate: 10,
  trained_tokens: 100_000,
  tokens_per_epoch: 50_000,
  n_epochs: 2,
  steps: 100,
  train_rows: 400,
  held_out_rows: 20,
  price_version: "2026-11",
};

function job(change: Partial<Job> = {}): Job {
  const hyperparameters = {
    n_epochs: 2,
    batch_size: 8,
    learning_rate_multiplier: "auto" as const,
    learning_rate: 2e-4,
    cutoff_len: 1_024,
    warmup_ratio: 0.03,
    scheduler: "cosine" as const,
    weight_decay: 0,
    max_grad_norm: 1,
    held_out_share: 0.1,
    eval_steps: 0,
    checkpoint_steps: 0,
  };
  return {
    id: "ftjob-1",
    object: "fine_tuning.job",
    created_at: 1_795_594_938,
    error: null,
    fine_tuned_model: null,
    finished_at: null,
    hyperparameters,
    model: "smollm2-135m-instruct",
    organization_id: "ten-1",
    result_files: [],
    seed: 7,
    status: "running",
    trained_tokens: null,
    training_file: "file-1",
    validation_file: null,
    estimated_finish: null,
    integrations: [],
    metadata: null,
    method: { type: "supervised", supervised: { hyperparameters } },
    name: "shop",
    step: 10,
    total_steps: 100,
    loss: 2,
    tokens_per_second: 900,
    eta_seconds: 90,
    attempt: 1,
    pause: null,
    cancel_requested: false,
    held_credits: QUOTE.credits,
    charged_credits: null,
    quote: QUOTE,
    quote_id: null,
    spec: null,
    ...change,
  };
}

function heard(change: Partial<Heard> = {}): Heard {
  return {
    link: "live",
    heardAt: null,
    lastStep: null,
    log: [],
    samples: [],
    curve: new Curve(),
    drawn: 0,
    ...change,
  };
}

function saved(step: number, evalLoss: number | null): LogRecord {
  return {
    job_id: "ftjob-1",
    seq: step,
    at: "2026-11-24T12:00:00Z",
    event: {
      type: "saved",
      step,
      trained_tokens: step * 1_000,
      folder: `checkpoints/step-${step}`,
      train_loss: 2,
      eval_loss: evalLoss,
      eval_token_accuracy: null,
    },
  };
}

const LAST_STEP = {
  type: "step" as const,
  step: 14,
  total_steps: 100,
  epoch: 0.28,
  loss: 1.9,
  learning_rate: 2e-4,
  grad_norm: 1,
  trained_tokens: 14_000,
  tokens_per_second: 950,
  eta_seconds: 80,
};

describe("progress", () => {
  it("is the stream's where the stream is further", () => {
    expect(advance(job(), heard({ lastStep: LAST_STEP }))).toEqual({
      step: 14,
      total: 100,
      etaSeconds: 80,
      speed: 950,
      trainedTokens: 14_000,
    });
  });

  it("counts to the last checkpoint until a step is heard", () => {
    const log = [saved(5, 2), saved(10, 1.5)];
    expect(advance(job(), heard({ log })).trainedTokens).toBe(10_000);
    expect(advance(job(), heard()).trainedTokens).toBeNull();
  });

  it("tells no time that is left where nothing runs", () => {
    const paused = advance(job({ status: "paused" }), heard({ lastStep: LAST_STEP }));
    expect(paused.etaSeconds).toBeNull();
    expect(paused.step).toBe(10);
  });
});

describe("the charge", () => {
  it("is the rate times the tokens, at least the minimum and at most the quote", () => {
    expect(charge(QUOTE, 0)).toBe(0);
    expect(charge(QUOTE, 1)).toBe(10_000);
    expect(charge(QUOTE, 12_345)).toBe(123_450);
    expect(charge(QUOTE, 999_999)).toBe(QUOTE.credits);
  });
});

describe("checkpoints", () => {
  it("come newest first, the later of equally good ones is the best, repeats count once", () => {
    const points = savedPoints([saved(5, 2), saved(10, 1.5), saved(15, 1.5), saved(10, 1.5)]);
    expect(points.map(({ step }) => step)).toEqual([15, 10, 5]);
    expect(points.filter(({ best }) => best).map(({ step }) => step)).toEqual([15]);
  });

  it("have no best where nothing was held out", () => {
    expect(savedPoints([saved(5, null)]).some(({ best }) => best)).toBe(false);
  });
});

describe("samples", () => {
  const sample = (seq: number, step: number, prompt: string, text: string) => ({
    job_id: "ftjob-1",
    seq,
    at: "2026-11-24T12:00:00Z",
    event: { type: "sample" as const, step, prompt, text },
  });

  it("are grouped by prompt, the base apart, the newest first, the last word counts", () => {
    const found = spoken([
      sample(1, 0, "Hello?", "base"),
      sample(2, 0, "Bye?", "base"),
      sample(3, 10, "Hello?", "a"),
      sample(4, 20, "Hello?", "b"),
      sample(5, 20, "Hello?", "c"),
    ]);
    expect(found).toEqual([
      {
        prompt: "Hello?",
        base: "base",
        said: [
          { step: 20, text: "c" },
          { step: 10, text: "a" },
        ],
      },
      { prompt: "Bye?", base: "base", said: [] },
    ]);
  });
});

describe("comparing", () => {
  it("keeps up to eight runs in the address, each once", () => {
    expect(chosen(undefined)).toEqual([]);
    expect(chosen("a,b,a,")).toEqual(["a", "b"]);
    expect(toggled("a,b", "a")).toBe("b");
    expect(toggled(undefined, "a")).toBe("a");
    expect(chosen(toggled("1,2,3,4,5,6,7,8", "9")).length).toBe(RUNS_MAX);
  });

  it("gives each run a colour and a dash of its own", () => {
    expect(RUN_LOOKS.length).toBe(RUNS_MAX);
    expect(new Set(RUN_LOOKS.map(({ colour }) => colour)).size).toBe(RUNS_MAX);
    expect(new Set(RUN_LOOKS.map(({ dash }) => dash?.join())).size).toBe(RUNS_MAX);
  });

  it("shows only settings that differ", () => {
    const other = job({
      id: "ftjob-2",
      seed: 8,
      hyperparameters: { ...job().hyperparameters, n_epochs: 4 },
    });
    expect(differences([job(), other])).toEqual([
      { name: "n_epochs", values: [2, 4] },
      { name: "seed", values: [7, 8] },
    ]);
    expect(differences([job()])).toEqual([]);
  });
});

describe("code", () => {
  it("has the reader's own ids and filters", () => {
    const code = jobSnippets({ id: "ftjob-1" }, "https://tunery.test");
    for (const text of Object.values(code)) expect(text).toContain("ftjob-1");
    const list = listSnippets({ status: "running", q: "shop" }, "https://tunery.test");
    expect(list.curl).toContain("/v1/fine_tuning/jobs?status=running&q=shop&limit=50");
    expect(list.python).toContain('extra_query={"status": "running", "q": "shop"}');
  });
});
