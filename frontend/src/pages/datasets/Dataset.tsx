// One dataset: what was found in it, what can be mended, how it is read, what the model sees.

import { ActionIcon, Menu } from "@mantine/core";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Download, Ellipsis, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { CodeButton } from "../../design/Copy";
import { LiveMark } from "../../design/LiveMark";
import { ButtonLink } from "../../design/links";
import { Refusal } from "../../design/Notes";
import { bytes, whole } from "../../design/numbers";
import { Page } from "../../design/Page";
import { PageTabs } from "../../design/PageTabs";
import { Figures, Panel } from "../../design/Panel";
import css from "./Dataset.module.css";
import { DeleteFile } from "./DeleteFile";
import { contentUrl, type File, isEncoding, type Report, useFile, useReport } from "./data";
import { FileStatus } from "./FileStatus";
import { Findings } from "./Findings";
import { Reading } from "./Mapping";
import { Overview } from "./Overview";
import { totals } from "./problems";
import { fileSnippets } from "./snippets";
import { Tokens } from "./Tokens";

export function Dataset() {
  const { t } = useTranslation();
  const { fileId } = useParams({ from: "/inside/datasets/$fileId" });
  const { line } = useSearch({ from: "/inside/datasets/$fileId" });
  const file = useFile(fileId);
  const encodes = file.data?.purpose === "fine-tune";
  const report = useReport(fileId, encodes);
  const found = file.data;
  return (
    <Page
      title={found?.filename ?? t("datasets.title")}
      crumb={<Link to="/datasets">{t("datasets.title")}</Link>}
      aside={found !== undefined && <FileStatus status={report.data?.status ?? found.status} />}
      actions={
        found !== undefined && (
          <>
            <CodeButton
              snippets={fileSnippets(fileId, Number(line) || 1, window.location.origin)}
            />
            <Acts file={found} />
            {found.status === "processed" && (
              <ButtonLink
                to="/jobs/new"
                search={{ file: fileId }}
                leftSection={<Plus size={16} aria-hidden="true" />}
              >
                {t("datasets.newJobWith")}
              </ButtonLink>
            )}
          </>
        )
      }
    >
      <Refusal
        error={file.error ?? report.error}
        retry={() => {
          void file.refetch();
          void report.refetch();
        }}
      />
      {report.data === undefined ? (
        file.error === null && report.error === null && <Waiting />
      ) : report.data.status === "uploaded" ? (
        <BeingRead report={report.data} heardAt={report.dataUpdatedAt} file={found} />
      ) : (
        <Read report={report.data} file={found} encodes={encodes} />
      )}
    </Page>
  );
}

function Waiting() {
  const { t } = useTranslation();
  return (
    <Panel>
      <div className={css.waiting} aria-busy="true">
        <span className="unseen">{t("common.loading")}</span>
      </div>
    </Panel>
  );
}

interface BeingReadProps {
  report: Report;
  heardAt: number;
  file: File | undefined;
}

/** Every row is looked at; there is nothing to choose before that. */
function BeingRead({ report, heardAt, file }: BeingReadProps) {
  const { t } = useTranslation();
  const { rows = 0, good = 0, bad = 0 } = report.progress ?? {};
  return (
    <Panel
      title={t("datasets.reading.title")}
      actions={<LiveMark heard={{ link: "live", heardAt: heardAt || null }} />}
    >
      <Figures
        items={[
          { label: t("datasets.reading.rows"), value: whole(rows) },
          { label: t("datasets.verdict.good"), value: whole(good), tone: "tone-good" },
          { label: t("datasets.verdict.bad"), value: whole(bad), tone: bad ? "tone-bad" : "" },
          ...(file ? [{ label: t("datasets.size"), value: bytes(file.bytes) }] : []),
        ]}
      />
      <p className={css.note}>
        {t(report.progress === null ? "datasets.reading.soon" : "datasets.reading.text")}
      </p>
    </Panel>
  );
}

interface ReadProps {
  report: Report;
  file: File | undefined;
  encodes: boolean;
}

