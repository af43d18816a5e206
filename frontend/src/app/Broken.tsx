import type { ErrorComponentProps } from "@tanstack/react-router";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { AnchorLink } from "../design/links";
import { Empty, Refusal } from "../design/Notes";

export function Lost() {
  const { t } = useTranslation();
  useEffect(() => {
    document.title = `${t("common.lost.title")} · Tunery`;
  }, [t]);
  return (
    <Empty title={t("common.lost.title")} text={t("common.lost.text")}>
      <AnchorLink to="/jobs">{t("common.lost.next")}</AnchorLink>
    </Empty>
  );
}

export function Broken({ error, reset }: ErrorComponentProps) {
  return (
    <div style={{ maxWidth: 640, margin: "15vh auto", padding: 16 }}>
      <Refusal error={error instanceof Error ? error : new Error(String(error))} retry={reset} />
    </div>
  );
}
