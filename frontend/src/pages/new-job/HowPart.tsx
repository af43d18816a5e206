// ③ How it is tuned: objective, method, a preset, and every setting behind them.

import { ActionIcon, Button, Radio, TextInput } from "@mantine/core";
import { Plus, X } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Refusal } from "../../design/Notes";
import { credits } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import {
  METHODS,
  type Method,
  OBJECTIVES,
  type Objective,
  PRESET_NAMES,
  PRESETS,
  type Preset,
} from "./choices";
import { useForm } from "./form";
import css from "./NewJob.module.css";
import { type Group, type SettingName, settingsOf } from "./parameters";
import { Fold, SettingGrid } from "./SettingField";
import { plainNumber } from "./words";

export function HowPart() {
  const { t } = useTranslation();
  const { draft, edit, parameters, parametersError } = useForm();
  const groups = groupsOf(draft.method);
  return (
    <Panel title={t("newJob.how.title")}>
      <div className={css.how}>
        <OneOf
          label={t("newJob.how.objective")}
          value={draft.objective}
          options={(Object.keys(OBJECTIVES) as Objective[]).map((name) => ({
            name,
            title: t(`newJob.objectives.${name}.name`),
            when: t(`newJob.objectives.${name}.when`),
          }))}
          onChange={(objective) => edit({ objective })}
        />
        <OneOf
          label={t("newJob.how.method")}
          value={draft.method}
          options={(Object.keys(METHODS) as Method[]).map((name) => ({
            name,
            title: t(`newJob.methods.${name}.name`),
            when: t(`newJob.methods.${name}.when`),
          }))}
          onChange={(method) => edit({ method })}
        />
        <Presets />
        <TextInput
          label={t("newJob.how.name")}
          description={t("newJob.how.nameHint")}
          {...most(parameters?.lengths.name)}
          autoComplete="off"
          value={draft.name}
          onChange={(event) => edit({ name: event.currentTarget.value })}
        />
      </div>
      <Fold title={t("newJob.how.all", { n: settingsOf(...groups).length })}>
        <Refusal error={parametersError} />
        {groups.map((group) => (
          <section key={group} aria-label={t(`newJob.groups.${group}`)}>
            <h3 className={css.group}>{t(`newJob.groups.${group}`)}</h3>
            <SettingGrid group={group} />
          </section>
        ))}
        <Metadata />
      </Fold>
    </Panel>
  );
}

function groupsOf(method: Method): Group[] {
  return ["learning", ...METHODS[method].groups, "measuring"];
}

interface OneOfProps<Name extends string> {
  label: string;
  value: Name;
  options: { name: Name; title: string; when: string }[];
  onChange: (name: Name) => void;
}

/** A choice with a sentence each; where there is one only, it is said and not asked. */
function OneOf<Name extends string>({ label, value, options, onChange }: OneOfProps<Name>) {
  const only = options.length === 1 ? options[0] : undefined;
  if (only !== undefined) {
    return (
      <p>
        <span className={css.label}>{label}</span>
        <b>{only.title}</b> <span className="dim">{only.when}</span>
      </p>
    );
  }
  return (
    <Radio.Group label={label} value={value} onChange={(name) => onChange(name as Name)}>
      <div className={css.cards}>
        {options.map(({ name, title, when }) => (
          <Radio.Card key={name} className={css.card} value={name}>
            <span className={css.cardHead}>
              <Radio.Indicator size="xs" />
              <b>{title}</b>
            </span>
            <span className="dim">{when}</span>
          </Radio.Card>
        ))}
      </div>
    </Radio.Group>
  );
}

// -- presets ---------------------------------------------------------------------------------------

const PRESET_SETTINGS: readonly SettingName[] = [
  "rank",
  "n_epochs",
  "learning_rate",
  "learning_rate_multiplier",
];

