// Credits: what there is, every entry of the books, where they went, and the limits.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { CodeButton } from "../../design/Copy";
import { Page } from "../../design/Page";
import { PageTabs } from "../../design/PageTabs";
import { Limits } from "./Limits";
import { Overview } from "./Overview";
import { Statement } from "./Statement";
import { snippets } from "./snippets";
import { Usage } from "./Usage";

export function Credits() {
  const { t } = useTranslation();
  const { tab } = useSearch({ from: "/inside/credits" });
  const navigate = useNavigate();
  const parts = [
    { name: "overview", label: t("credits.tabs.overview"), content: () => <Overview /> },
    { name: "statement", label: t("credits.tabs.statement"), content: () => <Statement /> },
    { name: "usage", label: t("credits.tabs.usage"), content: () => <Usage /> },
    { name: "limits", label: t("credits.tabs.limits"), content: () => <Limits /> },
  ] as const;
  return (
    <Page
      title={t("credits.title")}
      actions={<CodeButton snippets={snippets(tab ?? "overview", window.location.origin)} />}
    >
      <PageTabs
        label={t("credits.title")}
        parts={parts}
        open={tab}
        onOpen={(name) =>
          void navigate({ to: "/credits", search: name === "overview" ? {} : { tab: name } })
        }
      />
    </Page>
  );
}
