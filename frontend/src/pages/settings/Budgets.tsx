// The two budgets of a key, as typed. Empty is no limit.

import { useTranslation } from "react-i18next";
import { CreditsInput } from "../../design/CreditsInput";
import { microCredits } from "../../design/numbers";

export interface TypedBudgets {
  ever: string;
  month: string;
}

interface BudgetsProps {
  value: TypedBudgets;
  onChange: (value: TypedBudgets) => void;
}

export function Budgets({ value, onChange }: BudgetsProps) {
  const { t } = useTranslation();
  return (
    <>
      <CreditsInput
        label={t("settings.keys.monthBudget")}
        description={t("settings.keys.monthBudgetHint")}
        placeholder={t("credits.limits.none")}
        value={value.month}
        onChange={(month) => onChange({ ...value, month })}
        zero
      />
      <CreditsInput
        label={t("settings.keys.everBudget")}
        description={t("settings.keys.everBudgetHint")}
        placeholder={t("credits.limits.none")}
        value={value.ever}
        onChange={(ever) => onChange({ ...value, ever })}
        zero
      />
    </>
  );
}

/** As the API takes them; null where one is no amount. */
export function typedBudgets(
  typed: TypedBudgets,
): { budget_credits: number | null; month_budget_credits: number | null } | null {
  const ever = amountOrNone(typed.ever);
  const month = amountOrNone(typed.month);
  if (ever === undefined || month === undefined) return null;
  return { budget_credits: ever, month_budget_credits: month };
}

/** null: no limit; undefined: not an amount. */
function amountOrNone(typed: string): number | null | undefined {
  return typed.trim() === "" ? null : (microCredits(typed) ?? undefined);
}
