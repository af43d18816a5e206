// More epochs for a job: what they cost is shown before it is asked for.

import { Button, Group, Modal, NumberInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { credits, NONE, whole } from "../../design/numbers";
import { Facts } from "../../design/Panel";
import { type Job, putJob } from "../../hooks/useJob";

const EPOCHS_MAX = 100;

export function Extend({ job, close }: { job: Job; close: () => void }) {
  const { t } = useTranslation();
  const now = job.quote?.n_epochs ?? 1;
  const [epochs, setEpochs] = useState(Math.min(EPOCHS_MAX, now + 1));
  const [asked] = useDebouncedValue(epochs, 250);
  const params = { path: { job_id: job.id } };
  const price = useQuery({
    queryKey: ["jobs", "extension", job.id, asked],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/fine_tuning/jobs/{job_id}/extend", {
          params: { ...params, query: { n_epochs: asked } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });
  const extended = useMutation({
    mutationFn: () =>
      ask(
        http.POST("/v1/fine_tuning/jobs/{job_id}/extend", { params, body: { n_epochs: epochs } }),
      ),
    onSuccess: (answer) => {
      putJob(answer);
      close();
    },
  });
  const found = price.data;
  const money = (micro: number | undefined) =>
    micro === undefined ? NONE : <Money micro={micro} />;
  return (
    <Modal opened onClose={close} title={t("job.extend.title", { name: job.name ?? job.id })}>
      <p className="dim">{t("job.extend.text", { n: now })}</p>
      <NumberInput
        mt="sm"
        data-autofocus
        label={t("job.extend.epochs")}
        min={now}
        max={EPOCHS_MAX}
        allowDecimal={false}
        value={epochs}
        onChange={(value) => setEpochs(typeof value === "number" ? value : now)}
      />
      <div style={{ margin: "8px 0", opacity: price.isPlaceholderData ? 0.5 : 1 }}>
        <Facts
          rows={[
            [t("job.extend.steps"), whole(found?.quote.steps)],
            [t("job.extend.extra"), money(found?.extra_credits)],
            [t("job.extend.available"), money(found?.available_credits)],
          ]}
        />
      </div>
      {found !== undefined && found.missing_credits > 0 && (
        <p className="tone-warn">
          {t("job.extend.missing", { credits: credits(found.missing_credits) })}
        </p>
      )}
      <Refusal error={price.error ?? extended.error} />
      <Group justify="flex-end" mt="lg" gap="xs">
        <Button variant="default" onClick={close}>
          {t("common.cancel")}
        </Button>
        <Button
          disabled={epochs <= now || price.error !== null || asked !== epochs}
          loading={extended.isPending}
          onClick={() => extended.mutate()}
        >
          {t("job.extend.action", { n: epochs })}
        </Button>
      </Group>
    </Modal>
  );
}
