// ② What is tuned: the base models on offer, as cards.

import { Radio, TextInput } from "@mantine/core";
import { Search } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../client/http";
import { bytes, compact, credits, whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { useForm } from "./form";
import css from "./NewJob.module.css";

/** Above so many the eye no longer finds one by itself. */
const MANY = 6;
/** Of a weight in bf16, which a base is held in unless one asks for more. */
const WEIGHT_BYTES = 2;

export function BasePart() {
  const { t } = useTranslation();
  const { bases, base, chooseBase } = useForm();
  const [typed, setTyped] = useState("");
  const words = typed.trim().toLocaleLowerCase();
  const shown = bases.filter(
    (one) =>
      one.name.toLocaleLowerCase().includes(words) ||
      one.id.toLocaleLowerCase().includes(words) ||
      one.licence.toLocaleLowerCase().includes(words),
  );
  return (
    <Panel title={t("newJob.base.title")}>
      {bases.length > MANY && (
        <TextInput
          className={css.find}
          type="search"
          aria-label={t("newJob.base.find")}
          placeholder={t("newJob.base.find")}
          leftSection={<Search size={14} aria-hidden="true" />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
      )}
      {shown.length === 0 && (
        <p className="dim">{t(bases.length === 0 ? "newJob.base.none" : "newJob.base.nothing")}</p>
      )}
      <Radio.Group
        label={t("newJob.base.label")}
        labelProps={{ className: "unseen" }}
        value={base?.id ?? null}
        onChange={chooseBase}
      >
        <div className={css.cards}>
          {shown.map((one) => (
            <BaseCard key={one.id} base={one} />
          ))}
        </div>
      </Radio.Group>
    </Panel>
  );
}

function BaseCard({ base }: { base: Schemas["BaseModelCard"] }) {
  const { t } = useTranslation();
  const facts = [
    [t("newJob.base.size"), compact(base.parameters)],
    [t("newJob.base.weights"), bytes(base.parameters * WEIGHT_BYTES)],
    [t("newJob.base.context"), t("newJob.base.contextTokens", { n: whole(base.context) })],
    [
      t("newJob.base.price"),
      t("newJob.base.perMillion", { credits: credits(base.credits_per_million_trained_tokens) }),
    ],
  ] as const;
  return (
    <Radio.Card className={css.card} value={base.id}>
      <span className={css.cardHead}>
        <Radio.Indicator size="xs" />
        <b>{base.name}</b>
      </span>
      <span className={css.licence}>{base.licence}</span>
      <span className={css.cardFacts}>
        {facts.map(([name, value]) => (
          <span key={name}>
            <span className="dim">{name}</span>
            <span>{value}</span>
          </span>
        ))}
      </span>
    </Radio.Card>
  );
}
