// How a file is read: form, kind, columns and tags, prefilled by what was detected.

import { Autocomplete, Button, Select, Tabs, Textarea, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { Refused } from "../../client/http";
import { Refusal } from "../../design/Notes";
import { Panel } from "../../design/Panel";
import { type Report, useReading } from "./data";
import {
  DETECT,
  type Draft,
  draftOf,
  FORMS,
  type Form,
  hasTags,
  KINDS,
  type Kind,
  mappingOf,
  namesOf,
  pastedInfo,
  refusedFields,
  TAGS,
} from "./draft";
import css from "./Mapping.module.css";

export function Reading({ report }: { report: Report }) {
  const { t } = useTranslation();
  return (
    <Panel title={t("datasets.mapping.title")}>
      <p className={css.intro}>
        {t(report.mapping === null ? "datasets.mapping.detected" : "datasets.mapping.said")}
      </p>
      <Tabs defaultValue="fields" mt="md" keepMounted={false}>
        <Tabs.List aria-label={t("datasets.mapping.title")}>
          <Tabs.Tab value="fields">{t("datasets.mapping.fields")}</Tabs.Tab>
          <Tabs.Tab value="paste">{t("datasets.mapping.paste")}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="fields" pt="md">
          <Fields report={report} />
        </Tabs.Panel>
        <Tabs.Panel value="paste" pt="md">
          <Paste fileId={report.file_id} />
        </Tabs.Panel>
      </Tabs>
    </Panel>
  );
}

function Fields({ report }: { report: Report }) {
  const { t } = useTranslation();
  const reading = useReading(report.file_id);
  const [draft, setDraft] = useState<Draft>(() => draftOf(report));
  const refused = reading.error instanceof Refused ? reading.error : null;
  const wrong =
    refused?.code === "invalid_mapping"
      ? refusedFields(refused.message, draft)
      : new Map<string, string>();
  const names = namesOf(draft.form, draft.kind);
  const columns = [
    ...new Set([...(report.report?.columns ?? []), ...Object.keys(report.report?.ignored ?? {})]),
  ];
  const change = (part: Partial<Draft>) => setDraft((now) => ({ ...now, ...part }));
  const chooseForm = (form: Form | null) =>
    change({
      form,
      kind: form === "text" ? "text" : draft.kind === "text" ? "conversation" : draft.kind,
    });
  const save = (event: FormEvent) => {
    event.preventDefault();
    reading.mutate({ mapping: { ...mappingOf(draft) } });
  };
  return (
    <form onSubmit={save} className={css.form}>
      <div className={css.row}>
        <Select
          label={t("datasets.form")}
          description={draft.form ? t(`datasets.mapping.formNeeds.${draft.form}`) : undefined}
          value={draft.form ?? ""}
          onChange={(form) => chooseForm((form || null) as Form | null)}
          data={[
            { value: "", label: t("datasets.mapping.detect") },
            ...FORMS.map((value) => ({ value, label: t(`datasets.forms.${value}`) })),
          ]}
          error={wrong.get("form")}
        />
        <Select
          label={t("datasets.kind")}
          description={draft.kind ? t(`datasets.mapping.kindTeaches.${draft.kind}`) : undefined}
          value={draft.kind ?? ""}
          onChange={(kind) => change({ kind: (kind || null) as Kind | null })}
          data={[
            { value: "", label: t("datasets.mapping.detect") },
            ...KINDS.map((value) => ({ value, label: t(`datasets.kinds.${value}`) })),
          ]}
          error={wrong.get("kind")}
        />
      </div>
      {names.length > 0 && (
        <fieldset className={css.set}>
          <legend>{t("datasets.mapping.columns")}</legend>
          <p className="dim">{t("datasets.mapping.columnsText")}</p>
          <div className={css.grid}>
            {names.map((name) => (
              <Autocomplete
                key={name}
                label={<code>{name}</code>}
                placeholder={name}
                data={columns}
                value={draft.columns[name] ?? ""}
                onChange={(theirs) => change({ columns: { ...draft.columns, [name]: theirs } })}
                error={wrong.get(`columns.${name}`)}
              />
            ))}
          </div>
        </fieldset>
      )}
      {hasTags(draft.form) && (
        <fieldset className={css.set}>
          <legend>{t("datasets.mapping.tags")}</legend>
          <p className="dim">{t("datasets.mapping.tagsText")}</p>
          <div className={css.grid}>
            {TAGS.map((name) => (
              <TextInput
                key={name}
                label={t(`datasets.mapping.tag.${name}`)}
                placeholder={usualTag(name, draft.form)}
                value={draft.tags[name] ?? ""}
                onChange={(event) =>
                  change({ tags: { ...draft.tags, [name]: event.currentTarget.value } })
                }
                error={wrong.get(`tags.${name}`)}
              />
            ))}
          </div>
        </fieldset>
      )}
      {wrong.has("") && <p className={css.wrong}>{wrong.get("")}</p>}
      {wrong.size === 0 && <Refusal error={reading.error} />}
      <div className={css.acts}>
        <Button type="submit" loading={reading.isPending}>
          {t("datasets.mapping.save")}
        </Button>
        {report.mapping !== null && (
          <Button
            variant="default"
            disabled={reading.isPending}
            onClick={() => reading.mutate({ mapping: { ...DETECT } })}
          >
            {t("datasets.mapping.detectAgain")}
          </Button>
        )}
      </div>
    </form>
  );
}

/** What a file usually says, per form: what an empty field means. */
function usualTag(name: (typeof TAGS)[number], form: Form | null): string {
  const openai = form === "messages";
  return {
    role: openai ? "role" : "from",
    content: openai ? "content" : "value",
    user: openai ? "user" : "human",
    assistant: openai ? "assistant" : "gpt",
    observation: openai ? "tool" : "observation",
    function: openai ? "function" : "function_call",
    system: "system",
  }[name];
}

const EXAMPLE = `{
  "formatting": "sharegpt",
  "columns": {"messages": "dialogue"},
  "tags": {"role_tag": "speaker", "content_tag": "text",
           "user_tag": "customer", "assistant_tag": "agent"}
}`;

function Paste({ fileId }: { fileId: string }) {
  const { t } = useTranslation();
  const reading = useReading(fileId);
  const [text, setText] = useState("");
  const [entry, setEntry] = useState("");
  const info = pastedInfo(text);
  const refused = reading.error instanceof Refused ? reading.error : null;
  const mistaken = refused?.code === "invalid_mapping" ? refused.message : null;
  const unreadable = text.trim() !== "" && info === null;
  const save = (event: FormEvent) => {
    event.preventDefault();
    if (info === null) return;
    reading.mutate({ mapping: info, ...(entry.trim() === "" ? {} : { entry: entry.trim() }) });
  };
  return (
    <form onSubmit={save} className={css.form}>
      <Textarea
        label={t("datasets.mapping.info")}
        description={t("datasets.mapping.infoText")}
        placeholder={EXAMPLE}
        autosize
        minRows={7}
        maxRows={24}
        classNames={{ input: css.mono }}
        spellCheck={false}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        error={unreadable ? t("datasets.mapping.notJson") : mistaken}
      />
      <TextInput
        className={css.entry}
        label={t("datasets.mapping.entry")}
        description={t("datasets.mapping.entryText")}
        value={entry}
        onChange={(event) => setEntry(event.currentTarget.value)}
      />
      {mistaken === null && <Refusal error={reading.error} />}
      <div className={css.acts}>
        <Button type="submit" disabled={info === null} loading={reading.isPending}>
          {t("datasets.mapping.save")}
        </Button>
      </div>
    </form>
  );
}
