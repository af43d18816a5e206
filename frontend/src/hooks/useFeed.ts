// A job as it is heard: its history in two answers, then its stream, whatever else the page does.

import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { type EventRecord, Feed, type Heard, type History, type Source } from "../client/feed";
import { ask, http } from "../client/http";

export function useFeed(id: string): { heard: Heard; loaded: boolean } {
  const [loaded, setLoaded] = useState(false);
  const feed = useMemo(
    () =>
      new Feed({
        open: (after) =>
          new EventSource(
            `/v1/fine_tuning/jobs/${encodeURIComponent(id)}/stream?after=${after}`,
          ) as Source,
        now: () => Date.now(),
      }),
    [id],
  );
  useEffect(() => {
    const leaving = new AbortController();
    const begin = async () => {
      try {
        feed.fill(await history(id, leaving.signal));
      } catch {
        // Then the stream brings everything from the first event; the page says what else fails.
      }
      if (leaving.signal.aborted) return;
      setLoaded(true);
      feed.start();
    };
    void begin();
    return () => {
      leaving.abort();
      feed.stop();
    };
  }, [feed, id]);
  return { heard: useSyncExternalStore(feed.subscribe, feed.snapshot), loaded };
}

/** More points than a screen has columns, so that there is something to zoom into. */
const POINTS = 4_000;

async function history(id: string, signal: AbortSignal): Promise<History> {
  const params = { path: { job_id: id }, query: { points: POINTS } };
  const [metrics, log] = await Promise.all([
    ask(http.GET("/v1/fine_tuning/jobs/{job_id}/metrics", { params, signal })),
    wholeLog(id, signal),
  ]);
  return { metrics, log };
}

async function wholeLog(id: string, signal: AbortSignal): Promise<History["log"]> {
  const log: { last_seq: number; data: EventRecord[] } = { last_seq: 0, data: [] };
  for (;;) {
    const params = { path: { job_id: id }, query: { after: log.last_seq } };
    const page = await ask(http.GET("/v1/fine_tuning/jobs/{job_id}/log", { params, signal }));
    log.data.push(...page.data);
    log.last_seq = page.last_seq;
    if (!page.has_more) return log;
  }
}
