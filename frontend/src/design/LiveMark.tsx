// Says that a page is live and when it last heard something, or that the stream broke.

import { useTranslation } from "react-i18next";
import type { Heard } from "../client/feed";
import { useNow } from "../hooks/useNow";
import css from "./LiveMark.module.css";
import { fineDuration } from "./numbers";

export function LiveMark({ heard }: { heard: Pick<Heard, "link" | "heardAt"> }) {
  const { t } = useTranslation();
  const now = useNow(heard.link === "ended" ? null : 200);
  const ago =
    heard.heardAt === null ? null : fineDuration(Math.max(0, now - heard.heardAt) / 1_000);
  const text = {
    connecting: t("common.live.connecting"),
    live: t("common.live.live", { ago: ago ?? "" }),
    broken: ago === null ? t("common.live.brokenUnheard") : t("common.live.broken", { ago }),
    ended: t("common.live.ended"),
  }[heard.link];
  return (
    <span className={`${css.mark} ${css[heard.link]}`} data-link={heard.link}>
      <i aria-hidden="true" />
      {text}
    </span>
  );
}
