// Every tenant in numbers; a row opens it.

import { Button, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../client/http";
import { Money } from "../../design/Money";
import { Empty, Refusal } from "../../design/Notes";
import { bytes, day, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import css from "./Admin.module.css";
import { tenantsQuery } from "./data";

type Row = Schemas["Tenant"];

export function Tenants() {
  const { t } = useTranslation();
  const { q = "" } = useSearch({ from: "/inside/admin" });
  const navigate = useNavigate();
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } =
    useInfiniteQuery(tenantsQuery);
  const all = data?.pages.flatMap((page) => page.data);
  const words = q.trim().toLowerCase();
  const found = all?.filter((row) =>
    [row.name, row.slug, row.id].some((text) => text.toLowerCase().includes(words)),
  );
  const search = (typed: string) =>
    void navigate({
      to: "/admin",
      search: { tab: "tenants", ...(typed !== "" && { q: typed }) },
      replace: true,
    });
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <TextInput
        data-search
        className={css.search ?? ""}
        aria-label={t("admin.tenants.search")}
        placeholder={t("admin.tenants.search")}
        leftSection={<Search size={14} aria-hidden="true" />}
        value={q}
        onChange={(event) => search(event.currentTarget.value)}
      />
      <Panel flush>
        {found?.length === 0 ? (
          <Empty title={t("admin.tenants.noneTitle")} text={t("admin.tenants.noneText")} />
        ) : (
          <TenantTable rows={found} />
        )}
        {hasNextPage && (
          <div className={css.foot}>
            <Button
              variant="default"
              loading={isFetchingNextPage}
              onClick={() => void fetchNextPage()}
            >
              {t("common.more")}
            </Button>
          </div>
        )}
      </Panel>
    </>
  );
}

function TenantTable({ rows }: { rows: readonly Row[] | undefined }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const money = (key: "available" | "held" | "spent", wide: boolean): Column<Row> => ({
    key,
    head: t(`admin.tenants.${key}`),
    align: "right",
    wide,
    cell: (row) => <Money micro={row[key]} />,
  });
  const columns: Column<Row>[] = [
    {
      key: "name",
      head: t("admin.tenants.name"),
      cell: (row) => (
        <>
          {row.name}
          <small className="mono">{row.slug}</small>
        </>
      ),
    },
    money("available", false),
    money("held", true),
    money("spent", true),
    {
      key: "jobs",
      head: t("admin.tenants.jobs"),
      align: "right",
      wide: true,
      cell: (row) => (
        <>
          {whole(row.jobs)}
          {row.running_jobs > 0 && (
            <small>{t("admin.tenants.running", { count: row.running_jobs })}</small>
          )}
        </>
      ),
    },
    {
      key: "members",
      head: t("admin.tenants.members"),
      align: "right",
      wide: true,
      cell: (row) => whole(row.members),
    },
    {
      key: "storage",
      head: t("admin.tenants.storage"),
      align: "right",
      wide: true,
      cell: (row) => bytes(row.storage_bytes),
    },
    {
      key: "limits",
      head: t("admin.tenants.ownLimits"),
      align: "right",
      wide: true,
      cell: (row) => whole(Object.keys(row.limits).length),
    },
    {
      key: "created",
      head: t("admin.tenants.since"),
      align: "right",
      wide: true,
      cell: (row) => <span className="dim">{day(row.created_at)}</span>,
    },
  ];
  return (
    <Table
      label={t("admin.tabs.tenants")}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.id}
      onOpen={(row) => void navigate({ to: "/admin", search: { tab: "tenants", tenant: row.id } })}
    />
  );
}