function Presets() {
  const { t } = useTranslation();
  const { draft, edit, reset } = useForm();
  const own = settingsOf(...groupsOf(draft.method)).filter(
    (name) => draft.values[name] !== undefined,
  );
  return (
    <div>
      <Radio.Group
        label={t("newJob.how.preset")}
        value={draft.preset}
        onChange={(name) => {
          reset(...PRESET_SETTINGS);
          edit({ preset: name as Preset });
        }}
      >
        <div className={css.presets}>
          {PRESET_NAMES.map((name) => (
            <PresetCard key={name} name={name} />
          ))}
        </div>
      </Radio.Group>
      {own.length > 0 && (
        <p className={css.changed}>
          <span className="dim">{t("newJob.how.changed", { count: own.length })}</span>
          <Button variant="default" size="compact-xs" onClick={() => reset(...own)}>
            {t("newJob.how.reset")}
          </Button>
        </p>
      )}
    </div>
  );
}

function PresetCard({ name }: { name: Preset }) {
  const { t } = useTranslation();
  const { quoted } = useForm();
  return (
    <Radio.Card className={css.card} value={name}>
      <span className={css.cardHead}>
        <Radio.Indicator size="xs" />
        <b>{t(`newJob.presets.${name}.name`)}</b>
      </span>
      <span className="dim">{t(`newJob.presets.${name}.when`)}</span>
      {quoted.auto !== null && <PresetFacts name={name} auto={quoted.auto} />}
    </Radio.Card>
  );
}

/** What a preset comes to for these rows, in the figures of the service's own quote. */
function PresetFacts({
  name,
  auto,
}: {
  name: Preset;
  auto: NonNullable<ReturnType<typeof useForm>["quoted"]["auto"]>;
}) {
  const { t } = useTranslation();
  const { draft } = useForm();
  const { quote, spec } = auto;
  if (!quote || !spec) return null;
  const set = PRESETS[name](quote.n_epochs);
  const epochs = Number(set.n_epochs ?? quote.n_epochs);
  const rate = spec.hyperparameters.learning_rate * Number(set.learning_rate_multiplier ?? 1);
  return (
    <>
      <span className={css.presetFacts}>
        <span>{t(`newJob.methods.${draft.method}.name`)}</span>
        <span>{t("newJob.how.rank", { rank: String(set.rank ?? spec.method.rank) })}</span>
        <span>{t("newJob.how.epochs", { count: epochs })}</span>
        <span>{t("newJob.how.rate", { rate: plainNumber(rate) })}</span>
      </span>
      <span className={css.presetPrice}>
        {t("newJob.how.price", { credits: credits(quote.rate * quote.tokens_per_epoch * epochs) })}
      </span>
    </>
  );
}

// -- notes -----------------------------------------------------------------------------------------

function Metadata() {
  const { t } = useTranslation();
  const { draft, edit, parameters } = useForm();
  const pairs = draft.metadata;
  const lengths = parameters?.lengths;
  const change = (n: number, pair: readonly [string, string]) =>
    edit({ metadata: pairs.map((other, place) => (place === n ? pair : other)) });
  return (
    <section aria-label={t("newJob.how.metadata")}>
      <h3 className={css.group}>{t("newJob.how.metadata")}</h3>
      <p className="dim">{t("newJob.how.metadataHint")}</p>
      {pairs.map(([key, value], n) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the key is being typed, so the place is the name
        <div key={n} className={css.note}>
          <TextInput
            aria-label={t("newJob.how.metadataKey")}
            placeholder={t("newJob.how.metadataKey")}
            {...most(lengths?.metadataKey)}
            value={key}
            onChange={(event) => change(n, [event.currentTarget.value, value])}
          />
          <TextInput
            aria-label={t("newJob.how.metadataValue")}
            placeholder={t("newJob.how.metadataValue")}
            {...most(lengths?.metadataValue)}
            value={value}
            onChange={(event) => change(n, [key, event.currentTarget.value])}
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t("newJob.how.metadataRemove", { key })}
            onClick={() => edit({ metadata: pairs.filter((_, place) => place !== n) })}
          >
            <X size={14} />
          </ActionIcon>
        </div>
      ))}
      {pairs.length < (lengths?.metadata ?? 0) && (
        <Button
          variant="default"
          size="xs"
          mt={8}
          leftSection={<Plus size={14} />}
          onClick={() => edit({ metadata: [...pairs, ["", ""]] })}
        >
          {t("newJob.how.metadataAdd")}
        </Button>
      )}
    </section>
  );
}

/** The service's own limit, where it has one and it is known. */
function most(length: number | null | undefined): { maxLength?: number } {
  return length ? { maxLength: length } : {};
}
