// The base models on offer and the price list, as the service reads them.

import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { bytes, compact, NONE, whole } from "../../design/numbers";
import { Figures, Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import css from "./Admin.module.css";

type Base = Schemas["CatalogModel"];
type Priced = { name: string; rates: Schemas["Rates"] };

/** Micro-credits a token are credits a million tokens. */
const PER_MILLION = 1_000_000;

export function Catalog() {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    queryKey: ["admin", "catalog"],
    queryFn: ({ signal }) => ask(http.GET("/v1/admin/catalog", { signal })),
  });
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel title={t("admin.catalog.models")} flush>
        <Bases rows={data?.data} first={data?.default_model} />
        <p className={css.note}>{t("admin.catalog.edit")}</p>
      </Panel>
      <Panel title={t("admin.catalog.prices")}>
        <Figures
          items={[
            { label: t("admin.catalog.version"), value: data?.price_version ?? NONE },
            {
              label: t("admin.catalog.minimum"),
              value: data === undefined ? NONE : <Money micro={data.minimum_charge} />,
            },
            ...Object.entries(data?.method_factors ?? {}).map(([method, factor]) => ({
              label: t("admin.catalog.factor", { method }),
              value: `× ${factor}`,
            })),
          ]}
        />
      </Panel>
      <Panel title={t("admin.catalog.classes")} flush>
        <Classes
          rows={data && Object.entries(data.rates).map(([name, rates]) => ({ name, rates }))}
        />
      </Panel>
    </>
  );
}

function Bases({ rows, first }: { rows: readonly Base[] | undefined; first: string | undefined }) {
  const { t } = useTranslation();
  const columns: Column<Base>[] = [
    {
      key: "name",
      head: t("models.name"),
      cell: (base) => (
        <>
          {base.name}
          {base.id === first && <span className="dim"> · {t("admin.catalog.default")}</span>}
          <small className="mono">{base.id}</small>
        </>
      ),
    },
    {
      key: "source",
      head: t("admin.catalog.source"),
      wide: true,
      cell: (base) => (
        <>
          <code className={css.id}>{base.source}</code>
          <small className="mono">{base.revision}</small>
        </>
      ),
    },
    {
      key: "licence",
      head: t("models.licence"),
      wide: true,
      cell: (base) => base.licence,
    },
    {
      key: "parameters",
      head: t("models.parameters"),
      align: "right",
      wide: true,
      cell: (base) => compact(base.parameters),
    },
    {
      key: "context",
      head: t("models.context"),
      align: "right",
      wide: true,
      cell: (base) => whole(base.context),
    },
    {
      key: "memory",
      head: t("admin.catalog.memory"),
      align: "right",
      wide: true,
      cell: (base) => (
        <>
          {bytes(base.memory.total)}
          {base.memory.fits === false && (
            <small className="tone-bad">{t("admin.catalog.doesNotFit")}</small>
          )}
        </>
      ),
    },
    {
      key: "class",
      head: t("admin.catalog.class"),
      align: "right",
      cell: (base) => base.price_class.toUpperCase(),
    },
    {
      key: "price",
      head: t("admin.catalog.train"),
      align: "right",
      cell: (base) => <Money micro={base.rates.train * PER_MILLION} />,
    },
  ];
  return (
    <Table
      label={t("admin.catalog.models")}
      columns={columns}
      rows={rows}
      rowKey={(base) => base.id}
    />
  );
}

function Classes({ rows }: { rows: readonly Priced[] | undefined }) {
  const { t } = useTranslation();
  const rate = (key: keyof Schemas["Rates"], head: string): Column<Priced> => ({
    key,
    head,
    align: "right",
    cell: (row) => <Money micro={row.rates[key] * PER_MILLION} />,
  });
  const columns: Column<Priced>[] = [
    { key: "name", head: t("admin.catalog.class"), cell: (row) => row.name.toUpperCase() },
    rate("train", t("admin.catalog.train")),
    rate("chat_prompt", t("admin.catalog.prompt")),
    rate("chat_completion", t("admin.catalog.completion")),
  ];
  return (
    <>
      <p className={css.lead}>{t("admin.catalog.perMillion")}</p>
      <Table
        label={t("admin.catalog.classes")}
        columns={columns}
        rows={rows}
        rowKey={(row) => row.name}
      />
    </>
  );
}
