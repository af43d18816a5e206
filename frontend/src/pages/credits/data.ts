// What the credits pages ask for. The types are those of the answers.

import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { ask, http, type Schemas } from "../../client/http";

export const balanceQuery = queryOptions({
  queryKey: ["credits", "balance"],
  queryFn: ({ signal }) => ask(http.GET("/v1/credits", { signal })),
});

export const limitsQuery = queryOptions({
  queryKey: ["credits", "limits"],
  queryFn: ({ signal }) => ask(http.GET("/v1/limits", { signal })),
});

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: ({ signal }) => ask(http.GET("/v1/api_keys", { signal })),
});

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: ({ signal }) => ask(http.GET("/v1/models", { signal })),
});

export type UsageBy = Schemas["By"];

export const usageQuery = (by: UsageBy, since: string | null) =>
  queryOptions({
    queryKey: ["credits", "usage", by, since],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/usage", { params: { query: { by, ...(since && { since }) } }, signal })),
    placeholderData: keepPreviousData,
  });

/** Jobs by id, for the names that people gave them. */
export function useJobNames(): (id: string) => string | null {
  const { data } = useQuery({
    queryKey: ["jobs", "names"],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/fine_tuning/jobs", { params: { query: { limit: 1_000 } }, signal })),
    staleTime: 30_000,
  });
  return (id) => data?.data.find((job) => job.id === id)?.name ?? null;
}

export type Balance = Awaited<ReturnType<Extract<typeof balanceQuery.queryFn, CallableFunction>>>;
export type Grant = Balance["grants"][number];
