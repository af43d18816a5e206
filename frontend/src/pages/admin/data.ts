// What the operator's pages ask for.

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient } from "../../client/session";

const PAGE = 1_000;

export const tenantsQuery = infiniteQueryOptions({
  queryKey: ["admin", "tenants"],
  queryFn: ({ pageParam, signal }) =>
    ask(
      http.GET("/v1/admin/tenants", {
        params: { query: { limit: PAGE, ...(pageParam !== null && { after: pageParam }) } },
        signal,
      }),
    ),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => (last.has_more ? last.last_id : null),
});

export const tenantQuery = (id: string) =>
  queryOptions({
    queryKey: ["admin", "tenant", id],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/admin/tenants/{tenant_id}", { params: { path: { tenant_id: id } }, signal }),
      ),
  });

export const campaignsQuery = queryOptions({
  queryKey: ["admin", "campaigns"],
  queryFn: ({ signal }) => ask(http.GET("/v1/admin/campaigns", { signal })),
});

export const campaignQuery = (id: string) =>
  queryOptions({
    queryKey: ["admin", "campaign", id],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/admin/campaigns/{campaign_id}", {
          params: { path: { campaign_id: id } },
          signal,
        }),
      ),
  });

export const codesQuery = (id: string) =>
  queryOptions({
    queryKey: ["admin", "campaign", id, "codes"],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/admin/campaigns/{campaign_id}/codes", {
          params: { path: { campaign_id: id } },
          signal,
        }),
      ),
  });

export async function refreshAdmin(): Promise<void> {
  await queryClient.invalidateQueries({ queryKey: ["admin"] });
}

export type TenantDetail = Schemas["TenantDetail"];
export type CampaignRow = Schemas["Campaign"];
