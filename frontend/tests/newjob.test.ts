// The new-job form: what is sent, what is refused at once, and what a copied job fills in.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Schemas } from "../src/client/http";
import { PRESETS } from "../src/pages/new-job/choices";
import {
  type Draft,
  EMPTY_DRAFT,
  fromJob,
  priced,
  read,
  settingOf,
  settled,
} from "../src/pages/new-job/draft";
import {
  type OpenApi,
  type Parameters,
  readNumber,
  readParameters,
  SETTING_NAMES,
} from "../src/pages/new-job/parameters";
import { snippets } from "../src/pages/new-job/snippets";

/** As small as a document can be that still says every kind of setting. */
const number = (rest: object) => ({ type: "number", ...rest });
const auto = (rest: object) => ({ anyOf: [rest, { type: "null" }] });
const DOCUMENT: OpenApi = {
  components: {
    schemas: {
      Scheduler: { type: "string", enum: ["cosine", "linear", "constant"] },
      Precision: { type: "string", enum: ["bf16", "fp32"] },
      MixedFile: { properties: { weight: number({ exclusiveMinimum: 0, maximum: 100 }) } },
      Submission: {
        properties: {
          seed: auto({ type: "integer", minimum: 0, exclusiveMaximum: 2 ** 31 }),
          suffix: auto({ type: "string", maxLength: 64 }),
          metadata: auto({
            type: "object",
            maxProperties: 16,
            propertyNames: { maxLength: 64 },
            additionalProperties: { type: "string", maxLength: 512 },
          }),
        },
      },
      WireHyperparameters: {
        properties: {
          n_epochs: auto({ type: "integer", minimum: 1, maximum: 100 }),
          batch_size: auto({ type: "integer", minimum: 1, maximum: 1_024 }),
          learning_rate_multiplier: auto(number({ exclusiveMinimum: 0, maximum: 100 })),
          learning_rate: auto(number({ exclusiveMinimum: 0, maximum: 1 })),
          cutoff_len: auto({ type: "integer", minimum: 16, maximum: 131_072 }),
          warmup_ratio: number({ minimum: 0, exclusiveMaximum: 1, default: 0.03 }),
          scheduler: { $ref: "#/components/schemas/Scheduler", default: "cosine" },
          weight_decay: number({ minimum: 0, maximum: 1, default: 0 }),
          max_grad_norm: number({ exclusiveMinimum: 0, maximum: 1_000, default: 1 }),
          held_out_share: number({ minimum: 0, maximum: 0.5, default: 0.1 }),
          eval_steps: { type: "integer", minimum: 0, default: 0 },
          checkpoint_steps: { type: "integer", minimum: 0, default: 0 },
        },
      },
      Tuning: {
        properties: {
          rank: { type: "integer", minimum: 1, maximum: 256, default: 16 },
          alpha: auto(number({ exclusiveMinimum: 0, maximum: 4_096 })),
          dropout: number({ minimum: 0, exclusiveMaximum: 1, default: 0 }),
          target_modules: {
            anyOf: [{ type: "array" }, { type: "string" }],
            default: "all-linear",
          },
          precision: { $ref: "#/components/schemas/Precision", default: "bf16" },
          skip_bad_rows: { type: "boolean", default: false },
          over_long: { type: "string", enum: ["refuse", "drop", "cut"], default: "refuse" },
          train_on: { type: "string", enum: ["all", "last"], default: "all" },
          thinking: auto({ type: "boolean" }),
          mix_with: { type: "array", maxItems: 16, default: [] },
          weight: number({ exclusiveMinimum: 0, maximum: 100, default: 1 }),
          mixing: { type: "string", enum: ["concatenate", "interleave"], default: "concatenate" },
        },
      },
    },
  },
};
const parameters: Parameters = readParameters(DOCUMENT);
const chosen = { file: "file-a", model: "base" };
const draft = (change: Partial<Draft>): Draft => ({ ...EMPTY_DRAFT, ...change });
const reading = (change: Partial<Draft>, autoEpochs: number | null = 3) => {
  const filled = draft(change);
  return read(chosen, filled, settled(filled, autoEpochs), parameters);
};

