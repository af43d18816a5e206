// What the parts of the page share: the draft, its price, and how to change it.

import { createContext, useContext } from "react";
import type { Schemas } from "../../client/http";
import type { Me } from "../../client/session";
import type { Draft, Problems, Value } from "./draft";
import type { Parameters, SettingName } from "./parameters";
import type { Quoted } from "./useQuote";

export interface Form {
  files: Schemas["File"][];
  file: Schemas["File"] | null;
  bases: Schemas["BaseModelCard"][];
  base: Schemas["BaseModelCard"] | null;
  chooseFile: (id: string) => void;
  chooseBase: (id: string) => void;
  draft: Draft;
  /** Change some of the draft. */
  edit: (change: Partial<Draft>) => void;
  set: (name: SettingName, value: Value) => void;
  /** Back to what the preset, or the service, says. */
  reset: (...names: SettingName[]) => void;
  parameters: Parameters | undefined;
  parametersError: Error | null;
  quoted: Quoted;
  problems: Problems;
  /** What the service said of this field of the request that stands. */
  refusedField: (name: SettingName) => string | null;
}

export const FormContext = createContext<Form | null>(null);

export function useForm(): Form {
  const form = useContext(FormContext);
  if (form === null) throw new Error("useForm is for the parts of the new-job page");
  return form;
}

/** What is short of the quote; credits may have come since it was made. */
export function missingCredits(answer: Schemas["QuoteAnswer"], me: Me): number {
  const available = Math.max(answer.available_credits, me.credits.available);
  return Math.max(0, (answer.quote?.credits ?? 0) - available);
}
