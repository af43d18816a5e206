// The tenant's jobs, newest first: the first page is asked again while something moves.

import { useCallback, useEffect, useState } from "react";
import { api } from "../client/api";
import { isTerminal, type Job } from "../client/wire";
import { usePoll } from "./usePoll";
import { useSession } from "./useSession";

const BUSY_MS = 3_000;
const IDLE_MS = 15_000;

interface Known {
  jobs: Job[];
  hasMore: boolean;
}

export function useJobs() {
  const { unlessSignedOut, refresh: refreshMe } = useSession();
  const [known, setKnown] = useState<Known | null>(null);
  const [error, setError] = useState<Error | null>(null);

  const refresh = useCallback(async () => {
    try {
      const page = await api.jobs(null);
      setKnown((before) => {
        const older = olderThan(page.data, before?.jobs ?? []);
        const hasMore = older.length > 0 && before !== null ? before.hasMore : page.has_more;
        return { jobs: [...page.data, ...older], hasMore };
      });
      setError(null);
    } catch (caught) {
      setError(unlessSignedOut(caught));
    }
  }, [unlessSignedOut]);

  const last = known?.jobs.at(-1)?.id ?? null;
  const more = useCallback(async () => {
    try {
      const page = await api.jobs(last);
      setKnown((before) => ({
        jobs: [...(before?.jobs ?? []), ...page.data],
        hasMore: page.has_more,
      }));
    } catch (caught) {
      setError(unlessSignedOut(caught));
    }
  }, [last, unlessSignedOut]);

  const moving = known === null || known.jobs.some((job) => !isTerminal(job.status));
  usePoll(refresh, moving ? BUSY_MS : IDLE_MS);

  // A moved status moves credits.
  const statuses = known?.jobs.map((job) => job.id + job.status).join();
  useEffect(() => {
    if (statuses !== undefined) void refreshMe();
  }, [statuses, refreshMe]);

  return { jobs: known?.jobs ?? null, hasMore: known?.hasMore ?? false, error, refresh, more };
}

/** What was loaded before and lies beyond the first page. */
function olderThan(fresh: Job[], known: Job[]): Job[] {
  const ids = new Set(fresh.map((job) => job.id));
  const oldest = fresh.at(-1)?.created_at ?? 0;
  return known.filter((job) => !ids.has(job.id) && job.created_at <= oldest);
}
