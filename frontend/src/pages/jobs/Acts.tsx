// What one can do to a job: cancel, resume, extend, start another from it, and the same as code.

import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import { CirclePlus, Copy, Play, Square } from "lucide-react";
import { memo } from "react";
import { useTranslation } from "react-i18next";
import type { Heard } from "../../client/feed";
import { ask, http } from "../../client/http";
import { queryClient } from "../../client/session";
import { Confirm } from "../../design/Confirm";
import { CodeButton } from "../../design/Copy";
import { ButtonLink } from "../../design/links";
import { Refusal } from "../../design/Notes";
import { credits, whole } from "../../design/numbers";
import { isTerminal } from "../../design/Status";
import { type Job, jobQuery, putJob } from "../../hooks/useJob";
import { Extend } from "./Extend";
import { charge, savedPoints } from "./progress";
import { jobSnippets } from "./snippets";

interface ActsProps {
  job: Job;
  log: Heard["log"];
}

export const Acts = memo(function Acts({ job, log }: ActsProps) {
  const { t } = useTranslation();
  const goesOn = !isTerminal(job.status);
  return (
    <>
      {job.status === "paused" && <Resume job={job} />}
      {goesOn && job.quote !== null && !job.cancel_requested && <ExtendButton job={job} />}
      {goesOn && <Cancel job={job} log={log} />}
      <ButtonLink
        to="/jobs/new"
        search={{ from: job.id }}
        variant="default"
        leftSection={<Copy size={16} />}
      >
        {t("job.acts.clone")}
      </ButtonLink>
      <CodeButton snippets={jobSnippets(job, window.location.origin)} />
    </>
  );
});

function Resume({ job }: { job: Job }) {
  const { t } = useTranslation();
  const resumed = useMutation({
    mutationFn: () =>
      ask(
        http.POST("/v1/fine_tuning/jobs/{job_id}/resume", { params: { path: { job_id: job.id } } }),
      ),
    onSuccess: putJob,
  });
  return (
    <>
      <Refusal error={resumed.error} />
      <Button
        leftSection={<Play size={16} />}
        loading={resumed.isPending}
        onClick={() => resumed.mutate()}
      >
        {t("job.acts.resume")}
      </Button>
    </>
  );
}

function ExtendButton({ job }: { job: Job }) {
  const { t } = useTranslation();
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <>
      <Button variant="default" leftSection={<CirclePlus size={16} />} onClick={open}>
        {t("job.acts.extend")}
      </Button>
      {opened && <Extend job={job} close={close} />}
    </>
  );
}

function Cancel({ job, log }: ActsProps) {
  const { t } = useTranslation();
  const [opened, { open, close }] = useDisclosure(false);
  const saved = savedPoints(log)[0];
  const name = job.name ?? job.id;
  const cancel = async () => {
    const params = { path: { job_id: job.id } };
    await queryClient.cancelQueries({ queryKey: jobQuery(job.id).queryKey });
    putJob(await ask(http.POST("/v1/fine_tuning/jobs/{job_id}/cancel", { params })));
  };
  return (
    <>
      <Button
        variant="default"
        leftSection={<Square size={16} />}
        disabled={job.cancel_requested}
        onClick={open}
      >
        {t("job.acts.cancel")}
      </Button>
      <Confirm
        opened={opened}
        close={close}
        title={t("job.acts.cancelTitle", { name })}
        action={t("job.acts.cancelAction")}
        keep={t("job.acts.keep")}
        act={cancel}
      >
        <p>
          {saved === undefined || job.quote === null
            ? t("job.acts.cancelFree")
            : t("job.acts.cancelPaid", {
                step: whole(saved.step),
                credits: credits(charge(job.quote, saved.trainedTokens)),
                held: credits(job.held_credits),
              })}
        </p>
        <p>{t("job.acts.cancelLost")}</p>
      </Confirm>
    </>
  );
}
