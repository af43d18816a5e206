// Voucher campaigns: what each gives, how far it has come, and whether it still does.

import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { day, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { CampaignMark } from "./CampaignMark";
import { type CampaignRow, campaignsQuery } from "./data";
import { NewCampaign } from "./NewCampaign";

export function Campaigns() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [making, { open, close }] = useDisclosure(false);
  const { data, error, refetch } = useQuery(campaignsQuery);
  const columns: Column<CampaignRow>[] = [
    {
      key: "name",
      head: t("admin.campaigns.name"),
      cell: (row) => (
        <>
          {row.name}
          <small>{t(`credits.kinds.${row.kind}`)}</small>
        </>
      ),
    },
    {
      key: "state",
      head: t("admin.campaigns.state"),
      cell: (row) => <CampaignMark campaign={row} />,
    },
    {
      key: "amount",
      head: t("admin.campaigns.amount"),
      align: "right",
      wide: true,
      cell: (row) => <Amount campaign={row} />,
    },
    {
      key: "redemptions",
      head: t("admin.campaigns.redemptions"),
      align: "right",
      cell: (row) => (
        <>
          {whole(row.redemptions)}
          {row.redemptions_max !== null && (
            <small>{t("admin.campaigns.of", { n: whole(row.redemptions_max) })}</small>
          )}
        </>
      ),
    },
    {
      key: "credits",
      head: t("admin.campaigns.credits"),
      align: "right",
      wide: true,
      cell: (row) => (
        <>
          <Money micro={row.credits} />
          {row.credits_max !== null && (
            <small>
              {t("settings.keys.of")} <Money micro={row.credits_max} />
            </small>
          )}
        </>
      ),
    },
    {
      key: "created",
      head: t("admin.campaigns.created"),
      align: "right",
      wide: true,
      cell: (row) => <span className="dim">{day(row.created_at)}</span>,
    },
  ];
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel
        title={t("admin.tabs.campaigns")}
        flush
        actions={
          <Button leftSection={<Plus size={16} />} onClick={open}>
            {t("admin.campaigns.new")}
          </Button>
        }
      >
        <Table
          label={t("admin.tabs.campaigns")}
          columns={columns}
          rows={data?.data}
          rowKey={(row) => row.id}
          onOpen={(row) =>
            void navigate({ to: "/admin", search: { tab: "campaigns", campaign: row.id } })
          }
        />
      </Panel>
      <NewCampaign opened={making} close={close} />
    </>
  );
}

/** Sign-up and referral credits take theirs from the service's settings. */
export function Amount({ campaign }: { campaign: CampaignRow }) {
  const { t } = useTranslation();
  if (campaign.amount === 0) return <span className="dim">{t("admin.campaigns.bySettings")}</span>;
  return <Money micro={campaign.amount} />;
}
