// A campaign's codes: new ones are shown once; of the others only their uses are kept.

import { Button, NumberInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { Confirm } from "../../design/Confirm";
import { CopyButton } from "../../design/Copy";
import { Refusal } from "../../design/Notes";
import { day } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import css from "./Admin.module.css";
import { codesCsv } from "./campaigns";
import { type CampaignRow, codesQuery, refreshAdmin } from "./data";

type Code = Schemas["VoucherCode"];
type Clear = Schemas["ClearCode"];

const CODES_MAX = 10_000;

export function Codes({ campaign }: { campaign: CampaignRow }) {
  const { t } = useTranslation();
  const { data, error } = useQuery(codesQuery(campaign.id));
  return (
    <Panel title={t("admin.codes.title")} flush>
      <Refusal error={error} />
      {campaign.revoked_at === null && <Make campaign={campaign} />}
      {data?.data.length === 0 ? (
        <p className={css.note}>{t("admin.codes.none")}</p>
      ) : (
        <CodeTable codes={data?.data} />
      )}
    </Panel>
  );
}

function Make({ campaign }: { campaign: CampaignRow }) {
  const { t } = useTranslation();
  const [count, setCount] = useState<number | string>(10);
  const [uses, setUses] = useState<number | string>(1);
  const make = useMutation({
    mutationFn: (body: Schemas["NewCodes"]) =>
      ask(
        http.POST("/v1/admin/campaigns/{campaign_id}/codes", {
          params: { path: { campaign_id: campaign.id } },
          body,
        }),
      ),
    onSuccess: refreshAdmin,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate({ count: Number(count), max_redemptions: Number(uses) });
  };
  return (
    <div className={css.make}>
      <form className={css.line} onSubmit={submit}>
        <NumberInput
          label={t("admin.codes.count")}
          value={count}
          onChange={setCount}
          min={1}
          max={CODES_MAX}
          allowDecimal={false}
          w={120}
          hideControls
        />
        <NumberInput
          label={t("admin.codes.uses")}
          value={uses}
          onChange={setUses}
          min={1}
          max={2_147_483_647}
          allowDecimal={false}
          w={160}
          hideControls
        />
        <Button
          type="submit"
          disabled={!(Number(count) > 0 && Number(uses) > 0)}
          loading={make.isPending}
        >
          {t("admin.codes.make", { count: Number(count) || 0 })}
        </Button>
      </form>
      <Refusal error={make.error} />
      {make.data && <Made codes={make.data.data} name={campaign.name} end={make.reset} />}
    </div>
  );
}

/** Shown once: they are in no other answer. */
function Made({ codes, name, end }: { codes: readonly Clear[]; name: string; end: () => void }) {
  const { t } = useTranslation();
  const clear = codes.map(({ code }) => code).join("\n");
  const save = () => {
    const url = URL.createObjectURL(new Blob([codesCsv(codes)], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${name.replace(/[^\p{L}\p{N}]+/gu, "-")}-codes.csv`;
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <div className={css.once} role="status">
      <p>{t("admin.codes.once", { count: codes.length })}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre className={css.codes} tabIndex={0}>
        {clear}
      </pre>
      <div className={css.acts}>
        <CopyButton text={clear} label={t("admin.codes.copyAll")} />
        <Button variant="default" leftSection={<Download size={16} />} onClick={save}>
          {t("common.csv")}
        </Button>
        <Button variant="subtle" onClick={end}>
          {t("admin.codes.kept")}
        </Button>
      </div>
    </div>
  );
}

function CodeTable({ codes }: { codes: readonly Code[] | undefined }) {
  const { t } = useTranslation();
  const columns: Column<Code>[] = [
    {
      key: "id",
      head: t("admin.codes.id"),
      cell: (code) => <code className={css.id}>{code.id}</code>,
    },
    {
      key: "used",
      head: t("admin.codes.used"),
      align: "right",
      cell: (code) => t("admin.codes.usedOf", { used: code.redeemed, most: code.max_redemptions }),
    },
    {
      key: "made",
      head: t("admin.campaigns.created"),
      align: "right",
      wide: true,
      cell: (code) => <span className="dim">{day(code.created_at)}</span>,
    },
    {
      key: "act",
      head: <span className="unseen">{t("settings.acts")}</span>,
      align: "right",
      cell: (code) =>
        code.revoked_at === null ? (
          <RevokeCode code={code} />
        ) : (
          <span className="tone-bad">{t("admin.campaigns.states.revoked")}</span>
        ),
    },
  ];
  return (
    <Table
      label={t("admin.codes.title")}
      columns={columns}
      rows={codes}
      rowKey={(code) => code.id}
      maxHeight={480}
    />
  );
}

function RevokeCode({ code }: { code: Code }) {
  const { t } = useTranslation();
  const [asking, { open, close }] = useDisclosure(false);
  const revoke = async () => {
    await ask(
      http.POST("/v1/admin/codes/{code_id}/revoke", { params: { path: { code_id: code.id } } }),
    );
    await refreshAdmin();
  };
  return (
    <>
      <Button
        variant="subtle"
        color="red"
        size="compact-sm"
        onClick={open}
        aria-label={t("admin.codes.revokeName", { id: code.id })}
      >
        {t("settings.revoke")}
      </Button>
      {asking && (
        <Confirm
          opened
          close={close}
          title={t("admin.codes.revokeTitle", { id: code.id })}
          action={t("settings.revoke")}
          act={revoke}
        >
          {t("admin.codes.revokeText")}
        </Confirm>
      )}
    </>
  );
}