describe("what the OpenAPI document says", () => {
  test("ranges, defaults and what may be left open", () => {
    expect(parameters.settings.n_epochs).toMatchObject({ kind: "number", auto: true, least: 1 });
    expect(parameters.settings.warmup_ratio).toMatchObject({ default: 0.03, below: 1, most: null });
    expect(parameters.settings.scheduler).toMatchObject({ kind: "choice", default: "cosine" });
    expect(parameters.settings.target_modules.kind).toBe("names");
    expect(parameters.settings.thinking).toMatchObject({ kind: "flag", auto: true });
    expect(parameters.mixedFilesMax).toBe(16);
    expect(parameters.lengths).toEqual({
      name: 64,
      metadata: 16,
      metadataKey: 64,
      metadataValue: 512,
    });
  });

  test("a document that lacks a setting is refused", () => {
    expect(() => readParameters({ components: { schemas: {} } })).toThrow("OpenAPI document");
  });

  const python = join(import.meta.dirname, "../../.venv/bin/python");
  test.skipIf(!existsSync(python))(
    "the service's own document has every setting",
    () => {
      const text = execFileSync(python, ["-m", "api.openapi"], {
        cwd: join(import.meta.dirname, "../.."),
        encoding: "utf8",
        maxBuffer: 2 ** 24,
      });
      const found = readParameters(JSON.parse(text));
      expect(Object.keys(found.settings).sort()).toEqual([...SETTING_NAMES].sort());
      // What the presets set must be within what the service takes, for one epoch and for many.
      for (const epochs of [1, 3, 25]) {
        for (const preset of Object.values(PRESETS)) {
          const filled = draft({ values: preset(epochs) });
          expect(read(chosen, filled, filled.values, found).problems).toBeNull();
        }
      }
    },
    60_000,
  );
});

describe("numbers as they are typed", () => {
  const rate = parameters.settings.learning_rate;
  const rank = parameters.settings.rank;
  if (rate.kind !== "number" || rank.kind !== "number") throw new Error("they are numbers");

  test.each([
    ["2e-4", 0.0002],
    [" 0.5 ", 0.5],
    ["1", 1],
  ])("%s is read", (typed, value) => {
    expect(readNumber(typed, rate)).toEqual({ value });
  });

  test("grouping is ignored", () => {
    const cutoff = parameters.settings.cutoff_len;
    if (cutoff.kind !== "number") throw new Error("it is a number");
    expect(readNumber("4,096", cutoff)).toEqual({ value: 4_096 });
  });

  test.each([
    ["many", rank, { what: "notNumber" }],
    ["1.5", rank, { what: "notWhole" }],
    ["0", rank, { what: "least", bound: 1 }],
    ["257", rank, { what: "most", bound: 256 }],
    ["0", rate, { what: "above", bound: 0 }],
  ] as const)("%s is refused", (typed, field, problem) => {
    expect(readNumber(typed, field)).toEqual({ problem });
  });
});

