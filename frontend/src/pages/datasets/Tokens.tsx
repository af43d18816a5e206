// The token view: one row exactly as a base model sees it, and what of it is learned.

import { ActionIcon, Button, NumberInput, Select, Switch } from "@mantine/core";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Refused, type Schemas } from "../../client/http";
import { Empty, Refusal } from "../../design/Notes";
import { percent, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Preview, previewQuery, type Report, useModels, useOtherEncoding } from "./data";
import { Marked } from "./Marked";
import type { Finding } from "./problems";
import { type Run, runsOf, visible } from "./runs";
import css from "./Tokens.module.css";
import { VerdictMark } from "./Verdicts";

/** So many lines are asked one by one for the next row; then the reader is told. */
const SEEK_MAX = 24;
const AGAIN_MS = 1_000;

interface TokensProps {
  report: Report;
  encoding: boolean;
}

export function Tokens({ report, encoding }: TokensProps) {
  const { t } = useTranslation();
  const { model } = useSearch({ from: "/inside/datasets/$fileId" });
  const usual = report.encoding?.recipe.type === "file" ? report.encoding.recipe.base_model : null;
  const other = model !== undefined && model !== usual ? model : null;
  const quote = useOtherEncoding(report.file_id, other);
  const id = other === null ? readyId(report) : (quote.data?.encoding_id ?? null);
  const preparing = other === null ? encoding : quote.data?.status === "preparing";
  const refused = other === null ? null : refusalOf(quote.data?.error ?? null);
  const fault = report.encoding?.status === "failed" && other === null;
  return (
    <Panel
      title={t("datasets.view.title")}
      actions={<BaseModel value={model ?? usual} usual={usual} />}
    >
      <Refusal error={quote.error ?? refused} retry={() => void quote.refetch()} />
      {fault && <p role="alert">{report.encoding?.report?.fault}</p>}
      {id === null ? (
        !fault &&
        refused === null &&
        quote.error === null && (
          <div className={css.preparing} role="status">
            {preparing || quote.isFetching ? t("datasets.counting") : t("common.loading")}
          </div>
        )
      ) : (
        <Row report={report} encodingId={id} />
      )}
    </Panel>
  );
}

function readyId({ encoding }: Report): string | null {
  return encoding?.status === "ready" ? encoding.id : null;
}

function refusalOf(error: Schemas["ErrorDetail"] | null): Refused | null {
  return error && new Refused(error.message, 400, error.code, error.param, null);
}

function BaseModel({ value, usual }: { value: string | null; usual: string | null }) {
  const { t } = useTranslation();
  const navigate = useNavigate({ from: "/datasets/$fileId" });
  const models = useModels();
  const bases = models.data?.data.filter(({ owned_by }) => owned_by === "tunery") ?? [];
  const names = new Map(bases.map((base) => [base.id, "name" in base ? base.name : base.id]));
  if (value !== null && !names.has(value)) names.set(value, value);
  return (
    <Select
      aria-label={t("datasets.view.model")}
      className={css.model}
      value={value}
      data={[...names].map(([id, name]) => ({ value: id, label: name ?? id }))}
      onChange={(chosen) =>
        void navigate({
          search: ({ model: _, ...now }) =>
            chosen === null || chosen === usual ? now : { ...now, model: chosen },
          replace: true,
        })
      }
    />
  );
}

// -- one row ---------------------------------------------------------------------------------------

