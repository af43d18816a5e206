// Repairs of a dataset, from the page that prices it.

import { useQueryClient } from "@tanstack/react-query";
import type { Schemas } from "../../client/http";
import { useReading } from "../datasets/data";

/** Accepts repairs or takes them back; what was priced before is asked for again. */
export function useRepair(fileId: string) {
  const cache = useQueryClient();
  const reading = useReading(fileId);
  return {
    isPending: reading.isPending,
    error: reading.error,
    mutate: (body: Partial<Schemas["ReadingBody"]>) =>
      reading.mutate(body, {
        onSuccess: () => void cache.invalidateQueries({ queryKey: ["quote"] }),
      }),
  };
}
