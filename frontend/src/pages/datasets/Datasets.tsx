// The datasets: what was uploaded, and what becomes of its rows.

import { ActionIcon, Button, Menu, TextInput } from "@mantine/core";
import { Link, useNavigate } from "@tanstack/react-router";
import { Download, Ellipsis, Plus, Search, Trash2, Upload } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { useTranslation } from "react-i18next";
import { CodeButton } from "../../design/Copy";
import { ButtonLink } from "../../design/links";
import { Empty, Refusal } from "../../design/Notes";
import { ago, bytes, moment, NONE, whole } from "../../design/numbers";
import { Page } from "../../design/Page";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import { chooseFile } from "../../uploads/choose";
import css from "./Datasets.module.css";
import { DeleteFile } from "./DeleteFile";
import { contentUrl, type File, useFiles } from "./data";
import { FileStatus } from "./FileStatus";
import { filesSnippets } from "./snippets";
import { VerdictBar } from "./Verdicts";

const EXAMPLE =
  '{"messages": [{"role": "user", "content": "Do you deliver on Sundays?"}, {"role": "assistant", "content": "Yes, until noon."}]}';

export function Datasets() {
  const { t } = useTranslation();
  const files = useFiles();
  const [typed, setTyped] = useState("");
  const words = useDeferredValue(typed.trim().toLocaleLowerCase());
  const [leaving, setLeaving] = useState<File | null>(null);
  const all = files.data?.data;
  const rows = all?.filter(
    ({ filename, id }) => filename.toLocaleLowerCase().includes(words) || id === words,
  );
  return (
    <Page
      title={t("datasets.title")}
      wide
      actions={
        <>
          <CodeButton snippets={filesSnippets(window.location.origin)} />
          <Button leftSection={<Upload size={16} />} onClick={chooseFile}>
            {t("datasets.upload")}
          </Button>
        </>
      }
    >
      <Refusal error={files.error} retry={() => void files.refetch()} />
      {all?.length === 0 ? (
        <Panel flush>
          <Empty title={t("datasets.emptyTitle")} text={t("datasets.emptyText")}>
            <Button leftSection={<Upload size={16} />} onClick={chooseFile}>
              {t("datasets.uploadFile")}
            </Button>
            <ButtonLink to="/welcome" variant="default">
              {t("datasets.tour")}
            </ButtonLink>
            <figure className={css.example}>
              <figcaption>{t("datasets.emptyRow")}</figcaption>
              <code>{EXAMPLE}</code>
            </figure>
          </Empty>
        </Panel>
      ) : (
        (rows !== undefined || files.isPending) && (
          <Panel flush>
            <div className={css.filters}>
              <TextInput
                data-search
                type="search"
                className={css.search}
                aria-label={t("datasets.search")}
                placeholder={t("datasets.search")}
                leftSection={<Search size={14} aria-hidden="true" />}
                value={typed}
                onChange={(event) => setTyped(event.currentTarget.value)}
              />
              {all !== undefined && (
                <span className={css.count}>{t("datasets.count", { count: all.length })}</span>
              )}
            </div>
            {rows?.length === 0 ? (
              <Empty title={t("datasets.noneTitle")} text={t("datasets.noneText")}>
                <Button variant="default" onClick={() => setTyped("")}>
                  {t("datasets.clear")}
                </Button>
              </Empty>
            ) : (
              <FileTable rows={rows} onDelete={setLeaving} />
            )}
          </Panel>
        )
      )}
      <DeleteFile file={leaving} close={() => setLeaving(null)} />
    </Page>
  );
}

interface FileTableProps {
  rows: File[] | undefined;
  onDelete: (file: File) => void;
}

function FileTable({ rows, onDelete }: FileTableProps) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const now = useNow(30_000) / 1_000;
  const columns: Column<File>[] = [
    {
      key: "name",
      head: t("datasets.name"),
      cell: (file) => (
        <>
          <Link to="/datasets/$fileId" params={{ fileId: file.id }} className={css.name}>
            {file.filename}
          </Link>
          <span className={css.id}>{file.id}</span>
        </>
      ),
    },
    {
      key: "status",
      head: t("datasets.state"),
      wide: true,
      cell: (file) => <FileStatus status={file.status} />,
    },
    {
      key: "form",
      head: t("datasets.form"),
      wide: true,
      cell: ({ form, kind }) =>
        form === null ? (
          <span className="dim">{NONE}</span>
        ) : (
          <>
            {t(`datasets.forms.${form}`)}
            {kind !== null && form !== "text" && <small>{t(`datasets.kinds.${kind}`)}</small>}
          </>
        ),
    },
    {
      key: "rows",
      head: t("datasets.rows"),
      align: "right",
      cell: (file) => (file.rows === null ? <span className="dim">{NONE}</span> : whole(file.rows)),
    },
    {
      key: "verdicts",
      head: t("datasets.verdicts"),
      width: "26%",
      cell: (file) =>
        file.rows === null ? (
          <FileStatus status={file.status} />
        ) : (
          <VerdictBar
            counts={{
              good: file.good_rows ?? 0,
              warned: file.warned_rows ?? 0,
              repairable: file.repairable_rows ?? 0,
              bad: file.bad_rows ?? 0,
            }}
          />
        ),
    },
    {
      key: "size",
      head: t("datasets.size"),
      align: "right",
      wide: true,
      cell: (file) => bytes(file.bytes),
    },
    {
      key: "created",
      head: t("datasets.uploaded"),
      align: "right",
      wide: true,
      cell: (file) => <span title={moment(file.created_at)}>{ago(file.created_at, now)}</span>,
    },
    {
      key: "acts",
      head: <span className="unseen">{t("datasets.acts")}</span>,
      align: "right",
      wide: true,
      width: 56,
      cell: (file) => <Acts file={file} onDelete={() => onDelete(file)} />,
    },
  ];
  return (
    <Table
      label={t("datasets.title")}
      columns={columns}
      rows={rows}
      rowKey={(file) => file.id}
      onOpen={(file) => void navigate({ to: "/datasets/$fileId", params: { fileId: file.id } })}
    />
  );
}

function Acts({ file, onDelete }: { file: File; onDelete: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={t("datasets.actsOf", { name: file.filename })}
        >
          <Ellipsis size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          leftSection={<Plus size={14} />}
          disabled={file.status !== "processed"}
          onClick={() => void navigate({ to: "/jobs/new", search: { file: file.id } })}
        >
          {t("datasets.newJob")}
        </Menu.Item>
        <Menu.Item
          leftSection={<Download size={14} />}
          component="a"
          href={contentUrl(file.id)}
          download={file.filename}
        >
          {t("common.download")}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item leftSection={<Trash2 size={14} />} color="red" onClick={onDelete}>
          {t("common.delete")}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