describe("the request", () => {
  test("only what is set is sent", () => {
    expect(reading({}).body).toEqual({
      model: "base",
      training_file: "file-a",
      method: { type: "supervised", supervised: { hyperparameters: {} } },
      tuning: { method: "lora" },
    });
  });

  test("each setting goes to its place", () => {
    const { body } = reading({
      name: " shop ",
      validationFile: "file-b",
      mixed: [
        { file: "file-c", weight: "" },
        { file: "file-d", weight: "2" },
      ],
      metadata: [
        ["team", "a"],
        ["", "lost"],
      ],
      values: { n_epochs: "4", rank: "32", thinking: false, seed: "7", target_modules: ["q_proj"] },
    });
    expect(body).toEqual({
      model: "base",
      training_file: "file-a",
      validation_file: "file-b",
      suffix: "shop",
      seed: 7,
      metadata: { team: "a" },
      method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 4 } } },
      tuning: {
        method: "lora",
        rank: 32,
        thinking: false,
        target_modules: ["q_proj"],
        mix_with: [{ file: "file-c" }, { file: "file-d", weight: 2 }],
      },
    });
  });

  test("every field that cannot be sent is named", () => {
    const { body, problems } = reading({
      mixed: [{ file: "file-c", weight: "0" }],
      values: { rank: "0", n_epochs: "x" },
    });
    expect(body).toBeNull();
    expect(Object.keys(problems ?? {}).sort()).toEqual(["mixed.0", "n_epochs", "rank"]);
  });

  test("a rate and a multiplier exclude each other", () => {
    const values = { learning_rate: "1e-4", learning_rate_multiplier: "2" };
    expect(reading({ values }).problems).toEqual({
      learning_rate_multiplier: { what: "twoRates" },
    });
  });

  test("the price does not depend on the name", () => {
    const named = reading({ name: "a", metadata: [["k", "v"]] }).body;
    const plain = reading({}).body;
    expect(named && priced(named)).toEqual(plain);
  });
});

describe("presets", () => {
  test("are counted from the epochs that the service would choose", () => {
    expect(reading({ preset: "economical" }).body?.tuning.rank).toBe(8);
    expect(settled(draft({ preset: "economical" }), 1).n_epochs).toBe("1");
    expect(settled(draft({ preset: "best" }), 3).n_epochs).toBe("5");
    expect(settled(draft({ preset: "best" }), null)).toEqual({});
  });

  test("give way to what the user sets", () => {
    const own = draft({ preset: "best", values: { rank: "4", learning_rate: "1e-3" } });
    const values = settled(own, 3);
    expect(values).toMatchObject({ rank: "4", n_epochs: "5", learning_rate: "1e-3" });
    expect(values.learning_rate_multiplier).toBeUndefined();
  });
});

test("an error's param finds its field", () => {
  expect(settingOf("tuning.rank")).toBe("rank");
  expect(settingOf("method.supervised.hyperparameters.n_epochs")).toBe("n_epochs");
  expect(settingOf("training_file")).toBeNull();
  expect(settingOf(null)).toBeNull();
});

test("a job is copied with what was given, not with what was derived", () => {
  const job = {
    training_file: "file-a",
    validation_file: null,
    model: "base",
    name: "shop",
    metadata: { team: "a" },
    effective: {
      n_epochs: { value: 4, origin: "given" },
      rank: { value: 16, origin: "default" },
      learning_rate: { value: 0.0005, origin: "derived" },
      skip_bad_rows: { value: true, origin: "given" },
      target_modules: { value: "all-linear", origin: "given" },
      thinking: { value: null, origin: "given" },
    },
  } as unknown as Schemas["Job"];
  const copied = fromJob(job);
  expect(copied).toMatchObject({ file: "file-a", model: "base" });
  expect(copied.draft).toMatchObject({ name: "shop", metadata: [["team", "a"]] });
  expect(copied.draft.values).toEqual({ n_epochs: "4", skip_bad_rows: true });
});

describe("the same from code", () => {
  test("Python has Python's words, and ours in extra_body", () => {
    const { body } = reading({ values: { skip_bad_rows: true } });
    if (body === null) throw new Error("nothing is wrong with it");
    const { python, cli } = snippets(body, "shop voice.jsonl", "https://tunery.example");
    expect(python).toContain('extra_body={\n        "tuning": {');
    expect(python).toContain('"skip_bad_rows": True,');
    expect(cli).toBe("tunery train 'shop voice.jsonl' --model base --method lora --skip-bad-rows");
  });

  test("the command is left out where it cannot say it all", () => {
    const { body } = reading({ values: { dropout: "0.1" } });
    if (body === null) throw new Error("nothing is wrong with it");
    expect(snippets(body, "a.jsonl", "https://tunery.example").cli).toBeUndefined();
  });
});
