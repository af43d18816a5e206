// One tenant: its totals, its grants, its limits; and the acts that move its credits.

import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { CopyButton } from "../../design/Copy";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { bytes, day, NONE, whole } from "../../design/numbers";
import { Figures, Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import css from "./Admin.module.css";
import { type TenantDetail, tenantQuery } from "./data";
import { LimitsEditor } from "./LimitsEditor";
import { MoveCredits } from "./MoveCredits";

export function Tenant({ id }: { id: string }) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(tenantQuery(id));
  return (
    <>
      <nav>
        <AnchorLink to="/admin" search={{ tab: "tenants" }} size="sm">
          {t("admin.tenant.back")}
        </AnchorLink>
      </nav>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel
        title={data?.name ?? t("common.loading")}
        actions={data && <MoveCredits tenant={data} />}
      >
        <p className={css.ids}>
          <code>{id}</code>
          <CopyButton text={id} />
          {data && <span className="dim">{data.slug}</span>}
        </p>
        <Totals tenant={data} />
      </Panel>
      <Grants tenant={data} />
      {data && <LimitsEditor key={`${id} ${JSON.stringify(data.limits)}`} tenant={data} />}
    </>
  );
}

function Totals({ tenant }: { tenant: TenantDetail | undefined }) {
  const { t } = useTranslation();
  const money = (micro: number | undefined) =>
    micro === undefined ? NONE : <Money micro={micro} />;
  return (
    <Figures
      items={[
        { label: t("admin.tenants.available"), value: money(tenant?.available) },
        { label: t("admin.tenants.held"), value: money(tenant?.held) },
        { label: t("admin.tenants.spent"), value: money(tenant?.spent) },
        { label: t("admin.tenants.refunded"), value: money(tenant?.refunded) },
        { label: t("admin.tenants.jobs"), value: whole(tenant?.jobs) },
        { label: t("admin.tenants.members"), value: whole(tenant?.members) },
        {
          label: t("admin.tenants.storage"),
          value: tenant === undefined ? NONE : bytes(tenant.storage_bytes),
        },
      ]}
    />
  );
}

function Grants({ tenant }: { tenant: TenantDetail | undefined }) {
  const { t } = useTranslation();
  const columns: Column<TenantDetail["grants"][number]>[] = [
    {
      key: "from",
      head: t("credits.grants.from"),
      cell: (grant) => (
        <>
          {t(`credits.kinds.${grant.kind}`)}
          <small>{grant.reason}</small>
        </>
      ),
    },
    {
      key: "granted",
      head: t("credits.grants.given"),
      align: "right",
      wide: true,
      cell: (grant) => <Money micro={grant.granted} />,
    },
    {
      key: "held",
      head: t("credits.balance.held"),
      align: "right",
      wide: true,
      cell: (grant) => (grant.held === 0 ? NONE : <Money micro={grant.held} />),
    },
    {
      key: "left",
      head: t("credits.grants.left"),
      align: "right",
      cell: (grant) => <Money micro={grant.left} />,
    },
    {
      key: "expires",
      head: t("credits.grants.expires"),
      align: "right",
      cell: (grant) =>
        grant.expires_at === null ? (
          <span className="dim">{t("credits.grants.never")}</span>
        ) : (
          day(grant.expires_at)
        ),
    },
  ];
  return (
    <Panel title={t("admin.tenant.grants")} flush>
      {tenant?.grants.length === 0 ? (
        <p className={css.note}>{t("admin.tenant.noGrants")}</p>
      ) : (
        <Table
          label={t("admin.tenant.grants")}
          columns={columns}
          rows={tenant?.grants}
          rowKey={(grant) => grant.id}
          maxHeight={420}
        />
      )}
    </Panel>
  );
}
