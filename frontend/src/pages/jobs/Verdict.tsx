// When it has ended: what came of it, and the doors that go on from here.

import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Download as DownloadIcon, MessagesSquare, ReceiptText } from "lucide-react";
import { useTranslation } from "react-i18next";
import type { Heard } from "../../client/feed";
import { ButtonLink } from "../../design/links";
import { loss, percent, whole } from "../../design/numbers";
import type { Job } from "../../hooks/useJob";
import { Download } from "../models/Download";
import { spoken } from "./progress";
import css from "./Verdict.module.css";

export function Verdict({ job, heard }: { job: Job; heard: Heard }) {
  const { t } = useTranslation();
  if (job.status !== "succeeded" && job.status !== "cancelled") return null;
  return (
    <section className={css.verdict} aria-label={t("job.verdict.title")}>
      <div className={css.said}>
        {job.status === "cancelled" ? (
          <p>
            {t("job.verdict.cancelled", { step: whole(job.step), total: whole(job.total_steps) })}
          </p>
        ) : (
          <Outcome heard={heard} />
        )}
      </div>
      <Doors job={job} />
    </section>
  );
}

function Outcome({ heard }: { heard: Heard }) {
  const { t } = useTranslation();
  const { heldOut } = heard.curve;
  const from = heldOut.loss[0];
  const to = heldOut.loss.at(-1);
  if (from === undefined || to === undefined || heldOut.loss.length < 2) {
    return heard.link === "ended" ? <p>{t("job.verdict.noHeldOut")}</p> : null;
  }
  const answered = spoken(heard.samples).filter(
    ({ base, said }) => base !== null && said.length > 0,
  );
  const changed = answered.filter(({ base, said }) => said[0]?.text !== base).length;
  const details = [
    t("job.verdict.accuracy", {
      from: percent(heldOut.accuracy[0] ?? 0),
      to: percent(heldOut.accuracy.at(-1) ?? 0),
    }),
  ];
  if (answered.length > 0) {
    details.push(t("job.verdict.samples", { count: answered.length, changed }));
  }
  return (
    <>
      <p className={css.line}>{t("job.verdict.heldOut", { from: loss(from), to: loss(to) })}</p>
      <p className="dim">{details.join(" · ")}</p>
      {to > from && <p className="tone-warn">{t("job.verdict.worse")}</p>}
    </>
  );
}

function Doors({ job }: { job: Job }) {
  const { t } = useTranslation();
  const [opened, { open, close }] = useDisclosure(false);
  const tuned = job.fine_tuned_model;
  return (
    <div className={css.doors}>
      {tuned !== null && (
        <>
          <ButtonLink
            to="/playground"
            search={{ models: `${job.model},${tuned}`, job: job.id }}
            leftSection={<MessagesSquare size={16} />}
          >
            {t("job.verdict.talk")}
          </ButtonLink>
          <Button variant="default" leftSection={<DownloadIcon size={16} />} onClick={open}>
            {t("job.verdict.download")}
          </Button>
          <Download
            model={{ id: tuned, job_id: job.id, base_model: job.model }}
            opened={opened}
            close={close}
          />
        </>
      )}
      <ButtonLink
        to="/jobs/$jobId/receipt"
        params={{ jobId: job.id }}
        variant="default"
        leftSection={<ReceiptText size={16} />}
      >
        {t("job.verdict.receipt")}
      </ButtonLink>
    </div>
  );
}
