// One job's row, asked again while it moves and whenever its stream says that its status did.

import { queryOptions, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Heard } from "../client/feed";
import { ask, http, type Schemas } from "../client/http";
import { queryClient, refreshMe } from "../client/session";
import { isTerminal } from "../design/Status";

export type Job = Schemas["Job"];

const MOVING_MS = 5_000;

export function jobQuery(id: string) {
  return queryOptions({
    queryKey: ["jobs", "one", id],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/fine_tuning/jobs/{job_id}", { params: { path: { job_id: id } }, signal })),
    refetchInterval: ({ state }) =>
      state.data !== undefined && isTerminal(state.data.status) ? false : MOVING_MS,
  });
}

export function useJob(id: string, heard: Heard) {
  // A moved status moves credits and models; a broken link may mean that the session is over.
  const moves = heard.log.filter(({ event }) => event.type !== "eval").length;
  const broken = heard.link === "broken";
  useEffect(() => {
    if (moves > 0 || broken) void queryClient.invalidateQueries({ queryKey: ["jobs", "one", id] });
    if (moves > 0) refreshMe();
  }, [moves, broken, id]);
  return useQuery(jobQuery(id));
}

/** After an act: what it answered is the job now, and the lists ask again. */
export function putJob(job: Job): void {
  queryClient.setQueryData(jobQuery(job.id).queryKey, job);
  void queryClient.invalidateQueries({ queryKey: ["jobs", "list"] });
  refreshMe();
}
