// The price that follows the form: asked 300 ms after the last change, older questions dropped.

import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, type Query, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, http, type Schemas } from "../../client/http";
import { type Body, type Draft, priced, type Reading, read, settled, type Values } from "./draft";
import { type Parameters, SETTINGS, type SettingName } from "./parameters";

const DEBOUNCE_MS = 300;
const PREPARING_MS = 1_000;
/** Asked again so long before a quote runs out. */
const EARLY_MS = 15_000;

type Answer = Schemas["QuoteAnswer"];

export interface Filled {
  file: string;
  model: string;
  draft: Draft;
}

export interface Quoted {
  /** The request as it stands now, or the fields that cannot be sent. */
  reading: Reading | null;
  /** The preset's values under the user's. */
  values: Values;
  /** The last answer; of an earlier form while `fresh` is false. */
  answer: Answer | null;
  error: Error | null;
  fresh: boolean;
  /** What the service would choose by itself for these rows and this base. */
  auto: Answer | null;
  again: () => Promise<unknown>;
}

export function useQuote(filled: Filled | null, parameters: Parameters | undefined): Quoted {
  const [steady] = useDebouncedValue(filled, DEBOUNCE_MS);
  const autoBody = useMemo(
    () => (steady && parameters ? bodyOf(steady, rowsOnly(steady.draft.values), parameters) : null),
    [steady, parameters],
  );
  const auto = useAnswer(autoBody);
  const settledFor = auto.data?.status === "ready" && !auto.isPlaceholderData ? auto.data : null;
  const autoEpochs = settledFor?.quote?.n_epochs ?? null;
  // Without the service's own choice a preset other than Balanced is not known yet.
  const known = filled !== null && (filled.draft.preset === "balanced" || autoEpochs !== null);
  const body = useMemo(
    () =>
      steady && parameters && (steady.draft.preset === "balanced" || autoEpochs !== null)
        ? bodyOf(steady, settled(steady.draft, autoEpochs), parameters)
        : null,
    [steady, parameters, autoEpochs],
  );
  const own = useAnswer(body);
  const values = useMemo(
    () => (filled ? settled(filled.draft, autoEpochs) : {}),
    [filled, autoEpochs],
  );
  const reading = useMemo(
    () => (filled && parameters && known ? read(filled, filled.draft, values, parameters) : null),
    [filled, parameters, values, known],
  );
  // A preset waits for the service's own choice; where the rows stand in its way, that says why.
  const asked = known ? own : auto;
  return {
    reading,
    values,
    answer: asked.data ?? null,
    error: asked.isPlaceholderData ? null : asked.error,
    fresh:
      steady === filled &&
      reading?.problems == null &&
      !asked.isPlaceholderData &&
      !asked.isFetching,
    auto: settledFor,
    again: asked.refetch,
  };
}

function bodyOf(filled: Filled, values: Values, parameters: Parameters): Body | null {
  const { body } = read(filled, filled.draft, values, parameters);
  return body === null ? null : priced(body);
}

function rowsOnly(values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).filter(([name]) =>
      ["rows", "mixing"].includes(SETTINGS[name as SettingName].group),
    ),
  );
}

function useAnswer(body: Body | null) {
  return useQuery({
    queryKey: ["quote", body],
    queryFn: ({ signal }) => askQuote(body as Body, signal),
    enabled: body !== null,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    gcTime: 60_000,
    refetchInterval: nextLook,
  });
}

export function askQuote(body: Body, signal: AbortSignal): Promise<Answer> {
  // The generated type asks for every default; the service fills them in.
  const sent = body as Schemas["Submission"];
  return ask(http.POST("/v1/quotes", { body: sent, signal }));
}

export function nextLook(query: Query<Answer>): number | false {
  const answer = query.state.data;
  if (answer?.status === "preparing") return PREPARING_MS;
  if (answer?.status !== "ready" || answer.expires_at === null) return false;
  return Math.max(PREPARING_MS, answer.expires_at * 1_000 - Date.now() - EARLY_MS);
}