function Read({ report, file, encodes }: ReadProps) {
  const { t } = useTranslation();
  const { tab } = useSearch({ from: "/inside/datasets/$fileId" });
  const navigate = useNavigate({ from: "/datasets/$fileId" });
  const encoding = encodes && isEncoding(report);
  const counts = totals(
    report.report?.problem_counts ?? {},
    report.encoding?.report?.problem_counts ?? {},
  );
  const count = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const parts = [
    {
      name: "overview",
      label: t("datasets.tabs.overview"),
      content: () => <Overview report={report} file={file} encoding={encoding} />,
    },
    {
      name: "findings",
      label:
        count === 0
          ? t("datasets.tabs.findings")
          : t("datasets.tabs.findingsOf", { n: whole(count) }),
      content: () => <Findings report={report} encoding={encoding} />,
    },
    {
      name: "mapping",
      label: t("datasets.tabs.mapping"),
      content: () => <Reading report={report} />,
    },
    ...(report.status === "processed" && encodes
      ? [
          {
            name: "tokens" as const,
            label: t("datasets.tabs.tokens"),
            content: () => <Tokens report={report} encoding={encoding} />,
          },
        ]
      : []),
  ] as const;
  return (
    <>
      {report.status === "error" && <Unusable report={report} />}
      <Strip report={report} />
      <PageTabs
        label={t("datasets.tabs.label")}
        parts={parts}
        open={tab}
        onOpen={(name) =>
          void navigate({ search: name === "overview" ? {} : { tab: name }, replace: true })
        }
      />
    </>
  );
}

function Unusable({ report }: { report: Report }) {
  const { t } = useTranslation();
  return (
    <div className={css.fault} role="alert">
      <strong>{t("datasets.unusable")}</strong>
      <p>{report.report?.fault ?? t("datasets.unusableText")}</p>
    </div>
  );
}

/** What became of the rows. A repair that is accepted shows here once its rows are encoded. */
function Strip({ report }: { report: Report }) {
  const { t } = useTranslation();
  const found = report.report;
  if (found?.rows === undefined) return null;
  const ready = report.encoding?.status === "ready" ? report.encoding.report : null;
  const repairable = found.repairable ?? 0;
  const open = Math.min(repairable, ready?.unrepaired_rows ?? repairable);
  const repaired = repairable - open;
  const items = [
    { label: t("datasets.inAll"), value: whole(found.rows) },
    {
      label: t("datasets.verdict.good"),
      value: whole(found.good),
      tone: found.good ? "tone-good" : "tone-quiet",
      hint: t("datasets.hint.good"),
    },
    {
      label: t("datasets.verdict.warned"),
      value: whole(found.warned),
      tone: found.warned ? "tone-warn" : "tone-quiet",
      hint: t("datasets.hint.warned"),
    },
    {
      label: t("datasets.verdict.repairable"),
      value: whole(open),
      tone: open ? "tone-accent" : "tone-quiet",
      hint: t("datasets.hint.repairable"),
    },
    ...(repaired > 0
      ? [{ label: t("datasets.repaired"), value: whole(repaired), tone: "tone-good" }]
      : []),
    {
      label: t("datasets.verdict.bad"),
      value: whole(found.bad),
      tone: found.bad ? "tone-bad" : "tone-quiet",
      hint: t("datasets.hint.bad"),
    },
    {
      label: t("datasets.duplicates"),
      value: whole(found.duplicates),
      tone: found.duplicates ? "tone-warn" : "tone-quiet",
      hint: t("datasets.hint.duplicates"),
    },
    ...(ready?.train_tokens === undefined
      ? []
      : [
          {
            label: t("datasets.tokens"),
            value: whole(ready.train_tokens + (ready.held_out_tokens ?? 0)),
            hint: t("datasets.hint.tokens"),
          },
        ]),
  ];
  return (
    <Panel>
      <Figures items={items} />
    </Panel>
  );
}

function Acts({ file }: { file: File }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [leaving, setLeaving] = useState(false);
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon
            variant="default"
            size={36}
            aria-label={t("datasets.actsOf", { name: file.filename })}
          >
            <Ellipsis size={16} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<Download size={14} />}
            component="a"
            href={contentUrl(file.id)}
            download={file.filename}
          >
            {t("common.download")}
          </Menu.Item>
          <Menu.Item
            leftSection={<Trash2 size={14} />}
            color="red"
            onClick={() => setLeaving(true)}
          >
            {t("common.delete")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <DeleteFile
        file={leaving ? file : null}
        close={() => setLeaving(false)}
        onDeleted={() => void navigate({ to: "/datasets" })}
      />
    </>
  );
}
