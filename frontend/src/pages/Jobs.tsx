// The list of jobs; the empty list teaches the one next step.

import type { Job } from "../client/wire";
import { useJobs } from "../hooks/useJobs";
import { useNow } from "../hooks/useNow";
import { jobHref } from "../hooks/useRoute";
import { Command } from "../parts/Command";
import { ago, exactCredits, jobCredits, loss, moment } from "../parts/numbers";
import { Progress } from "../parts/Progress";
import { Refusal } from "../parts/Refusal";
import { StatusMark } from "../parts/status";
import { words } from "../words";

export function Jobs() {
  const { jobs, hasMore, error, refresh, more } = useJobs();
  return (
    <main className="page">
      <h1>{words.jobs.title}</h1>
      {error !== null && <Refusal error={error} retry={() => void refresh()} />}
      {jobs?.length === 0 ? <Empty /> : <JobTable jobs={jobs} />}
      {hasMore && (
        <button type="button" className="plain" onClick={() => void more()}>
          {words.jobs.more}
        </button>
      )}
    </main>
  );
}

function Empty() {
  return (
    <section className="card empty">
      <h2>{words.jobs.emptyTitle}</h2>
      <p>{words.jobs.emptyText}</p>
      <Command text={words.jobs.emptyCommand} />
    </section>
  );
}

function JobTable({ jobs }: { jobs: Job[] | null }) {
  const now = useNow(15_000) / 1_000;
  return (
    <div className="card table-card">
      <table>
        <thead>
          <tr>
            <th>{words.jobs.job}</th>
            <th>{words.jobs.status}</th>
            <th className="wide">{words.jobs.progress}</th>
            <th className="number wide">{words.jobs.loss}</th>
            <th className="number wide">{words.jobs.created}</th>
            <th className="number">{words.jobs.credits}</th>
          </tr>
        </thead>
        <tbody aria-busy={jobs === null}>
          {jobs === null
            ? ["a", "b", "c", "d"].map((key) => <SkeletonRow key={key} />)
            : jobs.map((job) => <JobRow key={job.id} job={job} now={now} />)}
        </tbody>
      </table>
    </div>
  );
}

function JobRow({ job, now }: { job: Job; now: number }) {
  const step = job.step ?? 0;
  const total = job.total_steps ?? 0;
  const name = job.name || words.job.untitled;
  return (
    <tr>
      <td>
        <a className="row-link" href={jobHref(job.id)}>
          {name}
        </a>
        <small>{job.model}</small>
      </td>
      <td>
        <StatusMark status={job.status} />
      </td>
      <td className="wide">
        {total > 0 ? (
          <div className="progress-cell">
            <Progress step={step} total={total} label={name} still={job.status !== "running"} />
            <small>{words.jobs.steps(step, total)}</small>
          </div>
        ) : (
          words.none
        )}
      </td>
      <td className="number wide">{loss(job.loss)}</td>
      <td className="number wide" title={moment(job.created_at)}>
        {ago(job.created_at, now)}
      </td>
      <Money job={job} />
    </tr>
  );
}

/** What was charged; while nothing is, what is held. */
function Money({ job }: { job: Job }) {
  const held = job.charged_credits === 0 && job.held_credits > 0;
  const micro = held ? job.held_credits : job.charged_credits;
  return (
    <td className="number" title={exactCredits(micro)}>
      {jobCredits(micro)}
      {held && <small>{words.jobs.held}</small>}
    </td>
  );
}

function SkeletonRow() {
  return (
    <tr className="skeleton">
      <td>
        <i />
        <i />
      </td>
      <td>
        <i />
      </td>
      <td className="wide">
        <i />
      </td>
      <td className="wide">
        <i />
      </td>
      <td className="wide">
        <i />
      </td>
      <td>
        <i />
      </td>
    </tr>
  );
}
