// One model's side of the conversation.

import { ActionIcon } from "@mantine/core";
import { X } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Refusal } from "../../design/Notes";
import { modelName } from "../../design/names";
import { decimal, whole } from "../../design/numbers";
import { isTuned, type Model } from "./Playground";
import css from "./Playground.module.css";
import type { Answer, Turn } from "./useConversation";

interface ColumnProps {
  id: string;
  model: Model | undefined;
  turns: readonly Turn[];
  remove: (() => void) | undefined;
}

export function Column({ id, model, turns, remove }: ColumnProps) {
  const { t } = useTranslation();
  const tuned = model !== undefined && isTuned(model);
  return (
    <section className={css.column} aria-label={id}>
      <header className={css.head}>
        <h2 title={id}>{modelName(id)}</h2>
        <span className={css.kind} data-tuned={tuned}>
          {t(tuned ? "playground.tuned" : "playground.base")}
        </span>
        {remove !== undefined && (
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t("playground.removeModel", { model: id })}
            onClick={remove}
          >
            <X size={16} />
          </ActionIcon>
        )}
      </header>
      {turns.length > 0 && (
        <div className={css.turns}>
          {turns.map((turn) => (
            <div key={turn.id}>
              <p className={css.said}>
                <span className="unseen">{t("playground.you")}: </span>
                {turn.user}
              </p>
              <Said answer={turn.answers[id]} />
              {turn.wanted !== null && (
                <p className={css.wanted}>
                  <b>{t("playground.wanted")}</b>
                  {turn.wanted}
                </p>
              )}
            </div>
          ))}
        </div>
      )}
    </section>
  );
}

function Said({ answer }: { answer: Answer | undefined }) {
  const { t } = useTranslation();
  if (answer === undefined) return null;
  const busy = answer.state === "waiting" || answer.state === "coming";
  return (
    <div style={{ marginTop: 12 }}>
      <p className={css.answer} aria-busy={busy} aria-live="polite">
        {answer.text}
        {answer.state === "waiting" && <span className="dim">{t("playground.waiting")}</span>}
      </p>
      <Refusal error={answer.error} />
      <Figures answer={answer} />
    </div>
  );
}

function Figures({ answer }: { answer: Answer }) {
  const { t } = useTranslation();
  if (answer.state === "stopped") return <p className={css.figures}>{t("playground.stopped")}</p>;
  if (answer.end === null || answer.seconds === null) return null;
  const tokens = answer.end.completionTokens;
  return (
    <p className={css.figures}>
      {t("playground.figures", {
        tokens: whole(tokens),
        seconds: decimal(answer.seconds, 1),
        speed: decimal(tokens / Math.max(answer.seconds, 0.001), 1),
      })}
      {answer.end.finishReason === "length" &&
        ` · ${t("playground.cut", { tokens: whole(tokens) })}`}
    </p>
  );
}
