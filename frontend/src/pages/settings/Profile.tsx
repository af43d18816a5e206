// Who I am, in which team, and my password.

import { Button, Select } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useRef } from "react";
import { useTranslation } from "react-i18next";
import { ask, http } from "../../client/http";
import { queryClient, switchTenant, useMe } from "../../client/session";
import { Refusal } from "../../design/Notes";
import { Facts, Panel } from "../../design/Panel";
import { Password } from "../../design/Password";
import css from "./Settings.module.css";

export function Profile() {
  const { t } = useTranslation();
  const me = useMe();
  return (
    <div className={css.pair}>
      <Panel title={t("settings.profile.title")}>
        <Facts
          rows={[
            [t("settings.profile.email"), me.user.email],
            [t("settings.profile.team"), me.tenant.name],
            [t("settings.profile.role"), t(`settings.roles.${me.role}`)],
            [t("settings.profile.slug"), <code key="slug">{me.tenant.slug}</code>],
          ]}
        />
        {me.tenants.length > 1 && <Teams />}
      </Panel>
      <ChangePassword />
    </div>
  );
}

/** For who belongs to several teams. */
function Teams() {
  const { t } = useTranslation();
  const me = useMe();
  const change = useMutation({ mutationFn: switchTenant });
  return (
    <div className={css.teams}>
      <Select
        label={t("settings.profile.switch")}
        description={t("settings.profile.switchHint")}
        value={me.tenant.id}
        data={me.tenants.map((tenant) => ({ value: tenant.id, label: tenant.name }))}
        disabled={change.isPending}
        onChange={(chosen) => chosen !== null && change.mutate(chosen)}
      />
      <Refusal error={change.error} />
    </div>
  );
}

function ChangePassword() {
  const { t } = useTranslation();
  const form = useRef<HTMLFormElement>(null);
  const me = useMe();
  const change = useMutation({
    mutationFn: (body: { current: string; new: string }) =>
      ask(http.POST("/v1/auth/password", { body })),
    onSuccess: async () => {
      form.current?.reset();
      await queryClient.invalidateQueries({ queryKey: ["sessions"] });
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget);
    change.mutate({ current: String(typed.get("current")), new: String(typed.get("new")) });
  };
  return (
    <Panel title={t("settings.password.title")}>
      <form ref={form} className={css.column} onSubmit={submit}>
        {/* Password managers need to know whose password this is. */}
        <input type="hidden" name="username" autoComplete="username" value={me.user.email} />
        <Password
          name="current"
          label={t("settings.password.current")}
          autoComplete="current-password"
          required
          withAsterisk={false}
        />
        <Password
          name="new"
          label={t("settings.password.new")}
          description={t("door.passwordHint")}
          autoComplete="new-password"
          minLength={12}
          maxLength={256}
          required
          withAsterisk={false}
        />
        <Refusal error={change.error} />
        <div className={css.acts}>
          <Button type="submit" loading={change.isPending}>
            {t("settings.password.action")}
          </Button>
          {change.data && (
            <span className="tone-good" role="status">
              {t("settings.password.done", { count: change.data.ended })}
            </span>
          )}
        </div>
      </form>
    </Panel>
  );
}
