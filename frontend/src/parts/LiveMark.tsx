// Says that the stream is live and when it was last heard; when it broke, says so.

import type { Heard } from "../client/feed";
import { useNow } from "../hooks/useNow";
import { words } from "../words";
import { fineDuration } from "./numbers";

export function LiveMark({ heard }: { heard: Heard }) {
  const now = useNow(heard.link === "ended" ? null : 200);
  return (
    <span className={`live link-${heard.link}`}>
      <i aria-hidden="true" />
      {sentence(heard, now)}
    </span>
  );
}

function sentence({ link, heardAt }: Heard, now: number): string {
  const ago = heardAt === null ? null : fineDuration((now - heardAt) / 1_000);
  switch (link) {
    case "connecting":
      return words.live.connecting;
    case "live":
      return words.live.live(ago ?? fineDuration(0));
    case "broken":
      return ago === null ? words.live.brokenUnheard : words.live.broken(ago);
    case "ended":
      return words.live.ended;
  }
}
