// Every setting of the API: where it is sent, and its range and default as the service's own
// OpenAPI document says them. The compiler refuses this table when the API gains a setting.

import { queryOptions } from "@tanstack/react-query";
import { Refused, refusal, type Schemas } from "../../client/http";

type Hyperparameter = keyof Schemas["WireHyperparameters"];
/** The method is a choice of its own, and what is mixed in is a list of files. */
type TuningSetting = Exclude<keyof Schemas["Tuning"], "method" | "mix_with">;
export type SettingName = Hyperparameter | TuningSetting | "seed";
export type Place = "hyperparameters" | "tuning" | "request";
export type Group = "rows" | "mixing" | "learning" | "adapter" | "measuring";

export const SETTINGS: Record<SettingName, { place: Place; group: Group }> = {
  cutoff_len: { place: "hyperparameters", group: "rows" },
  over_long: { place: "tuning", group: "rows" },
  held_out_share: { place: "hyperparameters", group: "rows" },
  train_on: { place: "tuning", group: "rows" },
  thinking: { place: "tuning", group: "rows" },
  skip_bad_rows: { place: "tuning", group: "rows" },
  mixing: { place: "tuning", group: "mixing" },
  weight: { place: "tuning", group: "mixing" },
  n_epochs: { place: "hyperparameters", group: "learning" },
  batch_size: { place: "hyperparameters", group: "learning" },
  learning_rate: { place: "hyperparameters", group: "learning" },
  learning_rate_multiplier: { place: "hyperparameters", group: "learning" },
  scheduler: { place: "hyperparameters", group: "learning" },
  warmup_ratio: { place: "hyperparameters", group: "learning" },
  weight_decay: { place: "hyperparameters", group: "learning" },
  max_grad_norm: { place: "hyperparameters", group: "learning" },
  rank: { place: "tuning", group: "adapter" },
  alpha: { place: "tuning", group: "adapter" },
  dropout: { place: "tuning", group: "adapter" },
  target_modules: { place: "tuning", group: "adapter" },
  precision: { place: "tuning", group: "adapter" },
  eval_steps: { place: "hyperparameters", group: "measuring" },
  checkpoint_steps: { place: "hyperparameters", group: "measuring" },
  seed: { place: "request", group: "measuring" },
};

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

export function settingsOf(...groups: Group[]): SettingName[] {
  return SETTING_NAMES.filter((name) => groups.includes(SETTINGS[name].group));
}

export type Choice =
  | Schemas["Scheduler"]
  | Schemas["Precision"]
  | NonNullable<Schemas["Tuning"]["over_long" | "train_on" | "mixing"]>;

/** What a setting takes. `auto`: it may be left to the service, which then chooses. */
export type Field = { auto: boolean; default: unknown } & (
  | {
      kind: "number";
      whole: boolean;
      least: number | null;
      above: number | null;
      most: number | null;
      below: number | null;
    }
  | { kind: "choice"; choices: Choice[] }
  | { kind: "flag" }
  | { kind: "names" }
);

export interface Parameters {
  settings: Record<SettingName, Field>;
  mixWeight: Field;
  mixedFilesMax: number;
  /** How long names may be, and how many notes there may be; null: no limit is said. */
  lengths: Record<"name" | "metadata" | "metadataKey" | "metadataValue", number | null>;
}

interface JsonSchema {
  $ref?: string;
  anyOf?: JsonSchema[];
  type?: string;
  enum?: unknown[];
  default?: unknown;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  maxItems?: number;
  maxLength?: number;
  maxProperties?: number;
  propertyNames?: JsonSchema;
  additionalProperties?: boolean | JsonSchema;
  properties?: Record<string, JsonSchema>;
}

export interface OpenApi {
  components: { schemas: Record<string, JsonSchema> };
}

