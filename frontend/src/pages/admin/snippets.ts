// The operator's pages as code.

import type { Snippets } from "../../design/Copy";
import { reading } from "../credits/snippets";

const PATHS: Record<string, { path: string; cli?: string }> = {
  tenants: { path: "/v1/admin/tenants?limit=100", cli: "tunery tenant list" },
  campaigns: { path: "/v1/admin/campaigns", cli: "tunery voucher list" },
  queue: { path: "/v1/admin/queue" },
  catalog: { path: "/v1/admin/catalog" },
  ledger: { path: "/v1/admin/ledger/check", cli: "tunery ledger check" },
};

export function adminSnippets(tab: string, origin: string): Snippets {
  const found = PATHS[tab] ?? { path: "/v1/admin/tenants?limit=100" };
  return {
    ...reading(`${origin}${found.path}`),
    ...(found.cli !== undefined && { cli: found.cli }),
  };
}
