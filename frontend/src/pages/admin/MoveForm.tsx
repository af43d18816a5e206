// What a grant, a refund or a correction needs.

import { Button, Group, Modal, Select, Textarea, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { CreditsInput } from "../../design/CreditsInput";
import { credits, microCredits } from "../../design/numbers";
import { endOfDay } from "../credits/statement";
import css from "./Admin.module.css";
import type { TenantDetail } from "./data";
import type { Move, MoveKind } from "./moves";

interface MoveFormProps {
  kind: MoveKind;
  tenant: TenantDetail;
  opened: boolean;
  /** While it is asked about: what was typed stays. */
  hidden: boolean;
  close: () => void;
  next: (move: Move) => void;
}

export function MoveForm(props: MoveFormProps) {
  const { t } = useTranslation();
  return (
    <Modal
      opened={props.opened && !props.hidden}
      keepMounted
      onClose={props.close}
      title={t(`admin.move.kinds.${props.kind}.form`, { name: props.tenant.name })}
    >
      {props.opened && <Form {...props} />}
    </Modal>
  );
}

function Form({ kind, tenant, close, next }: MoveFormProps) {
  const { t } = useTranslation();
  const [amount, setAmount] = useState("");
  const [reason, setReason] = useState("");
  const [source, setSource] = useState<"admin" | "purchase">("admin");
  const [until, setUntil] = useState("");
  const [subject, setSubject] = useState("");
  const [grant, setGrant] = useState<string | null>(null);
  const micro = microCredits(amount);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const given = { amount: micro ?? 0, reason: reason.trim() };
    if (kind === "grant") {
      next({ act: kind, ...given, kind: source, expires_at: endOfDay(until) });
    } else if (kind === "refund") next({ act: kind, ...given, subject: subject.trim() });
    else if (grant !== null) next({ act: kind, ...given, grant_id: grant });
  };
  const whole =
    micro !== null &&
    micro > 0 &&
    reason.trim() !== "" &&
    (kind !== "refund" || subject.trim() !== "") &&
    (kind !== "correction" || grant !== null);
  return (
    <form className={css.form} onSubmit={submit}>
      {kind === "refund" && (
        <TextInput
          label={t("admin.move.subject")}
          description={t("admin.move.subjectHint")}
          placeholder="ftjob-…"
          classNames={{ input: "mono" }}
          value={subject}
          onChange={(event) => setSubject(event.currentTarget.value)}
          autoComplete="off"
        />
      )}
      {kind === "correction" && (
        <Select
          label={t("admin.move.grant")}
          description={t("admin.move.grantHint")}
          value={grant}
          onChange={setGrant}
          data={tenant.grants
            .filter((each) => each.left > 0)
            .map((each) => ({
              value: each.id,
              label: t("admin.move.grantLeft", { reason: each.reason, n: credits(each.left) }),
            }))}
        />
      )}
      <CreditsInput label={t("admin.move.amount")} value={amount} onChange={setAmount} />
      {kind === "grant" && (
        <>
          <Select
            label={t("admin.move.source")}
            description={t("admin.move.sourceHint")}
            value={source}
            onChange={(chosen) => chosen !== null && setSource(chosen)}
            data={(["admin", "purchase"] as const).map((value) => ({
              value,
              label: t(`credits.kinds.${value}`),
            }))}
          />
          <TextInput
            type="date"
            label={t("admin.move.until")}
            description={t("admin.move.untilHint")}
            value={until}
            onChange={(event) => setUntil(event.currentTarget.value)}
          />
        </>
      )}
      <Textarea
        label={t("admin.move.reason")}
        description={t("admin.move.reasonHint")}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
        maxLength={200}
        autosize
      />
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>
          {t("common.cancel")}
        </Button>
        <Button type="submit" disabled={!whole}>
          {t("admin.move.next")}
        </Button>
      </Group>
    </form>
  );
}
