// A new campaign, every field with what it means. Only the name and the amount are needed.

import { Button, Checkbox, Group, Modal, NumberInput, TagsInput, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { CreditsInput } from "../../design/CreditsInput";
import { Refusal } from "../../design/Notes";
import { microCredits } from "../../design/numbers";
import { endOfDay, startOfDay } from "../credits/statement";
import css from "./Admin.module.css";
import { domains } from "./campaigns";
import { refreshAdmin } from "./data";

export function NewCampaign({ opened, close }: { opened: boolean; close: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal opened={opened} onClose={close} title={t("admin.campaigns.new")} size="xl">
      {opened && <Form close={close} />}
    </Modal>
  );
}

type Count = "days" | "redemptions_max" | "tenant_max" | "user_max" | "priority";

/** What is typed; the counts as numbers, undefined where there is no limit. */
interface Typed {
  name: string;
  amount: string;
  budget: string;
  starts: string;
  ends: string;
  counts: Record<Count, number | undefined>;
  firstOnly: boolean;
  domains: string[];
}

const BLANK: Typed = {
  name: "",
  amount: "",
  budget: "",
  starts: "",
  ends: "",
  counts: {
    days: undefined,
    redemptions_max: undefined,
    tenant_max: 1,
    user_max: undefined,
    priority: 50,
  },
  firstOnly: false,
  domains: [],
};

/** As the API takes it; null while it is not whole. */
function bodyOf(typed: Typed): Schemas["NewCampaign"] | null {
  const amount = microCredits(typed.amount);
  const budget = typed.budget.trim() === "" ? null : microCredits(typed.budget);
  if (typed.name.trim() === "" || amount === null || amount === 0) return null;
  if (typed.budget.trim() !== "" && budget === null) return null;
  const { days, redemptions_max, tenant_max, user_max, priority } = typed.counts;
  return {
    name: typed.name.trim(),
    amount,
    credits_max: budget,
    priority: priority ?? 50,
    days: days ?? null,
    redemptions_max: redemptions_max ?? null,
    tenant_max: tenant_max ?? 1,
    user_max: user_max ?? null,
    first_only: typed.firstOnly,
    email_domains: domains(typed.domains.join(" ")),
    starts_at: startOfDay(typed.starts),
    ends_at: endOfDay(typed.ends),
  };
}

function Form({ close }: { close: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [typed, setTyped] = useState(BLANK);
  const set = (next: Partial<Typed>) => setTyped({ ...typed, ...next });
  const body = bodyOf(typed);
  const make = useMutation({
    mutationFn: (wanted: Schemas["NewCampaign"]) =>
      ask(http.POST("/v1/admin/campaigns", { body: wanted })),
    onSuccess: async (campaign) => {
      await refreshAdmin();
      close();
      await navigate({ to: "/admin", search: { tab: "campaigns", campaign: campaign.id } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (body !== null) make.mutate(body);
  };
  const count = (name: Count) => (
    <NumberInput
      label={t(`admin.campaigns.fields.${name}`)}
      description={t(`admin.campaigns.hints.${name}`)}
      placeholder={t("credits.limits.none")}
      value={typed.counts[name] ?? ""}
      onChange={(value) =>
        set({
          counts: { ...typed.counts, [name]: typeof value === "number" ? value : undefined },
        })
      }
      min={name === "priority" ? 0 : 1}
      max={name === "priority" ? 1_000 : 2_147_483_647}
      allowDecimal={false}
      hideControls
    />
  );
  return (
    <form className={css.form} onSubmit={submit}>
      <div className={css.fields}>
        <TextInput
          label={t("admin.campaigns.name")}
          description={t("admin.campaigns.hints.name")}
          value={typed.name}
          onChange={(event) => set({ name: event.currentTarget.value })}
          maxLength={200}
          required
          withAsterisk={false}
          autoComplete="off"
          data-autofocus
        />
        <CreditsInput
          label={t("admin.campaigns.amount")}
          description={t("admin.campaigns.hints.amount")}
          value={typed.amount}
          onChange={(amount) => set({ amount })}
          required
        />
        <CreditsInput
          label={t("admin.campaigns.fields.credits_max")}
          description={t("admin.campaigns.hints.credits_max")}
          placeholder={t("credits.limits.none")}
          value={typed.budget}
          onChange={(budget) => set({ budget })}
        />
        {count("redemptions_max")}
        {count("tenant_max")}
        {count("user_max")}
        <TextInput
          type="date"
          label={t("admin.campaigns.fields.starts_at")}
          description={t("admin.campaigns.hints.starts_at")}
          value={typed.starts}
          onChange={(event) => set({ starts: event.currentTarget.value })}
        />
        <TextInput
          type="date"
          label={t("admin.campaigns.fields.ends_at")}
          description={t("admin.campaigns.hints.ends_at")}
          value={typed.ends}
          onChange={(event) => set({ ends: event.currentTarget.value })}
        />
        {count("days")}
        {count("priority")}
      </div>
      <TagsInput
        label={t("admin.campaigns.fields.email_domains")}
        description={t("admin.campaigns.hints.email_domains")}
        placeholder={typed.domains.length === 0 ? "example.org" : ""}
        value={typed.domains}
        onChange={(next) => set({ domains: next })}
        splitChars={[",", " ", ";"]}
        acceptValueOnBlur
      />
      <Checkbox
        label={t("admin.campaigns.fields.first_only")}
        description={t("admin.campaigns.hints.first_only")}
        checked={typed.firstOnly}
        onChange={(event) => set({ firstOnly: event.currentTarget.checked })}
      />
      <Refusal error={make.error} />
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>
          {t("common.cancel")}
        </Button>
        <Button type="submit" disabled={body === null} loading={make.isPending}>
          {t("admin.campaigns.make")}
        </Button>
      </Group>
    </form>
  );
}
