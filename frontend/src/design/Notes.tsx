// What a page says when there is nothing yet, and when something was refused.

import { Button } from "@mantine/core";
import { CircleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Refused } from "../client/http";
import { language } from "../words";
import css from "./Notes.module.css";

/** An empty place teaches the one next step. */
export function Empty({
  title,
  text,
  children,
}: {
  title: string;
  text: ReactNode;
  children?: ReactNode;
}) {
  return (
    <div className={css.empty}>
      <h2>{title}</h2>
      <p>{text}</p>
      {children !== undefined && <div className={css.next}>{children}</div>}
    </div>
  );
}

/** What was refused, where, what to do, and the id to tell an operator. */
export function Refusal({ error, retry }: { error: Error | null; retry?: () => void }) {
  const { t } = useTranslation();
  const said = useRefusal(error);
  if (error === null || said === null) return null;
  const refused = error instanceof Refused ? error : null;
  return (
    <div className={css.refusal} role="alert">
      <CircleAlert size={16} aria-hidden="true" />
      <div>
        <p>{said.sentence}</p>
        {said.detail !== null && <p className="dim">{said.detail}</p>}
        {refused?.requestId && (
          <p className={css.request}>{t("common.request", { id: refused.requestId })}</p>
        )}
      </div>
      {retry !== undefined && (
        <Button variant="default" size="xs" onClick={retry}>
          {t("common.retry")}
        </Button>
      )}
    </div>
  );
}

/**
 * An error in the reader's language. The service's own sentence is in English and knows the names
 * and numbers; where the reader has another language it follows the words of the code.
 */
export function useRefusal(
  error: Error | null,
): { sentence: string; detail: string | null } | null {
  const { t } = useTranslation();
  if (error === null) return null;
  if (!(error instanceof Refused)) return { sentence: t("common.broken"), detail: error.message };
  if (error.status === 0) return { sentence: t("common.unreachable"), detail: null };
  if (error.message === "") {
    return { sentence: t("common.unexplained", { status: error.status }), detail: null };
  }
  if (language() === "en" || error.code === null) return { sentence: error.message, detail: null };
  return { sentence: t(`codes.errors.${error.code}`), detail: error.message };
}
