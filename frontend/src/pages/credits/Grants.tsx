// What the balance is made of, in the order it is spent.

import { useTranslation } from "react-i18next";
import { Money } from "../../design/Money";
import { Empty } from "../../design/Notes";
import { ago, day, duration, moment, NONE } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import css from "./Credits.module.css";
import type { Grant } from "./data";

const SOON_SECONDS = 7 * 86_400;
/** Their kind says it all. */
const BUILT_IN: ReadonlySet<Grant["kind"]> = new Set<Grant["kind"]>(["sign_up", "referral"]);

export function Grants({ grants }: { grants: readonly Grant[] | undefined }) {
  const { t } = useTranslation();
  const now = useNow(60_000) / 1_000;
  const ordered = grants?.map((grant, index) => ({ ...grant, turn: index + 1 }));
  const columns: Column<Grant & { turn: number }>[] = [
    { key: "turn", head: t("credits.grants.turn"), cell: (grant) => grant.turn, width: 64 },
    {
      key: "from",
      head: t("credits.grants.from"),
      cell: (grant) => (
        <>
          {t(`credits.kinds.${grant.kind}`)}
          {!BUILT_IN.has(grant.kind) && <small>{grant.reason}</small>}
        </>
      ),
    },
    {
      key: "given",
      head: t("credits.grants.given"),
      align: "right",
      wide: true,
      cell: (grant) => (
        <>
          <Money micro={grant.granted} />
          <small>{day(grant.created_at)}</small>
        </>
      ),
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
      cell: (grant) => (
        <b>
          <Money micro={grant.left} />
        </b>
      ),
    },
    {
      key: "expires",
      head: t("credits.grants.expires"),
      align: "right",
      cell: (grant) => <Expiry grant={grant} now={now} />,
    },
  ];
  return (
    <Panel title={t("credits.grants.title")} flush>
      {grants?.length === 0 ? (
        <Empty title={t("credits.grants.emptyTitle")} text={t("credits.grants.emptyText")} />
      ) : (
        <>
          <p className={css.lead}>{t("credits.grants.order")}</p>
          <Table
            label={t("credits.grants.title")}
            columns={columns}
            rows={ordered}
            rowKey={(grant) => grant.id}
          />
        </>
      )}
    </Panel>
  );
}

function Expiry({ grant, now }: { grant: Grant; now: number }) {
  const { t } = useTranslation();
  if (grant.starts_at > now) {
    return <>{t("credits.grants.starts", { when: moment(grant.starts_at) })}</>;
  }
  if (grant.expires_at === null) return <span className="dim">{t("credits.grants.never")}</span>;
  const left = grant.expires_at - now;
  if (left <= 0) return <>{ago(grant.expires_at, now)}</>;
  return (
    <>
      <span className={left < SOON_SECONDS ? "tone-warn" : undefined}>{day(grant.expires_at)}</span>
      <small>{t("credits.grants.in", { duration: duration(left) })}</small>
    </>
  );
}
