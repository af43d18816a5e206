// Starting the job: by the quote that is on screen, and once, however often it is sent.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { ask, http, newKey, Refused, type Schemas } from "../../client/http";
import { refreshMe } from "../../client/session";
import type { Body } from "./draft";

interface Sent {
  form: string;
  body: Schemas["Submission"];
  key: string;
}

/** The quote ran out, or is not for this request: a new one is needed. */
export function isStale(error: Error | null): boolean {
  return (
    error instanceof Refused && (error.code === "quote_expired" || error.code === "quote_mismatch")
  );
}

export function useStart(requote: () => Promise<unknown>) {
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const sent = useRef<Sent | null>(null);
  return useMutation({
    mutationFn: ({ body, quoteId }: { body: Body; quoteId: string }) => {
      const form = JSON.stringify(body);
      // What may have arrived is sent again unchanged, so that it cannot become two jobs.
      if (sent.current?.form !== form) {
        const whole = { ...body, quote_id: quoteId } as Schemas["Submission"];
        sent.current = { form, body: whole, key: newKey() };
      }
      const { body: whole, key } = sent.current;
      return ask(
        http.POST("/v1/fine_tuning/jobs", {
          params: { header: { "idempotency-key": key } },
          body: whole,
        }),
      );
    },
    onSuccess: async (job) => {
      refreshMe();
      await queryClient.invalidateQueries({ queryKey: ["jobs"] });
      await navigate({ to: "/jobs/$jobId", params: { jobId: job.id } });
    },
    onError: async (error) => {
      // Refused for certain: nothing was made, and the next try is a new one.
      if (error instanceof Refused && error.status >= 400 && error.status < 500)
        sent.current = null;
      if (isStale(error)) await requote();
    },
  });
}
