// A tenant's limits: what holds, what it uses, and the operator's word instead of the service's.

import { Button, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { Refusal } from "../../design/Notes";
import { bytes, credits, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import css from "./Admin.module.css";
import { refreshAdmin, type TenantDetail } from "./data";
import { changedLimits, isCredits, LIMITS, type LimitName, readLimit, typedLimits } from "./limits";

const USED: Record<LimitName, keyof Schemas["Use"] | null> = {
  credits_per_day_max: "credits_today",
  credits_per_month_max: "credits_this_month",
  queued_jobs_max: "queued_jobs",
  running_jobs_max: "running_jobs",
  storage_bytes_max: "storage_bytes",
  requests_per_minute_max: null,
};

export function LimitsEditor({ tenant }: { tenant: TenantDetail }) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState(() => typedLimits(tenant.limits));
  const changed = changedLimits(typed, tenant.limits);
  const save = useMutation({
    mutationFn: (body: Schemas["Overrides"]) =>
      ask(
        http.POST("/v1/admin/tenants/{tenant_id}/limits", {
          params: { path: { tenant_id: tenant.id } },
          body,
        }),
      ),
    onSuccess: refreshAdmin,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed !== null) save.mutate(changed);
  };
  return (
    <Panel title={t("admin.limits.title")}>
      <form className={css.form} onSubmit={submit}>
        <p className="dim">{t("admin.limits.hint")}</p>
        <div className={css.fields}>
          {LIMITS.map((name) => (
            <Limit
              key={name}
              name={name}
              tenant={tenant}
              typed={typed[name]}
              onType={(text) => setTyped({ ...typed, [name]: text })}
            />
          ))}
        </div>
        <Refusal error={save.error} />
        <div className={css.acts}>
          <Button
            type="submit"
            disabled={changed === null || Object.keys(changed).length === 0}
            loading={save.isPending}
          >
            {t("admin.limits.save")}
          </Button>
          {save.isSuccess && (
            <span className="dim" role="status">
              {t("common.saved")}
            </span>
          )}
        </div>
      </form>
    </Panel>
  );
}

interface LimitProps {
  name: LimitName;
  tenant: TenantDetail;
  typed: string;
  onType: (text: string) => void;
}

function Limit({ name, tenant, typed, onType }: LimitProps) {
  const { t } = useTranslation();
  const counter = USED[name];
  const most = shown(name, tenant.effective_limits[name]);
  const free = isCredits(name) && tenant.effective_limits[name] === 0;
  const used = counter === null ? null : shown(name, tenant.used[counter]);
  const unit = name === "storage_bytes_max" ? "GB" : isCredits(name) ? t("nav.creditsUnit") : null;
  return (
    <TextInput
      label={t(`admin.limits.names.${name}`)}
      description={
        used === null
          ? t("admin.limits.holds", { most })
          : t(free ? "admin.limits.usesFreely" : "admin.limits.uses", { used, most })
      }
      placeholder={t("admin.limits.own")}
      value={typed}
      onChange={(event) => onType(event.currentTarget.value)}
      inputMode="decimal"
      autoComplete="off"
      error={readLimit(name, typed) === undefined ? t("admin.limits.wrong") : null}
      rightSection={unit === null ? null : <span className="dim">{unit}</span>}
      rightSectionWidth={unit === null ? 0 : 64}
      rightSectionPointerEvents="none"
    />
  );
}

/** As every other page writes it. */
function shown(name: LimitName, value: number): string {
  if (isCredits(name)) return credits(value);
  return name === "storage_bytes_max" ? bytes(value) : whole(value);
}
