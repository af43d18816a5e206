// ⌘K: go anywhere and open anything by its name.

import { Modal, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../client/http";
import { useMe } from "../client/session";
import { chooseFile } from "../uploads/choose";
import css from "./Palette.module.css";

interface Entry {
  id: string;
  kind: string;
  name: string;
  detail?: string;
  open: () => void;
}

const SHOWN_MAX = 12;

export function Palette({ opened, close }: { opened: boolean; close: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal
      opened={opened}
      onClose={close}
      withCloseButton={false}
      padding={0}
      yOffset="12vh"
      centered={false}
      size="lg"
      attributes={{ content: { "aria-label": t("nav.find") } }}
    >
      {opened && <Finder close={close} />}
    </Modal>
  );
}

function Finder({ close }: { close: () => void }) {
  const { t } = useTranslation();
  const list = useId();
  const [words, setWords] = useState("");
  const [asked] = useDebouncedValue(words, 120);
  const [at, setAt] = useState(0);
  const entries = useEntries(longest(asked));
  const found = useMemo(() => matching(entries, words).slice(0, SHOWN_MAX), [entries, words]);
  const chosen = Math.min(at, found.length - 1);

  // biome-ignore lint/correctness/useExhaustiveDependencies: other words, another list: back to its top
  useEffect(() => setAt(0), [words]);

  const open = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    close();
    entry.open();
  };
  const pressed = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setAt((chosen + step + found.length) % Math.max(1, found.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      open(found[chosen]);
    }
  };
  return (
    <>
      <TextInput
        data-autofocus
        variant="unstyled"
        size="lg"
        px="md"
        role="combobox"
        aria-expanded
        aria-controls={list}
        aria-activedescendant={found[chosen] && `${list}-${found[chosen].id}`}
        aria-label={t("nav.find")}
        placeholder={t("palette.placeholder")}
        value={words}
        onChange={(event) => setWords(event.currentTarget.value)}
        onKeyDown={pressed}
      />
      <div id={list} role="listbox" className={css.list} aria-label={t("nav.find")}>
        {found.length === 0 && <p className={css.none}>{t("palette.none")}</p>}
        {found.map((entry, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys
          <div
            key={entry.id}
            id={`${list}-${entry.id}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            className={css.entry}
            onMouseMove={() => setAt(index)}
            onClick={() => open(entry)}
          >
            <span className="clip">{entry.name}</span>
            {entry.detail !== undefined && <small className="clip">{entry.detail}</small>}
            <small className={css.kind}>{entry.kind}</small>
          </div>
        ))}
      </div>
    </>
  );
}

function useEntries(words: string): Entry[] {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const me = useMe();
  const jobs = useQuery({
    queryKey: ["jobs", "palette", words],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/fine_tuning/jobs", {
          params: { query: { limit: 20, ...(words && { q: words }) } },
          signal,
        }),
      ),
  });
  const files = useQuery({
    queryKey: ["files", "palette"],
    queryFn: ({ signal }) =>
      ask(http.GET("/v1/files", { params: { query: { limit: 200 } }, signal })),
  });
  const models = useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => ask(http.GET("/v1/models", { signal })),
  });
  return useMemo(() => {
    const go = (to: string) => () => void navigate({ to });
    const places = ["datasets", "jobs", "models", "playground", "credits", "settings"] as const;
    return [
      { id: "act-new", kind: t("palette.act"), name: t("keys.newJob"), open: go("/jobs/new") },
      { id: "act-upload", kind: t("palette.act"), name: t("keys.upload"), open: chooseFile },
      ...places.map((place) => ({
        id: `place-${place}`,
        kind: t("palette.page"),
        name: t(`nav.${place}`),
        open: go(`/${place}`),
      })),
      ...(me.operator
        ? [{ id: "place-admin", kind: t("palette.page"), name: t("nav.admin"), open: go("/admin") }]
        : []),
      ...(jobs.data?.data ?? []).map((job) => ({
        id: job.id,
        kind: t("palette.job"),
        name: job.name ?? job.id,
        detail: `${job.model} · ${t(`codes.status.${job.status}`)}`,
        open: () => void navigate({ to: "/jobs/$jobId", params: { jobId: job.id } }),
      })),
      ...(files.data?.data ?? []).map((file) => ({
        id: file.id,
        kind: t("palette.dataset"),
        name: file.filename,
        detail: file.id,
        open: () => void navigate({ to: "/datasets/$fileId", params: { fileId: file.id } }),
      })),
      ...(models.data?.data ?? []).map((model) => ({
        id: `model-${model.id}`,
        kind: t("palette.model"),
        name: model.id,
        open: () => void navigate({ to: "/playground", search: { models: model.id } }),
      })),
    ];
  }, [t, navigate, me.operator, jobs.data, files.data, models.data]);
}

/** What the service looks for among jobs; the other words, a kind perhaps, are matched here. */
function longest(words: string): string {
  const parts = words.trim().split(/\s+/);
  return parts.reduce((most, part) => (part.length > most.length ? part : most), "");
}

/** Every word somewhere in the name, the detail or the kind. */
function matching(entries: readonly Entry[], words: string): Entry[] {
  const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
  return entries.filter((entry) => {
    const text = `${entry.name} ${entry.detail ?? ""} ${entry.kind} ${entry.id}`.toLowerCase();
    return parts.every((part) => text.includes(part));
  });
}
