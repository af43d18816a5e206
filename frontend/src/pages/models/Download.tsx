// Taking an adapter home: one archive, what is in it, and how it is loaded.

import { Button, Modal } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { Refusal } from "../../design/Notes";
import { bytes } from "../../design/numbers";
import { Table } from "../../design/Table";

type Adapter = Schemas["Adapter"];

interface DownloadProps {
  model: { id: string; job_id: string; base_model: string };
  opened: boolean;
  close: () => void;
}

export function Download({ model, opened, close }: DownloadProps) {
  const { t } = useTranslation();
  const adapter = useQuery({
    queryKey: ["adapter", model.job_id],
    queryFn: ({ signal }) => fetchAdapter(model.job_id, signal),
    enabled: opened,
  });
  const found = adapter.data;
  // The link is signed for a few minutes only, so it is asked for again at the click.
  const download = async () => {
    const fresh = await fetchAdapter(model.job_id);
    window.location.assign(new URL(fresh.url, window.location.href));
  };
  return (
    <Modal
      opened={opened}
      onClose={close}
      title={t("models.downloadFiles", { name: model.id })}
      size="lg"
    >
      <Refusal error={adapter.error} retry={() => void adapter.refetch()} />
      <p className="dim">
        {t("models.downloadText", {
          base: model.base_model,
          minutes: Math.round((found?.expires_in ?? 900) / 60),
        })}
      </p>
      <Table
        label={t("models.downloadFiles", { name: model.id })}
        columns={[
          {
            key: "name",
            head: t("models.file"),
            cell: (file: Adapter["files"][number]) => (
              <>
                <code>{file.name}</code>
                <small className="mono" title={file.sha256} style={{ overflowWrap: "anywhere" }}>
                  {file.sha256}
                </small>
              </>
            ),
          },
          {
            key: "size",
            head: t("models.size"),
            align: "right",
            cell: (file: Adapter["files"][number]) => bytes(file.bytes),
          },
        ]}
        rows={found?.files}
        rowKey={(file) => file.name}
      />
      <Button mt="md" fullWidth disabled={found === undefined} onClick={() => void download()}>
        {t("models.archive", { bytes: found === undefined ? "…" : bytes(found.bytes) })}
      </Button>
    </Modal>
  );
}

function fetchAdapter(jobId: string, signal?: AbortSignal): Promise<Adapter> {
  return ask(
    http.GET("/v1/fine_tuning/jobs/{job_id}/adapter", {
      params: { path: { job_id: jobId } },
      ...(signal === undefined ? {} : { signal }),
    }),
  );
}
