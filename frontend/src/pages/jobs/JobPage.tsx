// One job as a living page. Closing it changes nothing: all of it is kept by the service.

import { Link, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Heard } from "../../client/feed";
import { Refused } from "../../client/http";
import { ButtonLink } from "../../design/links";
import { Empty, Refusal } from "../../design/Notes";
import { Page } from "../../design/Page";
import { Panel } from "../../design/Panel";
import { StatusMark } from "../../design/Status";
import { useFeed } from "../../hooks/useFeed";
import { type Job, useJob } from "../../hooks/useJob";
import { Acts } from "./Acts";
import { Checkpoints } from "./Checkpoints";
import { Curves } from "./Curves";
import { Events } from "./Events";
import { HeardContext } from "./heard";
import { JobFacts } from "./JobFacts";
import css from "./JobPage.module.css";
import { Samples } from "./Samples";
import { Standing } from "./Standing";
import { Verdict } from "./Verdict";

export function JobPage() {
  const { jobId } = useParams({ from: "/inside/jobs/$jobId" });
  // Another job is another feed, zoom and all.
  return <Living key={jobId} id={jobId} />;
}

function Living({ id }: { id: string }) {
  const { t } = useTranslation();
  const { heard, loaded } = useFeed(id);
  const { data: job, error, refetch } = useJob(id, heard);
  if (job === undefined) {
    return (
      <Page title={id} wide crumb={<Link to="/jobs">{t("job.back")}</Link>}>
        {error === null ? <Skeleton /> : <Missing error={error} retry={() => void refetch()} />}
      </Page>
    );
  }
  return (
    <Page
      title={job.name ?? t("job.unnamed")}
      wide
      crumb={
        <>
          <Link to="/jobs" className={css.back}>
            {t("job.back")}
          </Link>
          <code className={css.id}>{job.id}</code>
        </>
      }
      aside={<StatusMark status={job.status} />}
      actions={<Acts job={job} log={heard.log} />}
    >
      {error !== null && <Refusal error={error} retry={() => void refetch()} />}
      <HeardContext value={heard}>
        <Loaded job={job} heard={heard} loaded={loaded} />
      </HeardContext>
    </Page>
  );
}

function Loaded({ job, heard, loaded }: { job: Job; heard: Heard; loaded: boolean }) {
  return (
    <>
      <Standing job={job} />
      <Verdict job={job} heard={heard} />
      <div className={css.columns}>
        <div className={css.main}>
          <Curves heard={heard} loaded={loaded} />
          <Samples samples={heard.samples} />
          <Checkpoints status={job.status} log={heard.log} />
          <Events log={heard.log} />
        </div>
        <div className={css.side}>
          <JobFacts job={job} />
        </div>
      </div>
    </>
  );
}

function Missing({ error, retry }: { error: Error; retry: () => void }) {
  const { t } = useTranslation();
  if (!(error instanceof Refused) || error.status !== 404) {
    return <Refusal error={error} retry={retry} />;
  }
  return (
    <Panel>
      <Empty title={t("job.goneTitle")} text={t("job.gone")}>
        <ButtonLink to="/jobs">{t("common.lost.next")}</ButtonLink>
      </Empty>
    </Panel>
  );
}

function Skeleton() {
  const { t } = useTranslation();
  return (
    <div className={css.columns} aria-busy="true" aria-label={t("job.loading")} role="status">
      <div className={css.main}>
        <div className={css.skeleton} style={{ height: 440 }} />
        <div className={css.skeleton} style={{ height: 160 }} />
      </div>
      <div className={css.side}>
        <div className={css.skeleton} style={{ height: 320 }} />
        <div className={css.skeleton} style={{ height: 240 }} />
      </div>
    </div>
  );
}
