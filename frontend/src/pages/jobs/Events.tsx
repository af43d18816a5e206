// What happened to a job, newest first. Steps are the curve's; everything else is a line here.

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { LogRecord } from "../../client/feed";
import { clock, loss, percent, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import css from "./Events.module.css";

const LINE_PX = 28;

export const Events = memo(function Events({ log }: { log: readonly LogRecord[] }) {
  const { t } = useTranslation();
  const box = useRef<HTMLElement>(null);
  const newest = useMemo(() => log.toReversed(), [log]);
  const rows = useVirtualizer({
    count: newest.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_PX,
    getItemKey: (index) => newest[index]?.seq ?? index,
    overscan: 10,
  });
  return (
    <Panel title={t("job.events.title")} flush>
      {newest.length === 0 && <p className={css.none}>{t("job.events.none")}</p>}
      <section
        ref={box}
        className={css.box}
        aria-label={t("job.events.title")}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
      >
        <ol style={{ height: rows.getTotalSize() }} className={css.list}>
          {rows.getVirtualItems().map((item) => {
            const record = newest[item.index];
            return (
              record !== undefined && (
                <li
                  key={item.key}
                  data-index={item.index}
                  ref={rows.measureElement}
                  className={css.line}
                  style={{ transform: `translateY(${item.start}px)` }}
                  aria-setsize={newest.length}
                  aria-posinset={item.index + 1}
                >
                  <time dateTime={record.at}>{clock(record.at)}</time>
                  <span className={css.kind}>{t(`codes.events.${record.event.type}`)}</span>
                  <Line event={record.event} />
                </li>
              )
            );
          })}
        </ol>
      </section>
    </Panel>
  );
});

function Line({ event }: { event: LogRecord["event"] }) {
  const { t, i18n } = useTranslation();
  const english = i18n.language === "en";
  switch (event.type) {
    case "status":
      return (
        <span title={event.message}>
          <b>{t(`codes.status.${event.status}`)}</b> {english && event.message}
        </span>
      );
    case "eval":
      return (
        <span>
          {t("job.events.eval", {
            loss: loss(event.loss),
            accuracy: percent(event.token_accuracy),
            rows: whole(event.rows),
            step: whole(event.step),
          })}
        </span>
      );
    case "saved":
      return <span>{t("job.events.saved", { step: whole(event.step) })}</span>;
    case "notice":
      return (
        <span title={event.message}>
          {event.level !== "info" && (
            <b className={event.level === "warn" ? "tone-warn" : "tone-bad"}>
              {t(`job.events.${event.level}`)}{" "}
            </b>
          )}
          {english ? event.message : t(`codes.notices.${event.code}`)}
        </span>
      );
  }
}
