// What the datasets pages ask of the service.

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ask, http, type Schemas } from "../../client/http";
import { type Finding, FindingsReader } from "./problems";

export type File = Schemas["File"];
export type Report = Schemas["Report"];
export type Encoding = Schemas["EncodingFound"];
/** Which stretches are learned is told by each token. */
export type Preview = Omit<Schemas["Preview"], "sequences"> & {
  sequences: Omit<Schemas["Sequence"], "spans">[];
};

const READING_MS = 1_000;
const FINDINGS_MAX = 50_000;

export function useFiles() {
  return useQuery({
    queryKey: ["files", "list"],
    queryFn: ({ signal }) => ask(http.GET("/v1/files", { signal })),
    refetchInterval: ({ state }) =>
      state.data?.data.some(({ status }) => status === "uploaded") ? READING_MS : false,
  });
}

export function useFile(fileId: string) {
  return useQuery({
    queryKey: ["files", fileId],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/files/{file_id}", { params: { path: { file_id: fileId } }, signal })),
    refetchInterval: ({ state }) => (state.data?.status === "uploaded" ? READING_MS : false),
  });
}

export function useReport(fileId: string, encodes: boolean) {
  return useQuery({
    queryKey: ["files", fileId, "report"],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/files/{file_id}/report", { params: { path: { file_id: fileId } }, signal }),
      ),
    refetchInterval: ({ state }) => {
      const { data } = state;
      if (data === undefined) return false;
      return data.status === "uploaded" || (encodes && isEncoding(data)) ? READING_MS : false;
    },
  });
}

/** The rows are read, and their tokens are still being counted. */
export function isEncoding({ status, encoding }: Report): boolean {
  return status === "processed" && (encoding === null || encoding.status === "pending");
}

/** Corrects how a file is read, or accepts repairs; answers like the report. */
export function useReading(fileId: string) {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: (body: Partial<Schemas["ReadingBody"]>) =>
      ask(
        http.POST("/v1/files/{file_id}/reading", {
          params: { path: { file_id: fileId } },
          body: { accept_all_repairs: false, ...body },
        }),
      ),
    onSuccess: async (report) => {
      // What was asked for before this says how the file was read then.
      await cache.cancelQueries({ queryKey: ["files", fileId] });
      cache.removeQueries({ queryKey: ["files", fileId, "preview"] });
      cache.removeQueries({ queryKey: ["files", fileId, "findings"] });
      cache.setQueryData(["files", fileId, "report"], report);
      void cache.invalidateQueries({ queryKey: ["files"] });
    },
  });
}

export function useDelete() {
  const cache = useQueryClient();
  return async (fileId: string) => {
    await ask(http.DELETE("/v1/files/{file_id}", { params: { path: { file_id: fileId } } }));
    cache.setQueryData<Schemas["FileList"]>(
      ["files", "list"],
      (list) => list && { ...list, data: list.data.filter(({ id }) => id !== fileId) },
    );
    void cache.invalidateQueries({ queryKey: ["files", "list"] });
  };
}

export function findingsUrl(fileId: string): string {
  return `/v1/files/${fileId}/findings`;
}

export function contentUrl(fileId: string): string {
  return `/v1/files/${fileId}/content`;
}

/** All findings, from the CSV, up to a number that a browser holds well. */
export function useFindings(fileId: string, read: string, wanted: boolean) {
  return useQuery({
    queryKey: ["files", fileId, "findings", read],
    enabled: wanted,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }): Promise<Finding[]> => {
      const body = await ask(
        http.GET("/v1/files/{file_id}/findings", {
          params: { path: { file_id: fileId } },
          parseAs: "stream",
          signal,
        }),
      );
      return body === null ? [] : await readFindings(body as ReadableStream<Uint8Array>);
    },
  });
}

async function readFindings(body: ReadableStream<Uint8Array>): Promise<Finding[]> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const csv = new FindingsReader();
  const found: Finding[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return found;
    for (const finding of csv.read(decoder.decode(value, { stream: true }))) {
      if (found.length >= FINDINGS_MAX) {
        await reader.cancel();
        return found;
      }
      found.push(finding);
    }
  }
}

// -- tokens ----------------------------------------------------------------------------------------

export function useModels() {
  return useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => ask(http.GET("/v1/models", { signal })),
    staleTime: 60_000,
  });
}

/** The encoding of a file for another base model than the default one: a quote makes it. */
export function useOtherEncoding(fileId: string, model: string | null) {
  return useQuery({
    queryKey: ["files", fileId, "encoding", model],
    enabled: model !== null,
    staleTime: 60_000,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      ask(
        http.POST("/v1/quotes", {
          body: {
            model: model ?? "",
            training_file: fileId,
            tuning: { skip_bad_rows: true, over_long: "drop" } as Schemas["Tuning"],
          },
          signal,
        }),
      ),
    refetchInterval: ({ state }) => (state.data?.status === "preparing" ? READING_MS : false),
  });
}

/** Without a line: the first row there is. */
export function previewQuery(fileId: string, line: number | null, encodingId: string) {
  return {
    queryKey: ["files", fileId, "preview", encodingId, line],
    staleTime: 60_000,
    queryFn: ({ signal }: { signal: AbortSignal }): Promise<Preview> =>
      ask(
        http.GET("/v1/files/{file_id}/preview", {
          params: {
            path: { file_id: fileId },
            query: { encoding_id: encodingId, ...(line === null ? {} : { line }) },
          },
          signal,
        }),
      ),
  };
}
