// The balance, what it is made of, how to get more, and when to be told that it runs low.

import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CircleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { moment } from "../../design/numbers";
import { Figures, Panel } from "../../design/Panel";
import css from "./Credits.module.css";
import { type Balance, balanceQuery, modelsQuery } from "./data";
import { Grants } from "./Grants";
import { LowBalance } from "./LowBalance";
import { Redeem } from "./Redeem";

const HELD_POLL_MS = 5_000;

export function Overview() {
  const { t } = useTranslation();
  // What is held moves while jobs run.
  const { data, error, refetch } = useQuery({
    ...balanceQuery,
    refetchInterval: ({ state }) => (state.data?.held ? HELD_POLL_MS : false),
  });
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel title={t("credits.balance.title")}>
        <BalanceFigures balance={data} />
        {data?.low_balance && <Low balance={data} />}
      </Panel>
      <div className={css.pair}>
        <Redeem />
        <LowBalance balance={data} />
      </div>
      <Grants grants={data?.grants} />
      <Prices />
    </>
  );
}

function BalanceFigures({ balance }: { balance: Balance | undefined }) {
  const { t } = useTranslation();
  const figure = (micro: number | undefined) =>
    micro === undefined ? <Skeleton width={96} height={28} /> : <Money micro={micro} />;
  return (
    <Figures
      items={[
        {
          label: t("credits.balance.available"),
          value: figure(balance?.available),
          hint: t("credits.balance.availableHint"),
        },
        {
          label: t("credits.balance.held"),
          value: figure(balance?.held),
          hint: t("credits.balance.heldHint"),
        },
        {
          label: t("credits.balance.posted"),
          value: figure(balance?.posted),
          hint: t("credits.balance.postedHint"),
        },
      ]}
    />
  );
}

function Low({ balance }: { balance: Balance }) {
  const { t } = useTranslation();
  return (
    <p className={css.low} role="status">
      <CircleAlert size={16} aria-hidden="true" />
      {balance.low_balance_since === null
        ? t("credits.low.now")
        : t("credits.low.since", { when: moment(balance.low_balance_since) })}
    </p>
  );
}

/** How prices work, in two sentences, and the prices themselves. */
function Prices() {
  const { t } = useTranslation();
  const { data } = useQuery(modelsQuery);
  const bases = data?.data.filter((model) => model.owned_by === "tunery") ?? [];
  return (
    <Panel title={t("credits.prices.title")}>
      <p className={css.prose}>{t("credits.prices.text")}</p>
      <ul className={css.prices}>
        {bases.map((base) => (
          <li key={base.id}>
            <span>{base.name}</span>
            <span className="dim">
              <Money micro={base.credits_per_million_trained_tokens} unit />{" "}
              {t("credits.prices.perMillion")}
            </span>
          </li>
        ))}
      </ul>
      <AnchorLink to="/models" size="sm">
        {t("credits.prices.models")}
      </AnchorLink>
    </Panel>
  );
}