/** What the document says of every setting. Throws where it lacks one. */
export function readParameters(document: OpenApi): Parameters {
  const components = document.components.schemas;
  const of = (schema: string, name: string): JsonSchema => {
    const found = components[schema]?.properties?.[name];
    if (found === undefined) throw new Error(`The OpenAPI document has no ${schema}.${name}.`);
    return found;
  };
  const schemas: Record<Place, string> = {
    hyperparameters: "WireHyperparameters",
    tuning: "Tuning",
    request: "Submission",
  };
  const settings = Object.fromEntries(
    SETTING_NAMES.map((name) => [
      name,
      readField(of(schemas[SETTINGS[name].place], name), components),
    ]),
  ) as Record<SettingName, Field>;
  const metadata = given(of("Submission", "metadata"), components);
  const values = metadata.additionalProperties;
  return {
    settings,
    mixWeight: readField(of("MixedFile", "weight"), components),
    mixedFilesMax: of("Tuning", "mix_with").maxItems ?? Number.POSITIVE_INFINITY,
    lengths: {
      name: given(of("Submission", "suffix"), components).maxLength ?? null,
      metadata: metadata.maxProperties ?? null,
      metadataKey: metadata.propertyNames?.maxLength ?? null,
      metadataValue: (typeof values === "object" && values.maxLength) || null,
    },
  };
}

function readField(schema: JsonSchema, components: Record<string, JsonSchema>): Field {
  const ways = (schema.anyOf ?? [schema]).map((way) => resolve(way, components));
  const base = {
    auto: ways.some((way) => way.type === "null"),
    default: schema.default ?? null,
  };
  const way = given(schema, components);
  if (way.type === "array") return { ...base, kind: "names" };
  if (way.type === "boolean") return { ...base, kind: "flag" };
  if (way.enum !== undefined) return { ...base, kind: "choice", choices: way.enum as Choice[] };
  return {
    ...base,
    kind: "number",
    whole: way.type === "integer",
    least: way.minimum ?? null,
    above: way.exclusiveMinimum ?? null,
    most: way.maximum ?? null,
    below: way.exclusiveMaximum ?? null,
  };
}

/** What a setting takes where it is given at all. */
function given(schema: JsonSchema, components: Record<string, JsonSchema>): JsonSchema {
  const ways = (schema.anyOf ?? [schema]).map((way) => resolve(way, components));
  return ways.find((one) => one.type !== "null") ?? {};
}

function resolve(schema: JsonSchema, components: Record<string, JsonSchema>): JsonSchema {
  if (schema.$ref === undefined) return schema;
  return components[schema.$ref.split("/").at(-1) ?? ""] ?? {};
}

export const parametersQuery = queryOptions({
  queryKey: ["parameters"],
  queryFn: async ({ signal }): Promise<Parameters> => {
    const answer = await fetch("/openapi.json", { signal }).catch((caught: unknown) => {
      if (signal.aborted) throw caught;
      throw new Refused("", 0, null, null, null);
    });
    if (!answer.ok) throw refusal(answer, null);
    return readParameters((await answer.json()) as OpenApi);
  },
  staleTime: Number.POSITIVE_INFINITY,
  gcTime: Number.POSITIVE_INFINITY,
});

export type Problem =
  | { what: "notNumber" | "notWhole" | "twoRates" }
  | { what: "least" | "above" | "most" | "below"; bound: number };

/** A number as it was typed ("1,024", "2e-4"), or what is wrong with it. */
export function readNumber(
  typed: string,
  field: Field & { kind: "number" },
): { value: number } | { problem: Problem } {
  const plain = typed.replace(/[\s,_，]/g, "");
  const value = Number(plain);
  if (plain === "" || !Number.isFinite(value)) return { problem: { what: "notNumber" } };
  if (field.whole && !Number.isInteger(value)) return { problem: { what: "notWhole" } };
  const { least, above, most, below } = field;
  if (least !== null && value < least) return { problem: { what: "least", bound: least } };
  if (above !== null && value <= above) return { problem: { what: "above", bound: above } };
  if (most !== null && value > most) return { problem: { what: "most", bound: most } };
  if (below !== null && value >= below) return { problem: { what: "below", bound: below } };
  return { value };
}
