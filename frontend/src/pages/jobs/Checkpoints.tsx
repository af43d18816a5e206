// What was saved on the way, the newest first, the best marked.

import { Badge } from "@mantine/core";
import { memo, useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { Heard } from "../../client/feed";
import { clock, loss, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { isTerminal, type JobStatus } from "../../design/Status";
import { type Column, Table } from "../../design/Table";
import { type SavedPoint, savedPoints } from "./progress";

interface CheckpointsProps {
  status: JobStatus;
  log: Heard["log"];
}

export const Checkpoints = memo(function Checkpoints({ status, log }: CheckpointsProps) {
  const { t } = useTranslation();
  const points = useMemo(() => savedPoints(log), [log]);
  const columns: Column<SavedPoint>[] = [
    {
      key: "step",
      head: t("job.checkpoints.step"),
      cell: ({ step, best }) => (
        <>
          {whole(step)}{" "}
          {best && points.length > 1 && (
            <Badge size="sm" variant="light" ml={4} tt="none">
              {t("job.checkpoints.best")}
            </Badge>
          )}
        </>
      ),
    },
    {
      key: "train",
      head: t("job.checkpoints.train"),
      align: "right",
      cell: ({ trainLoss }) => loss(trainLoss),
    },
    {
      key: "heldOut",
      head: t("job.checkpoints.heldOut"),
      align: "right",
      cell: ({ heldOutLoss }) => loss(heldOutLoss),
    },
    {
      key: "tokens",
      head: t("job.checkpoints.tokens"),
      align: "right",
      wide: true,
      cell: ({ trainedTokens }) => whole(trainedTokens),
    },
    {
      key: "when",
      head: t("job.checkpoints.when"),
      align: "right",
      wide: true,
      cell: ({ at }) => clock(at),
    },
  ];
  return (
    <Panel title={t("job.checkpoints.title")} flush>
      {points.length === 0 ? (
        <p className="dim" style={{ padding: "0 16px 16px" }}>
          {t(isTerminal(status) ? "job.checkpoints.none" : "job.checkpoints.waiting")}
        </p>
      ) : (
        <Table
          label={t("job.checkpoints.title")}
          columns={columns}
          rows={points}
          rowKey={({ step }) => String(step)}
          maxHeight={328}
        />
      )}
    </Panel>
  );
});
