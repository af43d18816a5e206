// ① What is learned from: the dataset, what is kept of it, and what is mixed in.

import {
  ActionIcon,
  Button,
  type ComboboxItem,
  Select,
  Skeleton,
  Switch,
  TextInput,
} from "@mantine/core";
import { Plus, Upload, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../client/http";
import { AnchorLink } from "../../design/links";
import { Refusal } from "../../design/Notes";
import { day, percent, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { chooseFile } from "../../uploads/choose";
import { lengthsOf, lost } from "../datasets/cutoff";
import { useReport } from "../datasets/data";
import { useForm } from "./form";
import css from "./NewJob.module.css";
import { Fold, SettingField, SettingGrid } from "./SettingField";
import { useRepair } from "./useRepair";
import { problemWords } from "./words";

type File = Schemas["File"];

export function DataPart() {
  const { t } = useTranslation();
  const form = useForm();
  const waitForUpload = useNextUpload();
  return (
    <Panel
      title={t("newJob.data.title")}
      actions={
        <Button
          variant="default"
          size="xs"
          leftSection={<Upload size={14} />}
          onClick={waitForUpload}
        >
          {t("newJob.data.upload")}
        </Button>
      }
    >
      <FileSelect
        label={t("newJob.data.file")}
        placeholder={t("newJob.data.choose")}
        files={form.files}
        value={form.file?.id ?? null}
        onChange={(id) => id !== null && form.chooseFile(id)}
      />
      {form.file !== null && <FileFacts key={form.file.id} file={form.file} />}
      <Fold title={t("newJob.groups.rows")}>
        <SettingGrid group="rows" />
      </Fold>
      <Fold title={t("newJob.data.more")}>
        <FileSelect
          label={t("newJob.data.validation")}
          description={t("newJob.data.validationHint")}
          placeholder={t("newJob.data.noValidation")}
          clearable
          files={form.files.filter(({ id }) => id !== form.file?.id)}
          value={form.draft.validationFile}
          onChange={(validationFile) => form.edit({ validationFile })}
        />
        <Mixing />
      </Fold>
    </Panel>
  );
}

/** Opens the file dialog, and takes the next dataset that appears. */
function useNextUpload(): () => void {
  const { files, chooseFile: take } = useForm();
  const before = useRef<ReadonlySet<string> | null>(null);
  useEffect(() => {
    const known = before.current;
    const added = known && files.find(({ id }) => !known.has(id));
    if (!added) return;
    before.current = null;
    take(added.id);
  }, [files, take]);
  return () => {
    before.current = new Set(files.map(({ id }) => id));
    chooseFile();
  };
}

interface FileSelectProps {
  label: string;
  description?: string;
  placeholder: string;
  clearable?: boolean;
  files: File[];
  value: string | null;
  onChange: (id: string | null) => void;
}

function FileSelect({ files, clearable = false, ...props }: FileSelectProps) {
  const { t } = useTranslation();
  const byId = new Map(files.map((file) => [file.id, file]));
  const option = ({ option }: { option: ComboboxItem }) => {
    const file = byId.get(option.value);
    return file === undefined ? null : <FileOption file={file} />;
  };
  return (
    <Select
      {...props}
      searchable
      clearable={clearable}
      allowDeselect={clearable}
      limit={200}
      maxDropdownHeight={320}
      nothingFoundMessage={t("newJob.data.nothing")}
      data={files.map(({ id, filename }) => ({ value: id, label: filename }))}
      renderOption={option}
    />
  );
}

function FileOption({ file }: { file: File }) {
  const { t } = useTranslation();
  const state = {
    uploaded: t("newJob.data.readingShort"),
    error: t("newJob.data.unusableShort"),
    processed: t("newJob.data.rows", { rows: whole(file.rows) }),
  }[file.status];
  return (
    <span className={css.option}>
      <span className="clip">{file.filename}</span>
      <span className="dim">
        {state} · {day(file.created_at)}
      </span>
    </span>
  );
}

// -- what is in it ---------------------------------------------------------------------------------

function FileFacts({ file }: { file: File }) {
  const { t } = useTranslation();
  const report = useReport(file.id, file.status === "processed");
  if (file.status === "uploaded") {
    const rows = report.data?.progress?.rows ?? 0;
    return (
      <p className={css.line} role="status">
        {t("newJob.data.reading", { rows: whole(rows) })}
      </p>
    );
  }
  return (
    <div className={css.facts}>
      <p className={css.line}>
        {file.status === "error" ? (
          <span className="tone-bad">{t("newJob.data.unreadable")}</span>
        ) : (
          <Verdicts file={file} />
        )}
        <span className={css.spring} />
        <AnchorLink to="/datasets/$fileId" params={{ fileId: file.id }}>
          {t("newJob.data.report")}
        </AnchorLink>
      </p>
      {report.isPending ? <Skeleton height={20} width="70%" /> : <Kept report={report.data} />}
      <Repairs file={file} report={report.data} />
      <SkipBadRows file={file} />
      <AnchorLink to="/datasets/$fileId" params={{ fileId: file.id }} search={{ tab: "tokens" }}>
        {t("newJob.data.tokens")}
      </AnchorLink>
    </div>
  );
}

function Verdicts({ file }: { file: File }) {
  const { t } = useTranslation();
  const parts = [
    ["good", "tone-good", file.good_rows ?? 0],
    ["warned", "tone-warn", file.warned_rows ?? 0],
    ["repairable", "tone-warn", file.repairable_rows ?? 0],
    ["bad", "tone-bad", file.bad_rows ?? 0],
  ] as const;
  return parts
    .filter(([name, , n]) => name === "good" || n > 0)
    .map(([name, tone, n]) => (
      <span key={name} className={tone}>
        {t(`newJob.data.${name}`, { count: n, n: whole(n) })}
      </span>
    ));
}

/** How many rows are held out, and how many the cutoff keeps whole. */
function Kept({ report }: { report: Schemas["Report"] | undefined }) {
  const { t } = useTranslation();
  const { quoted, draft } = useForm();
  const ready = quoted.answer?.status === "ready" ? quoted.answer : null;
  const price = ready?.quote;
  if (!ready || !price) return null;
  const all = price.train_rows + price.held_out_rows;
  const cutoff = ready.spec?.hyperparameters.cutoff_len ?? 0;
  const encoding = report?.encoding;
  const recipe = encoding?.recipe;
  const lengths =
    encoding?.report && recipe && "cutoff_len" in recipe
      ? lengthsOf(encoding.report, recipe.cutoff_len)
      : null;
  const kept = lengths && 1 - lost(lengths, cutoff).rows / lengths.rows;
  return (
    <p className={css.line} data-stale={!quoted.fresh}>
      <span>
        {draft.validationFile !== null
          ? t("newJob.data.notHeldOut")
          : t("newJob.data.heldOut", {
              rows: whole(price.held_out_rows),
              share: percent(all === 0 ? 0 : price.held_out_rows / all, 0),
            })}
      </span>
      <span>
        {kept === null
          ? t("newJob.data.cutoffOnly", { tokens: whole(cutoff) })
          : t("newJob.data.cutoff", { tokens: whole(cutoff), share: percent(kept) })}
      </span>
    </p>
  );
}

function Repairs({ file, report }: { file: File; report: Schemas["Report"] | undefined }) {
  const { t } = useTranslation();
  const repair = useRepair(file.id);
  const accepted = report?.repairs.length ?? 0;
  const open = file.repairable_rows ?? 0;
  if (accepted === 0 && open === 0) return null;
  return (
    <>
      <p className={css.line}>
        {accepted > 0 && <span>{t("newJob.data.repairsOn", { count: accepted })}</span>}
        {accepted > 0 ? (
          <Button
            variant="default"
            size="compact-xs"
            loading={repair.isPending}
            onClick={() => repair.mutate({ repairs: [] })}
          >
            {t("newJob.data.unrepair")}
          </Button>
        ) : (
          <Button
            variant="default"
            size="compact-xs"
            loading={repair.isPending}
            onClick={() => repair.mutate({ accept_all_repairs: true })}
          >
            {t("newJob.data.repair", { count: open, n: whole(open) })}
          </Button>
        )}
      </p>
      <Refusal error={repair.error} />
    </>
  );
}

function SkipBadRows({ file }: { file: File }) {
  const { t } = useTranslation();
  const form = useForm();
  if ((file.bad_rows ?? 0) + (file.repairable_rows ?? 0) === 0) return null;
  return (
    <Switch
      label={t("newJob.settings.skip_bad_rows.name")}
      checked={form.quoted.values.skip_bad_rows === true}
      onChange={(event) => form.set("skip_bad_rows", event.currentTarget.checked)}
    />
  );
}

// -- mixing ----------------------------------------------------------------------------------------

function Mixing() {
  const { t } = useTranslation();
  const { files, file, draft, edit, parameters, problems } = useForm();
  const mixed = draft.mixed;
  const taken = new Set([file?.id, ...mixed.map((one) => one.file)]);
  const free = files.filter(({ id }) => !taken.has(id));
  const most = parameters?.mixedFilesMax ?? 0;
  return (
    <div className={css.mixing}>
      {mixed.map((one, n) => {
        const name = files.find(({ id }) => id === one.file)?.filename ?? one.file;
        const problem = problems[`mixed.${n}`];
        const change = (weight: string) =>
          edit({ mixed: mixed.map((other) => (other === one ? { ...one, weight } : other)) });
        return (
          <div key={one.file} className={css.mixed}>
            <span className="clip">{name}</span>
            <TextInput
              aria-label={t("newJob.data.mixWeight", { name })}
              inputMode="decimal"
              placeholder={String(parameters?.mixWeight.default ?? 1)}
              value={one.weight}
              error={problem && problemWords(t, problem)}
              onChange={(event) => change(event.currentTarget.value)}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={t("newJob.data.mixRemove", { name })}
              onClick={() => edit({ mixed: mixed.filter((other) => other !== one) })}
            >
              <X size={14} />
            </ActionIcon>
          </div>
        );
      })}
      {mixed.length < most ? (
        <Select
          label={t("newJob.data.mixWith")}
          description={t("newJob.data.mixHint")}
          placeholder={t("newJob.data.mixAdd")}
          leftSection={<Plus size={14} />}
          searchable
          value={null}
          limit={200}
          nothingFoundMessage={t("newJob.data.nothing")}
          data={free.map(({ id, filename }) => ({ value: id, label: filename }))}
          onChange={(id) => id !== null && edit({ mixed: [...mixed, { file: id, weight: "" }] })}
        />
      ) : (
        <p className="dim">{t("newJob.data.mixMost", { n: whole(most) })}</p>
      )}
      {mixed.length > 0 && (
        <div className={css.settings}>
          <SettingField name="mixing" />
          <SettingField name="weight" />
        </div>
      )}
    </div>
  );
}
