// The playground: one message to several models, their answers side by side as they come.

import { Button, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { MessageSquarePlus } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { CodeButton } from "../../design/Copy";
import { AnchorLink } from "../../design/links";
import { Empty, Refusal } from "../../design/Notes";
import { Page } from "../../design/Page";
import { Asker } from "./Asker";
import { Column } from "./Column";
import { HeldOut } from "./HeldOut";
import css from "./Playground.module.css";
import { Settings } from "./Settings";
import { playgroundSnippets } from "./snippets";
import { useConversation } from "./useConversation";

const COLUMNS_MAX = 4;

export type Model = Schemas["ModelList"]["data"][number];

export function Playground() {
  const { t } = useTranslation();
  const { models: chosen } = useSearch({ from: "/inside/playground" });
  const navigate = useNavigate({ from: "/playground" });
  const listed = useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => ask(http.GET("/v1/models", { signal })),
  });
  const known = listed.data?.data;
  const columns = useMemo(() => shownModels(known, chosen), [known, chosen]);
  const conversation = useConversation(columns);
  const [draft, setDraft] = useState("");
  const setColumns = useCallback(
    (next: readonly string[]) =>
      void navigate({ search: next.length > 0 ? { models: next.join(",") } : {}, replace: true }),
    [navigate],
  );
  const tuned = columns
    .map((id) => known?.find((model) => model.id === id))
    .find((model) => model !== undefined && isTuned(model));
  const snippets = playgroundSnippets(columns[0] ?? "", conversation, draft);
  return (
    <Page
      wide
      title={t("playground.title")}
      actions={
        <>
          <CodeButton snippets={snippets} />
          <Button
            variant="default"
            leftSection={<MessageSquarePlus size={16} />}
            disabled={conversation.turns.length === 0}
            onClick={conversation.clear}
          >
            {t("playground.clear")}
          </Button>
        </>
      }
    >
      <Refusal error={listed.error} retry={() => void listed.refetch()} />
      <div className={css.room}>
        <aside className={css.side}>
          <AddModel known={known} columns={columns} setColumns={setColumns} />
          <Settings conversation={conversation} />
          {tuned !== undefined && isTuned(tuned) && (
            <HeldOut model={tuned} send={conversation.send} busy={conversation.busy} />
          )}
        </aside>
        <div className={css.stage}>
          <div className={css.columns} data-count={columns.length}>
            {columns.map((id) => (
              <Column
                key={id}
                model={known?.find((model) => model.id === id)}
                id={id}
                turns={conversation.turns}
                remove={
                  columns.length > 1
                    ? () => setColumns(columns.filter((other) => other !== id))
                    : undefined
                }
              />
            ))}
          </div>
          {conversation.turns.length === 0 && (
            <Empty title={t("playground.empty.title")} text={t("playground.empty.text")}>
              {known !== undefined && !known.some(isTuned) && (
                <p>
                  {t("playground.empty.noTuned")}{" "}
                  <AnchorLink to="/jobs/new">{t("playground.empty.train")}</AnchorLink>
                </p>
              )}
            </Empty>
          )}
          <Asker draft={draft} setDraft={setDraft} conversation={conversation} />
        </div>
      </div>
    </Page>
  );
}

interface AddModelProps {
  known: readonly Model[] | undefined;
  columns: readonly string[];
  setColumns: (next: readonly string[]) => void;
}

function AddModel({ known, columns, setColumns }: AddModelProps) {
  const { t } = useTranslation();
  const full = columns.length >= COLUMNS_MAX;
  const groups = (["tuned", "base"] as const).map((kind) => ({
    group: t(`playground.${kind}`),
    items: (known ?? [])
      .filter((model) => isTuned(model) === (kind === "tuned") && !columns.includes(model.id))
      .map((model) => model.id),
  }));
  return (
    <Select
      label={t("playground.addModel")}
      description={full ? t("playground.modelsMax") : undefined}
      placeholder={t("playground.models")}
      searchable
      disabled={full || known === undefined}
      data={groups}
      value={null}
      onChange={(id) => id !== null && setColumns([...columns, id])}
    />
  );
}

/** What the address names; else the newest tuned model beside its base, else the first base. */
function shownModels(known: readonly Model[] | undefined, chosen: string | undefined): string[] {
  const named = chosen?.split(",").filter(Boolean) ?? [];
  if (named.length > 0) return [...new Set(named)].slice(0, COLUMNS_MAX);
  const tuned = known?.find(isTuned);
  if (tuned !== undefined) return [tuned.base_model, tuned.id];
  const first = known?.[0];
  return first === undefined ? [] : [first.id];
}

export function isTuned(model: Model): model is Schemas["TunedModel"] {
  return model.owned_by === "you";
}
