// Admin: for whoever runs the service. The API refuses everybody else; so does this page, in words.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { useMe } from "../../client/session";
import { CodeButton } from "../../design/Copy";
import { Empty } from "../../design/Notes";
import { Page } from "../../design/Page";
import { PageTabs } from "../../design/PageTabs";
import { Panel } from "../../design/Panel";
import { Campaign } from "./Campaign";
import { Campaigns } from "./Campaigns";
import { Catalog } from "./Catalog";
import { Ledger } from "./Ledger";
import { Queue } from "./Queue";
import { adminSnippets } from "./snippets";
import { Tenant } from "./Tenant";
import { Tenants } from "./Tenants";

export function Admin() {
  const { t } = useTranslation();
  const { operator } = useMe();
  if (operator) return <Inside />;
  return (
    <Page title={t("admin.title")}>
      <Panel>
        <Empty title={t("admin.notYou.title")} text={t("admin.notYou.text")} />
      </Panel>
    </Page>
  );
}

function Inside() {
  const { t } = useTranslation();
  const { tab, tenant, campaign } = useSearch({ from: "/inside/admin" });
  const navigate = useNavigate();
  const parts = [
    {
      name: "tenants",
      label: t("admin.tabs.tenants"),
      content: () => (tenant === undefined ? <Tenants /> : <Tenant id={tenant} />),
    },
    {
      name: "campaigns",
      label: t("admin.tabs.campaigns"),
      content: () => (campaign === undefined ? <Campaigns /> : <Campaign id={campaign} />),
    },
    { name: "queue", label: t("admin.tabs.queue"), content: () => <Queue /> },
    { name: "catalog", label: t("admin.tabs.catalog"), content: () => <Catalog /> },
    { name: "ledger", label: t("admin.tabs.ledger"), content: () => <Ledger /> },
  ] as const;
  const open = tab ?? (campaign === undefined ? "tenants" : "campaigns");
  return (
    <Page
      title={t("admin.title")}
      wide
      actions={<CodeButton snippets={adminSnippets(open, window.location.origin)} />}
    >
      <PageTabs
        label={t("admin.title")}
        parts={parts}
        open={open}
        onOpen={(name) => void navigate({ to: "/admin", search: { tab: name } })}
      />
    </Page>
  );
}
