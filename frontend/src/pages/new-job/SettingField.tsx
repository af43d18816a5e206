// One setting of the API: its name, what it does, what it may be, and what it is when left open.

import {
  ActionIcon,
  Input,
  SegmentedControl,
  Select,
  Switch,
  TagsInput,
  TextInput,
} from "@mantine/core";
import { RotateCcw } from "lucide-react";
import { type ReactNode, useId } from "react";
import { useTranslation } from "react-i18next";
import type { Value } from "./draft";
import { useForm } from "./form";
import css from "./NewJob.module.css";
import { type Choice, type Field, type Group, type SettingName, settingsOf } from "./parameters";
import { problemWords, rangeWords, valueWords } from "./words";

/** Linear layers as most model families name them; any other name may be typed. */
const MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

export function SettingField({ name }: { name: SettingName }) {
  const { t } = useTranslation();
  const form = useForm();
  const id = useId();
  const field = form.parameters?.settings[name];
  if (field === undefined) return null;
  const value = form.quoted.values[name];
  const effective = form.quoted.answer?.effective[name];
  const own = form.draft.values[name] !== undefined;
  const problem = form.problems[name];
  const error = problem ? problemWords(t, problem) : form.refusedField(name);
  const label = t(`newJob.settings.${name}.name`);
  // What the service chose is worth knowing only while the field is left to it.
  const chosen = effective?.origin === "derived" ? effective.value : null;
  const known = chosen ?? field.default;
  const open =
    chosen !== null && chosen !== undefined
      ? t("newJob.field.autoIs", { value: valueWords(t, field, chosen) })
      : field.default !== null && field.default !== undefined
        ? t("newJob.field.default", { value: valueWords(t, field, field.default) })
        : t("newJob.field.auto");
  const range = rangeWords(t, field);
  return (
    <Input.Wrapper
      className={css.setting}
      id={id}
      labelElement={field.kind === "number" ? "label" : "div"}
      label={
        <span className={css.settingLabel} id={`${id}-name`}>
          {label}
          <code>{name}</code>
        </span>
      }
      description={t(`newJob.settings.${name}.effect`)}
      error={error}
      inputWrapperOrder={["label", "description", "input", "error"]}
    >
      <Control
        id={id}
        label={label}
        field={field}
        value={value}
        placeholder={valueWords(t, field, known)}
        wrong={error !== null}
        onChange={(next) => form.set(name, next)}
      />
      <div className={css.range}>
        <span>{[open, range].filter(Boolean).join(" · ")}</span>
        {own && (
          <ActionIcon
            variant="subtle"
            color="gray"
            size="xs"
            aria-label={t("newJob.field.reset", { name: label })}
            onClick={() => form.reset(name)}
          >
            <RotateCcw size={12} />
          </ActionIcon>
        )}
      </div>
    </Input.Wrapper>
  );
}

interface ControlProps {
  id: string;
  label: string;
  field: Field;
  value: Value | undefined;
  placeholder: string;
  wrong: boolean;
  onChange: (value: Value) => void;
}

function Control({ id, label, field, value, placeholder, wrong, onChange }: ControlProps) {
  const { t } = useTranslation();
  if (field.kind === "number") {
    return (
      <TextInput
        id={id}
        inputMode="decimal"
        autoComplete="off"
        placeholder={placeholder}
        value={typeof value === "string" ? value : ""}
        error={wrong}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  if (field.kind === "choice") {
    return (
      <Select
        aria-label={label}
        data={field.choices.map((one) => ({ value: one, label: t(`newJob.choices.${one}`) }))}
        value={typeof value === "string" && value !== "" ? value : String(field.default)}
        error={wrong}
        onChange={(next) => next !== null && onChange(next as Choice)}
      />
    );
  }
  if (field.kind === "names") {
    return (
      <TagsInput
        aria-label={label}
        data={MODULES}
        clearable
        placeholder={Array.isArray(value) && value.length > 0 ? "" : t("newJob.field.allLinear")}
        value={Array.isArray(value) ? [...value] : []}
        error={wrong}
        onChange={onChange}
      />
    );
  }
  if (!field.auto) {
    return (
      <Switch
        aria-label={label}
        label={t(value === true ? "newJob.field.on" : "newJob.field.off")}
        checked={value === true}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    );
  }
  return (
    <SegmentedControl
      aria-label={label}
      size="xs"
      data={[
        { value: "auto", label: t("newJob.field.autoChoice") },
        { value: "yes", label: t("newJob.field.yes") },
        { value: "no", label: t("newJob.field.no") },
      ]}
      value={typeof value === "boolean" ? (value ? "yes" : "no") : "auto"}
      onChange={(next) => onChange(next === "auto" ? "" : next === "yes")}
    />
  );
}

/** Folded away, but present. */
export function Fold({ title, children }: { title: ReactNode; children: ReactNode }) {
  return (
    <details className={css.fold}>
      <summary>{title}</summary>
      <div className={css.foldBody}>{children}</div>
    </details>
  );
}

export function SettingGrid({ group }: { group: Group }) {
  return (
    <div className={css.settings}>
      {settingsOf(group).map((name) => (
        <SettingField key={name} name={name} />
      ))}
    </div>
  );
}
