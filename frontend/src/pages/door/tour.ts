// The tour's three acts: the example's rows as a dataset, their price, and the job.

import { queryOptions } from "@tanstack/react-query";
import exampleUrl from "../../../../examples/shop-en.jsonl?url";
import { ask, http, Refused, refusal, type Schemas } from "../../client/http";

type File = Schemas["File"];

export const EXAMPLE_NAME = "shop-en.jsonl";
const LOOK_MS = 1_000;

export interface Example {
  blob: Blob;
  rows: number;
}

export const exampleQuery = queryOptions({
  queryKey: ["example"],
  queryFn: async ({ signal }): Promise<Example> => {
    const answer = await fetch(exampleUrl, { signal }).catch((caught: unknown) => {
      if (signal.aborted) throw caught;
      throw new Refused("", 0, null, null, null);
    });
    if (!answer.ok) throw refusal(answer, null);
    const text = await answer.text();
    return {
      blob: new Blob([text], { type: "application/jsonl" }),
      rows: text.split("\n").filter((line) => line.trim() !== "").length,
    };
  },
  staleTime: Number.POSITIVE_INFINITY,
});

/** The example among the datasets, from an earlier visit: by name and size, whoever added it. */
export function exampleAmong(files: readonly File[], example: Example): File | null {
  return (
    files.find(
      (file) =>
        file.filename === EXAMPLE_NAME &&
        file.bytes === example.blob.size &&
        file.purpose === "fine-tune" &&
        file.status !== "error",
    ) ?? null
  );
}

export function addExample({ blob }: Example): Promise<File> {
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", blob, EXAMPLE_NAME);
  return ask(
    http.POST("/v1/files", {
      body: { purpose: "fine-tune", file: EXAMPLE_NAME },
      bodySerializer: () => form,
    }),
  );
}

/** What taught a 135M model eleven of its twelve facts; see examples/README.md. */
export function tourJob(file: File, base: Schemas["BaseModelCard"]): Schemas["Submission"] {
  return {
    model: base.id,
    training_file: file.id,
    suffix: "shop-en",
    seed: 7,
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 4 } } },
  };
}

/** The smallest base: the tour is to be over soon, and to cost little. */
export function tourBase(
  models: readonly (Schemas["BaseModelCard"] | Schemas["TunedModel"])[],
): Schemas["BaseModelCard"] | null {
  return models
    .filter((model) => model.owned_by === "tunery")
    .reduce<Schemas["BaseModelCard"] | null>(
      (small, model) => (small === null || model.parameters < small.parameters ? model : small),
      null,
    );
}

/** The quote, once the rows are tokens. */
export async function quoteWhenReady(
  body: Schemas["Submission"],
  signal: AbortSignal,
): Promise<Schemas["QuoteAnswer"]> {
  for (;;) {
    const answer = await ask(http.POST("/v1/quotes", { body, signal }));
    if (answer.status !== "preparing") return answer;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    signal.throwIfAborted();
  }
}

export function startTour(
  body: Schemas["Submission"],
  quoteId: string,
  key: string,
): Promise<Schemas["Job"]> {
  return ask(
    http.POST("/v1/fine_tuning/jobs", {
      params: { header: { "idempotency-key": key } },
      body: { ...body, quote_id: quoteId },
    }),
  );
}
