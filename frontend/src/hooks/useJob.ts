// One job as a living thing: the row by REST, its events by stream.

import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { api, streamUrl } from "../client/api";
import { Feed, type Heard, type Source } from "../client/feed";
import { isTerminal, type Job } from "../client/wire";
import { usePoll } from "./usePoll";
import { useSession } from "./useSession";

const MONEY_MS = 5_000;

export function useJob(id: string): {
  job: Job | null;
  error: Error | null;
  heard: Heard;
  refresh: () => Promise<void>;
} {
  const { unlessSignedOut, refresh: refreshMe } = useSession();
  const [job, setJob] = useState<Job | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const heard = useFeed(id);

  const refresh = useCallback(async () => {
    try {
      setJob(await api.job(id));
      setError(null);
    } catch (caught) {
      setError(unlessSignedOut(caught));
    }
  }, [id, unlessSignedOut]);

  usePoll(refresh, job !== null && isTerminal(job.status) ? null : MONEY_MS);

  // A moved status moves credits; a broken link may mean that the session is over.
  const moves = heard.log.filter((record) => record.event.type === "status").length;
  const broken = heard.link === "broken";
  useEffect(() => {
    if (moves === 0 && !broken) return;
    void refresh();
    void refreshMe();
  }, [moves, broken, refresh, refreshMe]);

  return { job, error, heard, refresh };
}

function useFeed(id: string): Heard {
  const feed = useMemo(
    () =>
      new Feed(streamUrl(id), {
        open: (url) => new EventSource(url) as Source,
        now: () => Date.now(),
      }),
    [id],
  );
  useEffect(() => {
    feed.start();
    return () => feed.stop();
  }, [feed]);
  return useSyncExternalStore(feed.subscribe, feed.snapshot);
}
