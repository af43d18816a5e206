// The wire of uploads: `/v1/uploads` as the typed client knows it, and parts over XMLHttpRequest,
// which alone tells how much of a part has left.

import { http, Refused, refusal, type Schemas } from "../client/http";
import { Held, retryAfterMs } from "./patience";
import type { Transport } from "./transfer";

/** A connection that moves nothing for so long is taken for lost. */
const STALLED_MS = 45_000;

export const transport: Transport = {
  create: ({ name, size, type }, signal) =>
    tell(
      http.POST("/v1/uploads", {
        body: { filename: name, bytes: size, purpose: "fine-tune", mime_type: type },
        signal,
      }),
    ),
  received: (uploadId, signal) =>
    tell(
      http.GET("/v1/uploads/{upload_id}", { params: { path: { upload_id: uploadId } }, signal }),
    ),
  complete: (uploadId, partIds, signal) =>
    tell(
      http.POST("/v1/uploads/{upload_id}/complete", {
        params: { path: { upload_id: uploadId } },
        body: { part_ids: partIds },
        signal,
      }),
    ),
  cancel: async (uploadId) => {
    await tell(
      http.POST("/v1/uploads/{upload_id}/cancel", { params: { path: { upload_id: uploadId } } }),
    );
  },
  send: (uploadId, { number, blob, sha256 }, onSent, signal) => {
    const form = new FormData();
    form.set("number", String(number));
    if (sha256 !== null) form.set("sha256", sha256);
    form.set("data", blob, "part");
    return post(`/v1/uploads/${encodeURIComponent(uploadId)}/parts`, form, onSent, signal);
  },
};

async function tell<Data>(
  sent: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const answer = await sent.catch((caught: unknown) => {
    if (caught instanceof DOMException && caught.name === "AbortError") throw caught;
    throw unreachable();
  });
  if (!answer.response.ok) throw held(answer.response, answer.error);
  return answer.data as Data;
}

function post(
  path: string,
  form: FormData,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Schemas["UploadPart"]> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    let watch: ReturnType<typeof setTimeout> | undefined;
    const stir = () => {
      clearTimeout(watch);
      watch = setTimeout(abort, STALLED_MS);
    };
    request.upload.onprogress = ({ loaded }) => {
      stir();
      onSent(loaded);
    };
    request.onload = () => {
      const body: unknown = readable(request.responseText);
      if (request.status === 200) {
        resolve(body as Schemas["UploadPart"]);
        return;
      }
      const headers = new Headers();
      for (const name of ["x-request-id", "retry-after"]) {
        const value = request.getResponseHeader(name);
        if (value !== null) headers.set(name, value);
      }
      reject(held(new Response(null, { status: request.status, headers }), body));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () =>
      reject(signal.aborted ? new DOMException("", "AbortError") : unreachable());
    request.onloadend = () => {
      clearTimeout(watch);
      signal.removeEventListener("abort", abort);
    };
    if (signal.aborted) {
      reject(new DOMException("", "AbortError"));
      return;
    }
    signal.addEventListener("abort", abort);
    request.open("POST", path);
    stir();
    request.send(form);
  });
}

function held(response: Response, body: unknown): Held {
  const wait = retryAfterMs(response.headers.get("retry-after"), Date.now());
  return new Held(refusal(response, body), wait);
}

function unreachable(): Refused {
  return new Refused("", 0, null, null, null);
}

function readable(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
