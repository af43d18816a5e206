// When the team is told that its credits run low. An owner chooses.

import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { refreshMe, useMe } from "../../client/session";
import { CreditsInput } from "../../design/CreditsInput";
import { Refusal } from "../../design/Notes";
import { microCredits, typedCredits } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import css from "./Credits.module.css";
import type { Balance } from "./data";

export function LowBalance({ balance }: { balance: Balance | undefined }) {
  const { t } = useTranslation();
  return (
    <Panel title={t("credits.low.title")}>
      {balance === undefined ? (
        <p className="dim">{t("common.loading")}</p>
      ) : (
        <Threshold key={balance.low_balance_threshold} now={balance.low_balance_threshold} />
      )}
    </Panel>
  );
}

function Threshold({ now }: { now: number }) {
  const { t } = useTranslation();
  const { role } = useMe();
  const [typed, setTyped] = useState(() => typedCredits(now));
  const save = useMutation({
    mutationFn: (threshold: number | null) =>
      ask(http.POST("/v1/credits/alert", { body: { threshold } })),
    onSuccess: refreshMe,
  });
  const chosen = microCredits(typed);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (chosen !== null) save.mutate(chosen);
  };
  if (role !== "owner") {
    return (
      <p className={css.prose}>
        {t("credits.low.says", { n: typedCredits(now) })} {t("credits.low.ownersOnly")}
      </p>
    );
  }
  return (
    <>
      <form className={css.form} onSubmit={submit}>
        <CreditsInput
          label={t("credits.low.threshold")}
          description={t("credits.low.hint")}
          value={typed}
          onChange={setTyped}
          zero
        />
        <Button
          type="submit"
          variant="default"
          disabled={chosen === null || chosen === now}
          loading={save.isPending}
        >
          {t("common.save")}
        </Button>
      </form>
      <div className={css.under}>
        <Button variant="subtle" size="compact-sm" onClick={() => save.mutate(null)}>
          {t("credits.low.default")}
        </Button>
        {save.isSuccess && (
          <span className="dim" role="status">
            {t("common.saved")}
          </span>
        )}
      </div>
      <Refusal error={save.error} />
    </>
  );
}
