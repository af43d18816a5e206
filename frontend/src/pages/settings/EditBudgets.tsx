// Changing what a key may spend from now on.

import { Button, Group, Modal } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient } from "../../client/session";
import { Refusal } from "../../design/Notes";
import { typedCredits } from "../../design/numbers";
import { Budgets, typedBudgets } from "./Budgets";
import css from "./Settings.module.css";

interface EditBudgetsProps {
  of: Schemas["ApiKey"];
  opened: boolean;
  close: () => void;
}

export function EditBudgets({ of: key, opened, close }: EditBudgetsProps) {
  const { t } = useTranslation();
  return (
    <Modal opened={opened} onClose={close} title={t("settings.keys.budgetsOf", { name: key.name })}>
      {opened && <Form of={key} close={close} />}
    </Modal>
  );
}

function Form({ of: key, close }: { of: Schemas["ApiKey"]; close: () => void }) {
  const { t } = useTranslation();
  const [budgets, setBudgets] = useState(() => ({
    ever: key.budget_credits === null ? "" : typedCredits(key.budget_credits),
    month: key.month_budget_credits === null ? "" : typedCredits(key.month_budget_credits),
  }));
  const wanted = typedBudgets(budgets);
  const save = useMutation({
    mutationFn: (body: Schemas["Budgets"]) =>
      ask(http.PATCH("/v1/api_keys/{key_id}", { params: { path: { key_id: key.id } }, body })),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["keys"] });
      close();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (wanted !== null) save.mutate(wanted);
  };
  return (
    <form className={css.column} onSubmit={submit}>
      <Budgets value={budgets} onChange={setBudgets} />
      <p className="dim">{t("settings.keys.budgetsCount")}</p>
      <Refusal error={save.error} />
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>
          {t("common.cancel")}
        </Button>
        <Button type="submit" disabled={wanted === null} loading={save.isPending}>
          {t("common.save")}
        </Button>
      </Group>
    </form>
  );
}
