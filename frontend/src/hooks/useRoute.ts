// Where we are, from the hash: `#/jobs` or `#/jobs/ftjob-…`.

import { useSyncExternalStore } from "react";

export type Route = { page: "jobs" } | { page: "job"; id: string } | { page: "unknown" };

export function useRoute(): Route {
  return routeOf(useSyncExternalStore(subscribe, () => window.location.hash));
}

export function jobHref(id: string): string {
  return `#/jobs/${encodeURIComponent(id)}`;
}

export const JOBS_HREF = "#/jobs";

export function routeOf(hash: string): Route {
  const [room = "", id, ...rest] = hash.replace(/^#?\/?/, "").split("/");
  if (rest.length > 0) return { page: "unknown" };
  if (room === "" || (room === "jobs" && !id)) return { page: "jobs" };
  if (room === "jobs" && id) return { page: "job", id: decoded(id) };
  return { page: "unknown" };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}
