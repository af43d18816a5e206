// What was heard of the job on screen, for the few parts that show every step. All else is told
// only what it shows, so that ten steps a second do not render a whole page each.

import { createContext, useContext } from "react";
import type { Heard } from "../../client/feed";

export const HeardContext = createContext<Heard | null>(null);

export function useHeard(): Heard {
  const heard = useContext(HeardContext);
  if (heard === null) throw new Error("useHeard is for parts of a job page");
  return heard;
}
