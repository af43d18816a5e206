// Redeeming a voucher: any writing of the code counts, a typing error shows before it is sent.

import { Button, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { refreshMe } from "../../client/session";
import { Refusal } from "../../design/Notes";
import { credits, moment } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import css from "./Credits.module.css";
import { readVoucher } from "./voucher";

export function Redeem() {
  const { t } = useTranslation();
  const [typed, setTyped] = useState("");
  const read = readVoucher(typed);
  const redeem = useMutation({
    mutationFn: (code: string) => ask(http.POST("/v1/vouchers/redeem", { body: { code } })),
    onSuccess: () => {
      setTyped("");
      refreshMe();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    redeem.mutate(read.written);
  };
  const type = (next: string) => {
    setTyped(next);
    if (next !== "") redeem.reset();
  };
  return (
    <Panel title={t("credits.redeem.title")}>
      <form className={css.form} onSubmit={submit}>
        <TextInput
          label={t("credits.redeem.code")}
          description={t("credits.redeem.hint")}
          placeholder="TUN-XXXX-XXXX-XXXX-XXXX-X"
          classNames={{ input: css.code ?? "" }}
          value={typed}
          onChange={(event) => type(event.currentTarget.value)}
          onBlur={() => setTyped(read.written)}
          maxLength={60}
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          error={read.state === "mistyped" ? t("credits.redeem.mistyped") : null}
        />
        <Button type="submit" disabled={read.state !== "complete"} loading={redeem.isPending}>
          {t("credits.redeem.action")}
        </Button>
      </form>
      <Refusal error={redeem.error} />
      {redeem.data && <Given {...redeem.data} />}
    </Panel>
  );
}

function Given({
  amount,
  expires_at: until,
  again,
}: {
  amount: number;
  expires_at: number | null;
  again: boolean;
}) {
  const { t } = useTranslation();
  const n = credits(amount);
  const lasts =
    until === null
      ? t("credits.redeem.forGood")
      : t("credits.redeem.until", { when: moment(until) });
  return (
    <p className={again ? css.said : css.given} role="status">
      <CircleCheck size={16} aria-hidden="true" />
      <span>
        {again ? t("credits.redeem.again", { n }) : t("credits.redeem.given", { n })} {lasts}
      </span>
    </p>
  );
}