function Row({ report, encodingId }: { report: Report; encodingId: string }) {
  const { t } = useTranslation();
  const search = useSearch({ from: "/inside/datasets/$fileId" });
  const navigate = useNavigate({ from: "/datasets/$fileId" });
  const asked = lineOf(search.line);
  const fileId = report.file_id;
  const preview = useQuery({
    ...previewQuery(fileId, asked, encodingId),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (isPreparing(state.error) ? AGAIN_MS : false),
  });
  const missing = isMissing(preview.error);
  const shown = missing ? undefined : preview.data;
  const line = asked ?? shown?.line ?? 1;
  const goTo = useCallback(
    (to: number) =>
      void navigate({ search: (now) => ({ ...now, line: String(to) }), replace: true }),
    [navigate],
  );
  const seek = useSeek(fileId, encodingId, goTo);

  // A row knows its neighbours; from a line without a row they are looked for.
  const known = preview.isPlaceholderData ? undefined : shown;
  const step = useCallback(
    (by: 1 | -1) => {
      if (known === undefined) {
        if (missing) void seek.from(line, by);
        return;
      }
      const to = by === 1 ? known.next_line : known.previous_line;
      if (to !== null) goTo(to);
    },
    [known, missing, line, seek.from, goTo],
  );
  useArrows(step);

  const [spaces, setSpaces] = useState(false);
  const [edges, setEdges] = useState(false);
  return (
    <>
      <div className={css.bar}>
        <div className={css.walk}>
          <ActionIcon
            variant="default"
            size={36}
            aria-label={t("datasets.view.previous")}
            disabled={shown ? shown.previous_line === null : line <= 1}
            onClick={() => step(-1)}
          >
            <ChevronLeft size={16} />
          </ActionIcon>
          <LineField key={line} line={line} goTo={goTo} />
          <ActionIcon
            variant="default"
            size={36}
            aria-label={t("datasets.view.next")}
            disabled={shown?.next_line === null}
            onClick={() => step(1)}
          >
            <ChevronRight size={16} />
          </ActionIcon>
          <span className={css.keys}>
            <kbd>←</kbd> <kbd>→</kbd>
          </span>
        </div>
        <div className={css.switches}>
          <Switch
            size="xs"
            label={t("datasets.view.spaces")}
            checked={spaces}
            onChange={(event) => setSpaces(event.currentTarget.checked)}
          />
          <Switch
            size="xs"
            label={t("datasets.view.edges")}
            checked={edges}
            onChange={(event) => setEdges(event.currentTarget.checked)}
          />
        </div>
      </div>
      <p className={css.said} role="status">
        {seek.state !== null && t(`datasets.view.${seek.state}`)}
      </p>
      {missing && <LeftOut report={report} line={line} next={() => step(1)} />}
      {!missing && !isPreparing(preview.error) && (
        <Refusal error={preview.error} retry={() => void preview.refetch()} />
      )}
      {isPreparing(preview.error) && (
        <div className={css.preparing} role="status">
          {t("datasets.counting")}
        </div>
      )}
      {shown !== undefined && <Sequences preview={shown} spaces={spaces} edges={edges} />}
      {shown === undefined && preview.isPending && <div className={css.preparing} />}
      <Legend />
    </>
  );
}

type Sought = "seeking" | "noNext" | "noPrevious";

/** Line by line to the nearest row: what was left out has no neighbours. */
function useSeek(fileId: string, encodingId: string, goTo: (line: number) => void) {
  const cache = useQueryClient();
  const [state, setState] = useState<Sought | null>(null);
  const latest = useRef(0);
  const from = useCallback(
    async (line: number, by: 1 | -1) => {
      latest.current += 1;
      const mine = latest.current;
      setState("seeking");
      for (let at = line + by; at >= 1 && Math.abs(at - line) <= SEEK_MAX; at += by) {
        const found = await isThere(() => cache.fetchQuery(previewQuery(fileId, at, encodingId)));
        if (mine !== latest.current) return;
        if (found) {
          setState(null);
          goTo(at);
          return;
        }
      }
      setState(by === 1 ? "noNext" : "noPrevious");
    },
    [cache, fileId, encodingId, goTo],
  );
  return { from, state };
}

/** ← and → go through the rows, wherever the focus is, unless it is where arrows mean something. */
function useArrows(step: (by: 1 | -1) => void) {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.metaKey || event.ctrlKey || event.altKey || event.shiftKey) return;
      if (event.defaultPrevented || isTyping(event.target)) return;
      if (event.key === "ArrowRight") step(1);
      else if (event.key === "ArrowLeft") step(-1);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [step]);
}

function LineField({ line, goTo }: { line: number; goTo: (line: number) => void }) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState<number | string>(line);
  const go = () => {
    const to = Number(typed);
    if (Number.isInteger(to) && to >= 1 && to !== line) goTo(to);
  };
  return (
    <NumberInput
      aria-label={t("datasets.view.line")}
      leftSection={<span className={css.lineWord}>{t("datasets.view.lineWord")}</span>}
      leftSectionWidth={48}
      className={css.line}
      min={1}
      hideControls
      allowDecimal={false}
      allowNegative={false}
      value={typed}
      onChange={setTyped}
      onBlur={go}
      onKeyDown={(event) => event.key === "Enter" && go()}
    />
  );
}

function LeftOut({ report, line, next }: { report: Report; line: number; next: () => void }) {
  const { t } = useTranslation();
  const why = findingsOf(report, line);
  return (
    <Empty
      title={t("datasets.view.leftOut", { line: whole(line) })}
      text={
        why.length === 0 ? (
          t("datasets.view.leftOutText")
        ) : (
          <span className={css.why}>
            {why.map(({ code, verdict, message }) => (
              <span key={`${code} ${message}`}>
                <VerdictMark verdict={verdict} word={t(`codes.problems.${code}`)} />
                <Marked text={message} />
              </span>
            ))}
          </span>
        )
      }
    >
      <Button variant="default" onClick={next}>
        {t("datasets.view.next")}
      </Button>
      {why[0] !== undefined && (
        <Link
          className={css.link}
          to="/datasets/$fileId"
          params={{ fileId: report.file_id }}
          search={{ tab: "findings", code: why[0].code }}
        >
          {t("datasets.view.seeFindings")}
        </Link>
      )}
    </Empty>
  );
}

