// Who is signed in, and the cache of everything that was asked.

import { QueryCache, QueryClient, queryOptions, useQuery } from "@tanstack/react-query";
import { ask, http, Refused, type Schemas } from "./http";

export type Me = Schemas["Me"];

/** null: nobody is signed in. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async ({ signal }): Promise<Me | null> => {
    try {
      return await ask(http.GET("/v1/me", { signal }));
    } catch (caught) {
      if (isSignedOut(caught)) return null;
      throw caught;
    }
  },
  staleTime: 10_000,
});

export const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError: endSession }),
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: (failures, error) =>
        failures < 2 && error instanceof Refused && (error.status === 0 || error.status >= 500),
    },
    mutations: { onError: endSession },
  },
});

/** The signed-in person and tenant; only for pages behind the door. */
export function useMe(): Me {
  const { data } = useQuery(meQuery);
  if (!data) throw new Error("useMe is for pages that only a signed-in person reaches");
  return data;
}

/** Credits moved: ask for the balance again. */
export function refreshMe(): void {
  void queryClient.invalidateQueries({ queryKey: ["me"] });
  void queryClient.invalidateQueries({ queryKey: ["credits"] });
}

export async function signOut(): Promise<void> {
  await ask(http.POST("/v1/auth/sign-out"));
  forgetEverything();
}

/** Look at another of one's tenants, in this browser's session. */
export async function switchTenant(tenantId: string): Promise<void> {
  const me = await ask(http.POST("/v1/auth/switch", { body: { tenant_id: tenantId } }));
  // Nothing of one tenant may show under the name of another.
  await queryClient.cancelQueries();
  queryClient.removeQueries({ predicate: (query) => query.queryKey[0] !== "me" });
  queryClient.setQueryData(meQuery.queryKey, me);
  await queryClient.refetchQueries({ type: "active" });
}

/** Nothing of one person may show to the next. */
export function forgetEverything(): void {
  queryClient.clear();
  queryClient.setQueryData(meQuery.queryKey, null);
}

function isSignedOut(error: unknown): boolean {
  return error instanceof Refused && error.status === 401;
}

/** A 401 from anywhere ends the session on screen too (the shell watches `me`). */
function endSession(error: unknown): void {
  if (isSignedOut(error)) queryClient.setQueryData(meQuery.queryKey, null);
}
