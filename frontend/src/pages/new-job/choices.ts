// What can be learned, how the base is tuned, and three ways to set it. One more objective, method
// or preset of the API is one more entry; the compiler asks for it.

import type { Schemas } from "../../client/http";
import type { Values } from "./draft";
import type { Group } from "./parameters";

export type Objective = Schemas["JobSpec"]["objective"];
export type Method = NonNullable<Schemas["Tuning"]["method"]>;

/** `wire`: the name that OpenAI's `method.type` has for it. */
export const OBJECTIVES: Record<Objective, { wire: "supervised" }> = {
  sft: { wire: "supervised" },
};

/** `groups`: the settings that a method has of its own. */
export const METHODS: Record<Method, { groups: readonly Group[] }> = {
  lora: { groups: ["adapter"] },
};

export type Preset = "economical" | "balanced" | "best";

/**
 * What each preset sets, from the number of epochs the service would choose: a number that is right
 * for a hundred rows would be wrong for a hundred thousand.
 */
export const PRESETS: Record<Preset, (autoEpochs: number) => Values> = {
  economical: (epochs) => ({
    rank: "8",
    n_epochs: String(Math.max(1, Math.floor((epochs * 2) / 3))),
  }),
  balanced: () => ({}),
  // More room and more passes, and smaller steps so that neither overshoots.
  best: (epochs) => ({
    rank: "64",
    n_epochs: String(Math.ceil((epochs * 5) / 3)),
    learning_rate_multiplier: "0.5",
  }),
};

export const PRESET_NAMES = Object.keys(PRESETS) as Preset[];
