// What happened to a job, newest first. Steps are the curve's; everything else is a line here.

import type { LogRecord } from "../client/feed";
import { words } from "../words";
import { clock, loss, percent } from "./numbers";
import { statusLabel } from "./status";

export function EventLog({ log }: { log: readonly LogRecord[] }) {
  return (
    <section className="card" aria-label={words.job.events}>
      <header>
        <h2>{words.job.events}</h2>
      </header>
      {log.length === 0 ? (
        <p className="waiting">{words.job.noEvents}</p>
      ) : (
        <ol className="log">
          {log.toReversed().map((record) => (
            <li key={record.seq}>
              <time dateTime={record.at}>{clock(record.at)}</time>
              <Line event={record.event} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Line({ event }: { event: LogRecord["event"] }) {
  switch (event.type) {
    case "status":
      return <span>{words.events.status(statusLabel(event.status), event.message)}</span>;
    case "eval":
      return (
        <span>
          {words.events.eval(loss(event.loss), percent(event.token_accuracy), event.rows)}
        </span>
      );
    case "saved":
      return <span>{words.events.saved(event.step)}</span>;
    case "notice":
      return (
        <span>
          {event.level === "warn" && <b className="tone-warn">{words.events.warning} </b>}
          {event.level === "error" && <b className="tone-bad">{words.events.error} </b>}
          {event.message}
        </span>
      );
  }
}
