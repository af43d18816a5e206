// What is filled in, and the request it comes to.

import type { Schemas } from "../../client/http";
import { type Method, OBJECTIVES, type Objective, PRESETS, type Preset } from "./choices";
import {
  type Parameters,
  type Problem,
  readNumber,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
} from "./parameters";

/** Numbers as they were typed; flags; lists of names. What is absent is left to the service. */
export type Value = string | boolean | readonly string[];
export type Values = { readonly [Name in SettingName]?: Value };

export interface Mixed {
  file: string;
  /** As typed; empty is the default. */
  weight: string;
}

/** A job as it is filled in; its file and base are in the address. */
export interface Draft {
  objective: Objective;
  method: Method;
  preset: Preset;
  name: string;
  validationFile: string | null;
  mixed: readonly Mixed[];
  metadata: readonly (readonly [string, string])[];
  values: Values;
}

export const EMPTY_DRAFT: Draft = {
  objective: "sft",
  method: "lora",
  preset: "balanced",
  name: "",
  validationFile: null,
  mixed: [],
  metadata: [],
  values: {},
};

/** Only what is set: the service fills in the rest, and says what it came to. */
export interface Body {
  model: string;
  training_file: string;
  validation_file?: string;
  suffix?: string;
  seed?: number;
  metadata?: Record<string, string>;
  method: { type: string; [wire: string]: unknown };
  tuning: Record<string, unknown>;
}

export type Problems = { [Name in SettingName]?: Problem } & {
  [mixed: `mixed.${number}`]: Problem;
};

export type Reading = { body: Body; problems: null } | { body: null; problems: Problems };

/** The preset's values under those of the user. */
export function settled(draft: Draft, autoEpochs: number | null): Values {
  const preset = autoEpochs === null ? {} : PRESETS[draft.preset](autoEpochs);
  const values = { ...preset, ...draft.values };
  // A learning rate of one's own is not multiplied by the preset.
  if (draft.values.learning_rate !== undefined) {
    const { learning_rate_multiplier: _, ...rest } = values;
    return draft.values.learning_rate_multiplier === undefined ? rest : values;
  }
  return values;
}

/** The request, or every field that cannot be sent. */
export function read(
  chosen: { file: string; model: string },
  draft: Draft,
  values: Values,
  parameters: Parameters,
): Reading {
  const problems: Problems = {};
  const places: Record<"hyperparameters" | "tuning" | "request", Record<string, unknown>> = {
    hyperparameters: {},
    tuning: { method: draft.method },
    request: {},
  };
  for (const name of SETTING_NAMES) {
    const value = values[name];
    if (value === undefined || value === "") continue;
    const field = parameters.settings[name];
    if (field.kind === "number") {
      const found = readNumber(String(value), field);
      if ("problem" in found) problems[name] = found.problem;
      else places[SETTINGS[name].place][name] = found.value;
    } else if (field.kind !== "names" || (Array.isArray(value) && value.length > 0)) {
      places[SETTINGS[name].place][name] = value;
    }
  }
  if (values.learning_rate && values.learning_rate_multiplier) {
    problems.learning_rate_multiplier ??= { what: "twoRates" };
  }
  const mixed = draft.mixed.map(({ file, weight }, n) => {
    if (weight === "" || parameters.mixWeight.kind !== "number") return { file };
    const found = readNumber(weight, parameters.mixWeight);
    if ("value" in found) return { file, weight: found.value };
    problems[`mixed.${n}`] = found.problem;
    return { file };
  });
  if (Object.keys(problems).length > 0) return { body: null, problems };
  if (mixed.length > 0) places.tuning.mix_with = mixed;
  const wire = OBJECTIVES[draft.objective].wire;
  const metadata = draft.metadata.filter(([key]) => key.trim() !== "");
  const body: Body = {
    model: chosen.model,
    training_file: chosen.file,
    ...(draft.validationFile !== null && { validation_file: draft.validationFile }),
    ...(draft.name.trim() !== "" && { suffix: draft.name.trim() }),
    ...places.request,
    ...(metadata.length > 0 && { metadata: Object.fromEntries(metadata) }),
    method: { type: wire, [wire]: { hyperparameters: places.hyperparameters } },
    tuning: places.tuning,
  };
  return { body, problems: null };
}

/** What the price depends on: all but the names a job is given. */
export function priced({ suffix: _, metadata: __, ...body }: Body): Body {
  return body;
}

/** A request to fill in again from a job that was started before. */
export function fromJob(job: Schemas["Job"]): { file: string; model: string; draft: Draft } {
  const values: Partial<Record<SettingName, Value>> = {};
  for (const name of SETTING_NAMES) {
    const found = job.effective?.[name];
    if (found?.origin !== "given") continue;
    const value = asTyped(found.value);
    if (value !== null) values[name] = value;
  }
  // The rate that was used has the multiplier in it already.
  if (values.learning_rate !== undefined) delete values.learning_rate_multiplier;
  if (job.effective === null) Object.assign(values, asked(job.hyperparameters));
  return {
    file: job.training_file,
    model: job.model,
    draft: {
      ...EMPTY_DRAFT,
      name: job.name ?? "",
      validationFile: job.validation_file,
      metadata: Object.entries(job.metadata ?? {}),
      values,
    },
  };
}

/** A job that was never priced still tells the three that OpenAI's object has. */
function asked(hyperparameters: Schemas["JobHyperparameters"]): Values {
  const names = ["n_epochs", "batch_size", "learning_rate_multiplier"] as const;
  return Object.fromEntries(
    names
      .filter((name) => hyperparameters[name] !== "auto")
      .map((name) => [name, String(hyperparameters[name])]),
  );
}

function asTyped(value: unknown): Value | null {
  if (typeof value === "number") return String(value);
  if (typeof value === "boolean") return value;
  if (Array.isArray(value)) return value.map(String);
  return typeof value === "string" && value !== "all-linear" ? value : null;
}

/** Which setting an error's `param` names: `tuning.rank`, `hyperparameters.cutoff_len`, … */
export function settingOf(param: string | null): SettingName | null {
  const parts = param?.split(".") ?? [];
  return SETTING_NAMES.find((name) => parts.includes(name)) ?? null;
}
