// API keys: the secret is shown once; a key may have a budget of its own.

import { Button, Menu } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Ellipsis, Plus } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient } from "../../client/session";
import { Confirm } from "../../design/Confirm";
import { CodeButton } from "../../design/Copy";
import { Money } from "../../design/Money";
import { Empty, Refusal } from "../../design/Notes";
import { ago, day, moment } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import { keysQuery } from "../credits/data";
import { EditBudgets } from "./EditBudgets";
import { NewKey } from "./NewKey";
import { keySnippets } from "./snippets";

type Key = Schemas["ApiKey"];

export function Keys() {
  const { t } = useTranslation();
  const now = useNow(15_000) / 1_000;
  const [making, { open, close }] = useDisclosure(false);
  const { data, error, refetch } = useQuery(keysQuery);
  const columns: Column<Key>[] = [
    {
      key: "name",
      head: t("settings.keys.name"),
      cell: (key) => (
        <>
          {key.name}
          <small className="mono">{key.redacted}</small>
        </>
      ),
    },
    {
      key: "made",
      head: t("settings.keys.made"),
      align: "right",
      wide: true,
      cell: (key) => <span className="dim">{day(key.created_at)}</span>,
    },
    {
      key: "used",
      head: t("settings.keys.used"),
      align: "right",
      wide: true,
      cell: (key) =>
        key.used_at === null ? (
          <span className="dim">{t("settings.keys.never")}</span>
        ) : (
          <span title={moment(key.used_at)}>{ago(key.used_at, now)}</span>
        ),
    },
    {
      key: "month",
      head: t("settings.keys.month"),
      align: "right",
      wide: true,
      cell: (key) => <Spent spent={key.month_spent_credits} budget={key.month_budget_credits} />,
    },
    {
      key: "ever",
      head: t("settings.keys.ever"),
      align: "right",
      cell: (key) => <Spent spent={key.spent_credits} budget={key.budget_credits} />,
    },
    {
      key: "acts",
      head: <span className="unseen">{t("settings.acts")}</span>,
      align: "right",
      cell: (key) => <Acts of={key} />,
      width: 64,
    },
  ];
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel
        title={t("settings.keys.title")}
        flush
        actions={
          <>
            <CodeButton snippets={keySnippets(window.location.origin)} />
            <Button leftSection={<Plus size={16} />} onClick={open}>
              {t("settings.keys.new")}
            </Button>
          </>
        }
      >
        {data?.data.length === 0 ? (
          <Empty title={t("settings.keys.emptyTitle")} text={t("settings.keys.emptyText")}>
            <Button onClick={open}>{t("settings.keys.new")}</Button>
          </Empty>
        ) : (
          <Table
            label={t("settings.keys.title")}
            columns={columns}
            rows={data?.data}
            rowKey={(key) => key.id}
          />
        )}
      </Panel>
      <NewKey opened={making} close={close} />
    </>
  );
}

function Spent({ spent, budget }: { spent: number; budget: number | null }) {
  const { t } = useTranslation();
  return (
    <>
      <Money micro={spent} />
      <small>
        {budget === null ? (
          t("settings.keys.noBudget")
        ) : (
          <span className={spent >= budget ? "tone-bad" : undefined}>
            {t("settings.keys.of")} <Money micro={budget} />
          </span>
        )}
      </small>
    </>
  );
}

function Acts({ of: key }: { of: Key }) {
  const { t } = useTranslation();
  const [editing, { open: edit, close: endEdit }] = useDisclosure(false);
  const [revoking, { open: askRevoke, close: keep }] = useDisclosure(false);
  const revoke = async () => {
    await ask(http.DELETE("/v1/api_keys/{key_id}", { params: { path: { key_id: key.id } } }));
    await queryClient.invalidateQueries({ queryKey: ["keys"] });
  };
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button
            variant="subtle"
            color="gray"
            size="compact-sm"
            aria-label={t("settings.keys.actsOf", { name: key.name })}
          >
            <Ellipsis size={16} />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={edit}>{t("settings.keys.budgets")}</Menu.Item>
          <Menu.Divider />
          <Menu.Item color="red" onClick={askRevoke}>
            {t("settings.revoke")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <EditBudgets of={key} opened={editing} close={endEdit} />
      <Confirm
        opened={revoking}
        close={keep}
        title={t("settings.keys.revokeTitle", { name: key.name })}
        action={t("settings.revoke")}
        act={revoke}
      >
        {t("settings.keys.revokeText", { key: key.redacted })}
      </Confirm>
    </>
  );
}
