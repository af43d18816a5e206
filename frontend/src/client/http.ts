// The typed client: every path, parameter and answer comes from the OpenAPI document (schema.d.ts).

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type ErrorCode = Schemas["ErrorCode"];

/** What the API refused, in its own words. `status` 0: it could not be reached. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: ErrorCode | null,
    readonly param: string | null,
    readonly requestId: string | null,
  ) {
    super(message);
    this.name = "Refused";
  }
}

export const http = createClient<paths>({ baseUrl: window.location.origin });

/** The answer, or a thrown Refused: `await ask(http.GET("/v1/me"))`. */
export async function ask<Data>(
  sent: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const answer = await sent.catch((caught: unknown) => {
    if (caught instanceof DOMException && caught.name === "AbortError") throw caught;
    throw new Refused("", 0, null, null, null);
  });
  if (!answer.response.ok) throw refusal(answer.response, answer.error);
  return answer.data as Data;
}

/** A Refused from an answer's body (OpenAI's error shape, or nothing readable). */
export function refusal(response: Response, body: unknown): Refused {
  const error = (body as { error?: Partial<Schemas["ErrorDetail"]> } | null | undefined)?.error;
  return new Refused(
    error?.message ?? "",
    response.status,
    error?.code ?? null,
    error?.param ?? null,
    response.headers.get("x-request-id"),
  );
}

/** 128 random bits. `crypto.randomUUID` is for secure pages only; this is for all. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
