// Asks again every `everyMs` while the page is seen, never twice at once; null asks once.

import { useEffect } from "react";

export function usePoll(ask: () => Promise<void>, everyMs: number | null): void {
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = async () => {
      clearTimeout(timer);
      if (document.visibilityState === "visible") await ask();
      if (!stopped && everyMs !== null) timer = setTimeout(turn, everyMs);
    };
    const seen = () => {
      if (document.visibilityState === "visible" && everyMs !== null) void turn();
    };
    void turn();
    document.addEventListener("visibilitychange", seen);
    return () => {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [ask, everyMs]);
}
