// One job as a living page: curve, progress, money, events; cancel while it runs, take the adapter
// home when it is done.

import { useEffect, useRef, useState } from "react";
import { api } from "../client/api";
import type { Heard } from "../client/feed";
import { type AdapterLink, isTerminal, type Job } from "../client/wire";
import { useJob } from "../hooks/useJob";
import { JOBS_HREF } from "../hooks/useRoute";
import { useSession } from "../hooks/useSession";
import { EventLog } from "../parts/EventLog";
import { LiveMark } from "../parts/LiveMark";
import { LossChart } from "../parts/LossChart";
import { bytes, duration, exactCredits, jobCredits, moment, whole } from "../parts/numbers";
import { Progress } from "../parts/Progress";
import { Refusal } from "../parts/Refusal";
import { Samples } from "../parts/Samples";
import { StatusMark } from "../parts/status";
import { words } from "../words";

export function JobPage({ id }: { id: string }) {
  const { job, error, heard, refresh } = useJob(id);
  return (
    <main className="page">
      <nav className="crumb">
        <a href={JOBS_HREF}>{words.job.back}</a> / <code>{id}</code>
      </nav>
      {error !== null && <Refusal error={error} retry={() => void refresh()} />}
      {job === null ? (
        error === null && <div className="card skeleton tall" aria-hidden="true" />
      ) : (
        <Loaded job={job} heard={heard} refresh={refresh} />
      )}
    </main>
  );
}

interface LoadedProps {
  job: Job;
  heard: Heard;
  refresh: () => Promise<void>;
}

function Loaded({ job, heard, refresh }: LoadedProps) {
  const ended = isTerminal(job.status);
  return (
    <>
      <Title job={job} heard={heard} refresh={refresh} />
      {job.error !== null && (
        <div className="refusal" role="alert">
          <p>
            <b>{words.job.failed}</b> {job.error.message}
          </p>
          <code>{job.error.code}</code>
        </div>
      )}
      <div className="columns">
        <div>
          <LossChart heard={heard} ended={ended} />
          <p className="under-chart">
            <LiveMark heard={heard} />
          </p>
          <Samples samples={heard.samples} />
          <EventLog log={heard.log} />
        </div>
        <Details job={job} heard={heard} />
      </div>
    </>
  );
}

function Title({ job, heard, refresh }: LoadedProps) {
  const step = heard.lastStep?.step ?? job.step ?? 0;
  const total = heard.lastStep?.total_steps ?? job.total_steps ?? 0;
  const name = job.name || words.job.untitled;
  return (
    <header className="title">
      <div className="title-row">
        <h1>{name}</h1>
        <StatusMark status={job.status} />
        {total > 0 && <span>{words.job.step(whole(step), whole(total))}</span>}
        <Remaining job={job} heard={heard} />
        <span className="actions">
          {job.fine_tuned_model !== null && <Download id={job.id} />}
          {!isTerminal(job.status) && <Cancel id={job.id} name={name} done={refresh} />}
        </span>
      </div>
      <Progress step={step} total={total} label={name} still={job.status !== "running"} />
    </header>
  );
}

function Remaining({ job, heard }: { job: Job; heard: Heard }) {
  if (job.finished_at !== null) {
    return <span>{words.job.took(duration(job.finished_at - job.created_at))}</span>;
  }
  const seconds = heard.lastStep?.eta_seconds ?? job.eta_seconds;
  if (job.status !== "running" || seconds === null) return null;
  return <span>{words.job.left(duration(seconds))}</span>;
}

function Details({ job, heard }: { job: Job; heard: Heard }) {
  const speed = heard.lastStep?.tokens_per_second ?? job.tokens_per_second;
  const trained = heard.lastStep?.trained_tokens ?? job.trained_tokens;
  const knob = (name: string) => job.hyperparameters[name] ?? null;
  const rows: [string, string | number | null, string?][] = [
    [words.job.model, job.model, "code"],
    [words.job.tuned, job.fine_tuned_model, "code"],
    [words.job.file, job.training_file, "code"],
    [words.job.speed, speed === null ? null : words.job.tokensPerSecond(whole(speed))],
    [words.job.trained, trained === null ? null : words.job.tokens(whole(trained))],
    [words.job.epochs, knob("n_epochs")],
    [words.job.batch, knob("batch_size")],
    [words.job.seed, job.seed],
    [words.job.attempt, job.attempt],
    [words.job.created, moment(job.created_at)],
    [words.job.finished, job.finished_at === null ? null : moment(job.finished_at)],
  ];
  return (
    <aside className="card details" aria-label={words.job.details}>
      <dl className="money">
        <div title={exactCredits(job.held_credits)}>
          <dt>{words.job.held}</dt>
          <dd>{jobCredits(job.held_credits)}</dd>
        </div>
        <div title={exactCredits(job.charged_credits)}>
          <dt>{words.job.charged}</dt>
          <dd>{jobCredits(job.charged_credits)}</dd>
        </div>
      </dl>
      <dl>
        {rows.map(
          ([term, value, look]) =>
            value !== null && (
              <div key={term}>
                <dt>{term}</dt>
                <dd className={look}>{value}</dd>
              </div>
            ),
        )}
      </dl>
    </aside>
  );
}

function Cancel({ id, name, done }: { id: string; name: string; done: () => Promise<void> }) {
  const { unlessSignedOut } = useSession();
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);

  const cancel = async () => {
    setBusy(true);
    try {
      await api.cancel(id);
      dialog.current?.close();
      await done();
    } catch (caught) {
      setError(unlessSignedOut(caught));
    } finally {
      setBusy(false);
    }
  };

  return (
    <>
      <button type="button" onClick={() => dialog.current?.showModal()}>
        {words.job.cancel}
      </button>
      <dialog ref={dialog} className="card" aria-label={words.job.cancelTitle(name)}>
        <h2>{words.job.cancelTitle(name)}</h2>
        <p>{words.job.cancelText}</p>
        {error !== null && <Refusal error={error} />}
        <div className="dialog-row">
          <button type="button" onClick={() => dialog.current?.close()}>
            {words.job.cancelKeep}
          </button>
          <button type="button" className="danger" disabled={busy} onClick={() => void cancel()}>
            {words.job.cancel}
          </button>
        </div>
      </dialog>
    </>
  );
}

/** The link is signed for a few minutes only, so it is asked for again on each click. */
function Download({ id }: { id: string }) {
  const { unlessSignedOut } = useSession();
  const [link, setLink] = useState<AdapterLink | null>(null);
  const [error, setError] = useState<Error | null>(null);

  useEffect(() => {
    api.adapter(id).then(setLink, (caught) => setError(unlessSignedOut(caught)));
  }, [id, unlessSignedOut]);

  const download = async () => {
    try {
      const fresh = await api.adapter(id);
      setError(null);
      window.location.assign(new URL(fresh.url, window.location.href));
    } catch (caught) {
      setError(unlessSignedOut(caught));
    }
  };

  return (
    <>
      {error !== null && <span className="tone-bad">{error.message}</span>}
      <button type="button" className="primary" onClick={() => void download()}>
        {words.job.download}
        {link !== null && <small>{bytes(link.bytes)}</small>}
      </button>
    </>
  );
}
