// Settings: oneself, the team, its keys, where one is signed in, and how the portal looks.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { Page } from "../../design/Page";
import { PageTabs } from "../../design/PageTabs";
import { Keys } from "./Keys";
import { Look } from "./Look";
import { Members } from "./Members";
import { Profile } from "./Profile";
import { Sessions } from "./Sessions";

export function Settings() {
  const { t } = useTranslation();
  const { tab } = useSearch({ from: "/inside/settings" });
  const navigate = useNavigate();
  const parts = [
    { name: "profile", label: t("settings.tabs.profile"), content: () => <Profile /> },
    { name: "members", label: t("settings.tabs.members"), content: () => <Members /> },
    { name: "keys", label: t("settings.tabs.keys"), content: () => <Keys /> },
    { name: "sessions", label: t("settings.tabs.sessions"), content: () => <Sessions /> },
    { name: "look", label: t("settings.tabs.look"), content: () => <Look /> },
  ] as const;
  return (
    <Page title={t("settings.title")}>
      <PageTabs
        label={t("settings.title")}
        parts={parts}
        open={tab}
        onOpen={(name) =>
          void navigate({ to: "/settings", search: name === "profile" ? {} : { tab: name } })
        }
      />
    </Page>
  );
}