function findingsOf(report: Report, line: number): Finding[] {
  const found = [
    ...(report.encoding?.report?.problems ?? []),
    ...(report.report?.problems ?? []),
  ].filter((problem) => problem.line === line && problem.verdict !== "warned");
  return found.filter(
    (one, at) => found.findIndex(({ message }) => message === one.message) === at,
  );
}

interface SequencesProps {
  preview: Preview;
  spaces: boolean;
  edges: boolean;
}

function Sequences({ preview, spaces, edges }: SequencesProps) {
  const { t } = useTranslation();
  const { sequences } = preview;
  // A pair reads from the better answer to the worse one.
  const ordered = [...sequences].sort(
    (a, b) => Number(b.label === "chosen") - Number(a.label === "chosen"),
  );
  return (
    <>
      {preview.held_out && <p className={css.heldOut}>{t("datasets.view.heldOut")}</p>}
      <div className={ordered.length > 1 ? `${css.sides} ${css.two}` : css.sides}>
        {ordered.map((sequence, at) => {
          const key = `${preview.line} ${at}`;
          return <Side key={key} sequence={sequence} spaces={spaces} edges={edges} />;
        })}
      </div>
    </>
  );
}

interface SideProps {
  sequence: Preview["sequences"][number];
  spaces: boolean;
  edges: boolean;
}

function Side({ sequence, spaces, edges }: SideProps) {
  const { t } = useTranslation();
  const { tokens, supervised_tokens: learned } = sequence;
  const label = labelOf(sequence.label);
  const name = label === null ? t("datasets.view.text") : t(`datasets.view.labels.${label}`);
  return (
    <article className={css.side} aria-label={name}>
      <header className={css.sideHead}>
        {label !== null && (
          <span className={`${css.label} ${css[label]}`}>{t(`datasets.view.labels.${label}`)}</span>
        )}
        <span>{t("datasets.view.tokens", { n: whole(tokens.length) })}</span>
        <span>
          {t("datasets.view.learned", {
            n: whole(learned),
            share: percent(tokens.length === 0 ? 0 : learned / tokens.length),
          })}
        </span>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <div className={edges ? `${css.text} ${css.edges}` : css.text} tabIndex={0}>
        {runsOf(tokens).map((run) => (
          <RunText key={run.pieces[0]?.at} run={run} spaces={spaces} />
        ))}
      </div>
    </article>
  );
}

function RunText({ run, spaces }: { run: Run; spaces: boolean }) {
  const pieces = run.pieces.map(({ id, text, at }) => (
    <span key={at} title={`${at + 1} · id ${id}`} className={css.token}>
      {spaces && !run.control ? visible(text) : text}
    </span>
  ));
  if (run.control) {
    return (
      <span className={run.learned ? `${css.control} ${css.taught}` : css.control}>{pieces}</span>
    );
  }
  return run.learned ? <mark className={css.learned}>{pieces}</mark> : <span>{pieces}</span>;
}

function Legend() {
  const { t } = useTranslation();
  return (
    <ul className={css.legend}>
      <li>
        <mark className={css.learned}>{t("datasets.view.legend.learned")}</mark>
        {t("datasets.view.legend.learnedText")}
      </li>
      <li>
        <span className={css.dim}>{t("datasets.view.legend.context")}</span>
        {t("datasets.view.legend.contextText")}
      </li>
      <li>
        <span className={css.control}>{t("datasets.view.legend.control")}</span>
        {t("datasets.view.legend.controlText")}
      </li>
    </ul>
  );
}

// -- small -----------------------------------------------------------------------------------------

const LABELS = ["chosen", "rejected", "good", "bad"] as const;
type Label = (typeof LABELS)[number];

function labelOf(word: string | null): Label | null {
  return LABELS.find((label) => label === word) ?? null;
}

/** null: none was asked for, so the first row is meant. */
function lineOf(word: string | undefined): number | null {
  const line = Number(word);
  return Number.isInteger(line) && line >= 1 ? line : null;
}

function isPreparing(error: Error | null): boolean {
  return error instanceof Refused && error.code === "preparing";
}

function isMissing(error: Error | null): boolean {
  return error instanceof Refused && error.status === 404 && error.param === "line";
}

async function isThere(asked: () => Promise<unknown>): Promise<boolean> {
  try {
    await asked();
    return true;
  } catch (caught) {
    // Whatever else is wrong with that line, its own page says.
    return !isMissing(caught as Error);
  }
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    target.closest(
      "input, textarea, select, [contenteditable], [role=tab], [role=slider], [role=dialog]",
    ) !== null
  );
}
