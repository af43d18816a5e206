// Models: what was tuned, with where it comes from; and the bases on offer.

import { Button, Menu } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Ellipsis } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient } from "../../client/session";
import { Confirm } from "../../design/Confirm";
import { CodeButton } from "../../design/Copy";
import { AnchorLink, ButtonLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Empty, Refusal } from "../../design/Notes";
import { modelName } from "../../design/names";
import { ago, bytes, compact, moment, whole } from "../../design/numbers";
import { Page } from "../../design/Page";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import { Download } from "./Download";

type Tuned = Schemas["TunedModel"];
type Base = Schemas["BaseModelCard"];

export function Models() {
  const { t } = useTranslation();
  const listed = useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => ask(http.GET("/v1/models", { signal })),
  });
  const tuned = listed.data?.data.filter((model) => model.owned_by === "you");
  const bases = listed.data?.data.filter((model) => model.owned_by === "tunery");
  return (
    <Page title={t("models.title")} actions={<CodeButton snippets={snippets()} />}>
      <Refusal error={listed.error} retry={() => void listed.refetch()} />
      <Panel title={t("models.tuned")} flush>
        {tuned?.length === 0 ? (
          <Empty title={t("models.emptyTitle")} text={t("models.emptyText")}>
            <ButtonLink to="/jobs/new">{t("models.emptyAction")}</ButtonLink>
          </Empty>
        ) : (
          <TunedTable rows={tuned} />
        )}
      </Panel>
      <Panel title={t("models.bases")} flush>
        <BaseTable rows={bases} />
      </Panel>
    </Page>
  );
}

function TunedTable({ rows }: { rows: Tuned[] | undefined }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const now = useNow(15_000) / 1_000;
  const files = useQuery({
    queryKey: ["files", "names"],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/files", { params: { query: { limit: 1_000 } }, signal })),
    enabled: rows !== undefined && rows.length > 0,
  });
  const name = (id: string) => files.data?.data.find((file) => file.id === id)?.filename;
  const talk = (model: Tuned) =>
    void navigate({ to: "/playground", search: { models: `${model.base_model},${model.id}` } });
  const columns: Column<Tuned>[] = [
    {
      key: "name",
      head: t("models.name"),
      cell: (model) => (
        <>
          <span title={model.id}>{modelName(model.id)}</span>
          <small>{model.base_model}</small>
        </>
      ),
    },
    {
      key: "dataset",
      head: t("models.dataset"),
      wide: true,
      cell: (model) => (
        <AnchorLink to="/datasets/$fileId" params={{ fileId: model.training_file }} size="sm">
          {name(model.training_file) ?? model.training_file}
        </AnchorLink>
      ),
    },
    {
      key: "job",
      head: t("models.job"),
      wide: true,
      cell: (model) => (
        <AnchorLink to="/jobs/$jobId" params={{ jobId: model.job_id }} size="sm">
          {model.job_name ?? model.job_id}
        </AnchorLink>
      ),
    },
    {
      key: "size",
      head: t("models.size"),
      align: "right",
      wide: true,
      cell: (model) => bytes(model.bytes),
    },
    {
      key: "created",
      head: t("models.created"),
      align: "right",
      wide: true,
      cell: (model) => <span title={moment(model.created)}>{ago(model.created, now)}</span>,
    },
    { key: "acts", head: "", align: "right", cell: (model) => <Acts model={model} talk={talk} /> },
  ];
  return (
    <Table
      label={t("models.tuned")}
      columns={columns}
      rows={rows}
      rowKey={(model) => model.id}
      onOpen={talk}
    />
  );
}

function Acts({ model, talk }: { model: Tuned; talk: (model: Tuned) => void }) {
  const { t } = useTranslation();
  const [deleting, { open: askDelete, close: keep }] = useDisclosure(false);
  const [loading, { open: openDownload, close: closeDownload }] = useDisclosure(false);
  const remove = async () => {
    await ask(http.DELETE("/v1/models/{model}", { params: { path: { model: model.id } } }));
    await queryClient.invalidateQueries({ queryKey: ["models"] });
    notifications.show({ message: t("models.deleted", { name: model.id }) });
  };
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button
            variant="subtle"
            color="gray"
            size="compact-sm"
            aria-label={t("models.details", { name: model.id })}
          >
            <Ellipsis size={16} />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => talk(model)}>{t("models.talk")}</Menu.Item>
          <Menu.Item onClick={openDownload}>{t("models.download")}</Menu.Item>
          <Menu.Divider />
          <Menu.Item color="red" onClick={askDelete}>
            {t("models.delete")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Download model={model} opened={loading} close={closeDownload} />
      <Confirm
        opened={deleting}
        close={keep}
        title={t("models.deleteTitle", { name: model.id })}
        action={t("models.delete")}
        act={remove}
      >
        {t("models.deleteText")}
      </Confirm>
    </>
  );
}

function BaseTable({ rows }: { rows: Base[] | undefined }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const columns: Column<Base>[] = [
    {
      key: "name",
      head: t("models.name"),
      cell: (model) => (
        <>
          {model.name}
          <small>{model.id}</small>
        </>
      ),
    },
    {
      key: "parameters",
      head: t("models.parameters"),
      align: "right",
      cell: (model) => compact(model.parameters),
    },
    {
      key: "context",
      head: t("models.context"),
      align: "right",
      wide: true,
      cell: (model) => t("models.contextTokens", { n: whole(model.context) }),
    },
    { key: "licence", head: t("models.licence"), wide: true, cell: (model) => model.licence },
    {
      key: "price",
      head: t("models.trainPrice"),
      align: "right",
      wide: true,
      cell: (model) => <Money micro={model.credits_per_million_trained_tokens} unit />,
    },
    {
      key: "train",
      head: "",
      align: "right",
      cell: (model) => (
        <Button
          variant="default"
          size="compact-sm"
          onClick={() => void navigate({ to: "/jobs/new", search: { model: model.id } })}
        >
          {t("models.train")}
        </Button>
      ),
    },
  ];
  return (
    <Table label={t("models.bases")} columns={columns} rows={rows} rowKey={(model) => model.id} />
  );
}

function snippets() {
  const origin = window.location.origin;
  return {
    curl: `curl ${origin}/v1/models -H "Authorization: Bearer $TUNERY_API_KEY"`,
    python: [
      "import os",
      "",
      "from openai import OpenAI",
      "",
      `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["TUNERY_API_KEY"])`,
      "for model in client.models.list():",
      "    print(model.id, model.owned_by)",
    ].join("\n"),
  };
}
