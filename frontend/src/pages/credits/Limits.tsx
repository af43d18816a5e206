// What the team may use at most and what it uses now; the budgets of its keys.

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { AnchorLink } from "../../design/links";
import { Money } from "../../design/Money";
import { Refusal } from "../../design/Notes";
import { bytes, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { keysQuery, limitsQuery } from "./data";
import { Meter } from "./Meter";

export function Limits() {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(limitsQuery);
  const used = data?.used;
  const count = (n: number) => whole(n);
  const money = (micro: number) => <Money micro={micro} />;
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      <Panel title={t("credits.limits.spending")}>
        <Meter
          label={t("credits.limits.today")}
          used={used?.credits_today}
          most={data?.credits_per_day_max}
          show={money}
          zeroIsNone
        />
        <Meter
          label={t("credits.limits.month")}
          used={used?.credits_this_month}
          most={data?.credits_per_month_max}
          show={money}
          zeroIsNone
        />
        <p className="dim">{t("credits.limits.counts")}</p>
      </Panel>
      <Panel title={t("credits.limits.quotas")}>
        <Meter
          label={t("credits.limits.queued")}
          used={used?.queued_jobs}
          most={data?.queued_jobs_max}
          show={count}
        />
        <Meter
          label={t("credits.limits.running")}
          used={used?.running_jobs}
          most={data?.running_jobs_max}
          show={count}
        />
        <Meter
          label={t("credits.limits.storage")}
          used={used?.storage_bytes}
          most={data?.storage_bytes_max}
          show={bytes}
        />
        <Meter
          label={t("credits.limits.requests")}
          used={null}
          most={data?.requests_per_minute_max}
          show={count}
        />
        <p className="dim">{t("credits.limits.more")}</p>
      </Panel>
      <KeyBudgets show={money} />
    </>
  );
}

function KeyBudgets({ show }: { show: (micro: number) => ReactNode }) {
  const { t } = useTranslation();
  const { data } = useQuery(keysQuery);
  const budgeted = data?.data.filter(
    (key) => key.budget_credits !== null || key.month_budget_credits !== null,
  );
  return (
    <Panel
      title={t("credits.limits.keys")}
      actions={
        <AnchorLink to="/settings" search={{ tab: "keys" }} size="sm">
          {t("credits.limits.keysLink")}
        </AnchorLink>
      }
    >
      {budgeted?.length === 0 && (
        <p className="dim">
          {t("credits.limits.noKeysTitle")} {t("credits.limits.noKeysText")}
        </p>
      )}
      {budgeted?.map((key) => (
        <div key={key.id}>
          {key.budget_credits !== null && (
            <Meter
              label={t("credits.limits.keyEver", { name: key.name })}
              used={key.spent_credits}
              most={key.budget_credits}
              show={show}
            />
          )}
          {key.month_budget_credits !== null && (
            <Meter
              label={t("credits.limits.keyMonth", { name: key.name })}
              used={key.month_spent_credits}
              most={key.month_budget_credits}
              show={show}
            />
          )}
        </div>
      ))}
    </Panel>
  );
}
