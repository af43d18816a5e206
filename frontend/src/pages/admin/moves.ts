// The operator's acts on a tenant's credits.

import { ask, http, type Schemas } from "../../client/http";

export type Move =
  | ({ act: "grant" } & Schemas["NewGrant"])
  | ({ act: "refund" } & Schemas["NewRefund"])
  | ({ act: "correction" } & Schemas["NewCorrection"]);
export type MoveKind = Move["act"];

export function send(tenantId: string, move: Move, key: string): Promise<Schemas["MovedCredits"]> {
  const params = { path: { tenant_id: tenantId }, header: { "idempotency-key": key } };
  switch (move.act) {
    case "grant": {
      const { act: _, ...body } = move;
      return ask(http.POST("/v1/admin/tenants/{tenant_id}/grants", { params, body }));
    }
    case "refund": {
      const { act: _, ...body } = move;
      return ask(http.POST("/v1/admin/tenants/{tenant_id}/refunds", { params, body }));
    }
    case "correction": {
      const { act: _, ...body } = move;
      return ask(http.POST("/v1/admin/tenants/{tenant_id}/corrections", { params, body }));
    }
  }
}
