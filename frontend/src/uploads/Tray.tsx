// The tray at the bottom right: every upload of this page, how far it is and what can be done.

import { ActionIcon, Tooltip } from "@mantine/core";
import { ChevronDown, ChevronUp, X } from "lucide-react";
import { useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Item } from "./Item";
import type { Shown } from "./store";
import css from "./Uploads.module.css";
import { uploads } from "./uploads";

export function Tray() {
  const { t } = useTranslation();
  const all = useSyncExternalStore(uploads.subscribe, uploads.snapshot);
  const [open, setOpen] = useState(true);
  if (all.length === 0) return null;
  const over = all.every(({ state }) => state === "done" || state === "failed");
  const done = all.filter(({ state }) => state === "done").length;
  return (
    <section className={css.tray} aria-label={t("uploads.title")}>
      <header className={css.head}>
        <h2>{t("uploads.title")}</h2>
        <span className="dim">{t("uploads.summary", { count: all.length, done })}</span>
        <Tooltip label={t(open ? "uploads.fold" : "uploads.unfold")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-expanded={open}
            aria-label={t(open ? "uploads.fold" : "uploads.unfold")}
            onClick={() => setOpen(!open)}
          >
            {open ? <ChevronDown size={16} /> : <ChevronUp size={16} />}
          </ActionIcon>
        </Tooltip>
        {over && (
          <Tooltip label={t("uploads.clear")}>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={t("uploads.clear")}
              onClick={() => uploads.clear()}
            >
              <X size={16} />
            </ActionIcon>
          </Tooltip>
        )}
      </header>
      {open && (
        <ul className={css.list}>
          {all.map((upload) => (
            <Item key={upload.key} upload={upload} />
          ))}
        </ul>
      )}
      <Announcement all={all} />
    </section>
  );
}

/** For those who do not see the tray: the last upload that ended. */
function Announcement({ all }: { all: readonly Shown[] }) {
  const { t } = useTranslation();
  const ended = all.findLast(({ state }) => state === "done" || state === "failed");
  return (
    <p className="unseen" role="status">
      {ended?.state === "done" && t("uploads.said.done", { name: ended.name })}
      {ended?.state === "failed" && t("uploads.said.failed", { name: ended.name })}
    </p>
  );
}
