// One campaign: what came of it, its rules, its codes.

import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { Confirm } from "../../design/Confirm";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { moment, NONE, whole } from "../../design/numbers";
import { Facts, Figures, Panel } from "../../design/Panel";
import css from "./Admin.module.css";
import { CampaignMark } from "./CampaignMark";
import { Amount } from "./Campaigns";
import { Codes } from "./Codes";
import { campaignQuery, refreshAdmin } from "./data";

type Detail = Schemas["CampaignDetail"];

export function Campaign({ id }: { id: string }) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(campaignQuery(id));
  return (
    <>
      <nav>
        <AnchorLink to="/admin" search={{ tab: "campaigns" }} size="sm">
          {t("admin.campaign.back")}
        </AnchorLink>
      </nav>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel
        title={data?.name ?? t("common.loading")}
        actions={
          data && (
            <>
              <CampaignMark campaign={data} />
              {data.revoked_at === null && <Revoke campaign={data} />}
            </>
          )
        }
      >
        <Came campaign={data} />
      </Panel>
      {data && (
        <div className={css.pair}>
          {data.kind === "voucher" ? (
            <Codes campaign={data} />
          ) : (
            <Panel title={t("admin.codes.title")}>
              <p className="dim">{t("admin.codes.builtIn")}</p>
            </Panel>
          )}
          <Rules campaign={data} />
        </div>
      )}
    </>
  );
}

function Came({ campaign }: { campaign: Detail | undefined }) {
  const { t } = useTranslation();
  const came = campaign?.performance;
  const money = (micro: number | undefined) =>
    micro === undefined ? NONE : <Money micro={micro} />;
  return (
    <Figures
      items={[
        { label: t("admin.campaign.codes"), value: whole(came?.codes) },
        { label: t("admin.campaign.codesUsed"), value: whole(came?.codes_used) },
        { label: t("admin.campaigns.redemptions"), value: whole(came?.redemptions) },
        { label: t("admin.campaign.tenants"), value: whole(came?.tenants) },
        {
          label: t("admin.campaign.firstJobs"),
          value: whole(came?.first_jobs),
          hint: t("admin.campaign.firstJobsHint"),
        },
        { label: t("admin.campaign.granted"), value: money(came?.granted) },
        { label: t("admin.campaign.spent"), value: money(came?.spent) },
        { label: t("admin.campaign.left"), value: money(came?.left) },
      ]}
    />
  );
}

function Rules({ campaign }: { campaign: Detail }) {
  const { t } = useTranslation();
  const none = <span className="dim">{t("credits.limits.none")}</span>;
  const count = (value: number | null) => (value === null ? none : whole(value));
  const date = (at: number | null) => (at === null ? none : moment(at));
  const rows: (readonly [string, ReactNode])[] = [
    [t("admin.campaigns.amount"), <Amount key="amount" campaign={campaign} />],
    [
      t("admin.campaigns.fields.credits_max"),
      campaign.credits_max === null ? none : <Money key="max" micro={campaign.credits_max} />,
    ],
    [t("admin.campaigns.fields.redemptions_max"), count(campaign.redemptions_max)],
    [t("admin.campaigns.fields.tenant_max"), count(campaign.tenant_max)],
    [t("admin.campaigns.fields.user_max"), count(campaign.user_max)],
    [t("admin.campaigns.fields.starts_at"), date(campaign.starts_at)],
    [t("admin.campaigns.fields.ends_at"), date(campaign.ends_at)],
    [t("admin.campaigns.fields.days"), count(campaign.days)],
    [t("admin.campaigns.fields.priority"), whole(campaign.priority)],
    [
      t("admin.campaigns.fields.email_domains"),
      campaign.email_domains.length === 0 ? none : campaign.email_domains.join(", "),
    ],
    [
      t("admin.campaigns.fields.first_only"),
      t(campaign.first_only ? "admin.campaign.yes" : "admin.campaign.no"),
    ],
  ];
  return (
    <Panel title={t("admin.campaign.rules")}>
      <Facts rows={rows} />
    </Panel>
  );
}

function Revoke({ campaign }: { campaign: Detail }) {
  const { t } = useTranslation();
  const [asking, { open, close }] = useDisclosure(false);
  const revoke = async () => {
    const path = { campaign_id: campaign.id };
    await ask(http.POST("/v1/admin/campaigns/{campaign_id}/revoke", { params: { path } }));
    await refreshAdmin();
  };
  return (
    <>
      <Button variant="default" onClick={open}>
        {t("admin.campaign.revoke")}
      </Button>
      <Confirm
        opened={asking}
        close={close}
        title={t("admin.campaign.revokeTitle", { name: campaign.name })}
        action={t("admin.campaign.revoke")}
        act={revoke}
      >
        {t("admin.campaign.revokeText")}
      </Confirm>
    </>
  );
}
