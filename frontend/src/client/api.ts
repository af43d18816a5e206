// Every request of the portal, one function each. Same origin, cookie session, JSON both ways.

import { words } from "../words";
import type { AdapterLink, Job, Me, Page } from "./wire";

/** What the API refused, in its own words. `status` 0: it could not be reached. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null,
    readonly requestId: string | null,
  ) {
    super(message);
    this.name = "Refused";
  }
}

export const api = {
  me: () => get<Me>("/v1/me"),
  signIn: (email: string, password: string) =>
    post<unknown>("/v1/auth/sign-in", { email, password }),
  signUp: (email: string, password: string, tenant: string) =>
    post<unknown>("/v1/auth/sign-up", { email, password, tenant }),
  signOut: () => post<unknown>("/v1/auth/sign-out", {}),
  jobs: (after: string | null) =>
    get<Page<Job>>(
      `/v1/fine_tuning/jobs?limit=50${after === null ? "" : `&after=${encodeURIComponent(after)}`}`,
    ),
  job: (id: string) => get<Job>(jobPath(id)),
  cancel: (id: string) => post<Job>(`${jobPath(id)}/cancel`, {}),
  adapter: (id: string) => get<AdapterLink>(`${jobPath(id)}/adapter`),
};

export function streamUrl(id: string): string {
  return `${jobPath(id)}/stream`;
}

function jobPath(id: string): string {
  return `/v1/fine_tuning/jobs/${encodeURIComponent(id)}`;
}

function get<T>(path: string): Promise<T> {
  return send<T>(path, {});
}

function post<T>(path: string, body: unknown): Promise<T> {
  const headers = { "Content-Type": "application/json" };
  return send<T>(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function send<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch {
    throw new Refused(words.errors.unreachable, 0, null, null);
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw refusal(response, body);
  return body as T;
}

function refusal(response: Response, body: unknown): Refused {
  const error = (body as { error?: { message?: string; code?: string | null } } | null)?.error;
  return new Refused(
    error?.message ?? words.errors.unexpected(response.status),
    response.status,
    error?.code ?? null,
    response.headers.get("x-request-id"),
  );
}
