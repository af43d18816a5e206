// Rows that a tuned model never trained on, one click from being asked.

import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { ChatMessage } from "../../client/chat";
import { ask, http, type Schemas } from "../../client/http";
import { Refusal } from "../../design/Notes";
import { modelName } from "../../design/names";
import css from "./Playground.module.css";
import type { Question } from "./useConversation";

interface HeldOutProps {
  model: Schemas["TunedModel"];
  send: (question: Question) => void;
  busy: boolean;
}

export function HeldOut({ model, send, busy }: HeldOutProps) {
  const { t } = useTranslation();
  const rows = useQuery({
    queryKey: ["held-out", model.job_id],
    queryFn: ({ signal }) =>
      ask(
        http.GET("/v1/fine_tuning/jobs/{job_id}/held_out", {
          params: { path: { job_id: model.job_id }, query: { limit: 50 } },
          signal,
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const questions = (rows.data?.data ?? []).flatMap((row) => {
    const question = questionOf(row.messages as ChatMessage[]);
    return question === null ? [] : [{ line: row.line, question }];
  });
  return (
    <section aria-label={t("playground.heldOut")}>
      <h2 style={{ fontSize: 14 }}>{t("playground.heldOut")}</h2>
      <p className="dim">
        {rows.data !== undefined && questions.length === 0
          ? t("playground.heldOutNone")
          : t("playground.heldOutText", { name: modelName(model.id) })}
      </p>
      <Refusal error={rows.error} retry={() => void rows.refetch()} />
      <div className={css.rows}>
        {questions.map(({ line, question }) => (
          <button
            key={line}
            type="button"
            className={css.row}
            disabled={busy}
            onClick={() => send(question)}
          >
            <span>{question.user}</span>
            <small>{t("playground.line", { line })}</small>
          </button>
        ))}
      </div>
    </section>
  );
}

/** A row as a question: all up to its last answer; null where it asks nothing. */
export function questionOf(messages: readonly ChatMessage[]): Question | null {
  const answer = messages.findLastIndex((message) => message.role === "assistant");
  const upTo = answer === -1 ? messages : messages.slice(0, answer);
  const last = upTo.at(-1);
  if (last === undefined || last.role !== "user") return null;
  const wanted = messages[answer]?.content;
  const before = upTo.slice(0, -1);
  return { user: last.content, before, ...(wanted === undefined ? {} : { wanted }) };
}
