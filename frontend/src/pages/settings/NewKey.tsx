// Making a key: its name and budgets, then the secret, once.

import { Button, Group, Modal, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient } from "../../client/session";
import { Command } from "../../design/Copy";
import { Refusal } from "../../design/Notes";
import { Budgets, type TypedBudgets, typedBudgets } from "./Budgets";
import css from "./Settings.module.css";

export function NewKey({ opened, close }: { opened: boolean; close: () => void }) {
  const { t } = useTranslation();
  const [made, setMade] = useState<Schemas["NewApiKey"] | null>(null);
  const end = () => {
    setMade(null);
    close();
  };
  // The secret is gone once this closes: only its button does that.
  return (
    <Modal
      opened={opened}
      onClose={end}
      title={made === null ? t("settings.keys.new") : t("settings.keys.madeTitle", made)}
      closeOnClickOutside={made === null}
      closeOnEscape={made === null}
    >
      {opened && (made === null ? <Form done={setMade} /> : <Made secret={made.key} end={end} />)}
    </Modal>
  );
}

function Form({ done }: { done: (key: Schemas["NewApiKey"]) => void }) {
  const { t } = useTranslation();
  const [name, setName] = useState("");
  const [budgets, setBudgets] = useState<TypedBudgets>({ ever: "", month: "" });
  const wanted = typedBudgets(budgets);
  const make = useMutation({
    mutationFn: (body: Schemas["NewKey"]) => ask(http.POST("/v1/api_keys", { body })),
    onSuccess: async (key) => {
      await queryClient.invalidateQueries({ queryKey: ["keys"] });
      done(key);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (wanted !== null) make.mutate({ name, ...wanted });
  };
  return (
    <form className={css.column} onSubmit={submit}>
      <TextInput
        label={t("settings.keys.name")}
        description={t("settings.keys.nameHint")}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        maxLength={80}
        required
        withAsterisk={false}
        data-autofocus
        autoComplete="off"
      />
      <Budgets value={budgets} onChange={setBudgets} />
      <Refusal error={make.error} />
      <Group justify="flex-end">
        <Button type="submit" disabled={wanted === null} loading={make.isPending}>
          {t("settings.keys.make")}
        </Button>
      </Group>
    </form>
  );
}

function Made({ secret, end }: { secret: string; end: () => void }) {
  const { t } = useTranslation();
  return (
    <div className={css.column}>
      <p>{t("settings.keys.once")}</p>
      <Command text={secret} />
      <p className="dim">{t("settings.keys.export")}</p>
      <Command text={`export TUNERY_API_KEY=${secret}`} />
      <Group justify="flex-end">
        <Button onClick={end}>{t("settings.keys.kept")}</Button>
      </Group>
    </div>
  );
}
