// What the model says to the same held-out prompts as it learns: the base first, then the newest.

import { Button } from "@mantine/core";
import { memo, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Heard } from "../../client/feed";
import { whole } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Spoken, spoken } from "./progress";
import css from "./Samples.module.css";

const SHOWN = 2;

export const Samples = memo(function Samples({ samples }: Pick<Heard, "samples">) {
  const { t } = useTranslation();
  const prompts = useMemo(() => spoken(samples), [samples]);
  if (prompts.length === 0) return null;
  return (
    <Panel title={t("job.samples.title")}>
      <p className="dim">{t("job.samples.hint")}</p>
      {prompts.map((one) => (
        <Prompt key={one.prompt} spoken={one} />
      ))}
    </Panel>
  );
});

function Prompt({ spoken: { prompt, base, said } }: { spoken: Spoken }) {
  const { t } = useTranslation();
  const [all, setAll] = useState(false);
  const shown = all ? said : said.slice(0, SHOWN);
  return (
    <article className={css.prompt}>
      <h3>{prompt}</h3>
      <dl className={css.answers}>
        {base !== null && (
          <div className={css.base}>
            <dt>{t("job.samples.base")}</dt>
            <dd>{base}</dd>
          </div>
        )}
        {shown.map(({ step, text }) => (
          <div key={step}>
            <dt>{t("job.samples.at", { step: whole(step) })}</dt>
            <dd>{text === base ? <i>{t("job.samples.same")}</i> : text}</dd>
          </div>
        ))}
      </dl>
      {said.length > SHOWN && !all && (
        <Button variant="subtle" size="compact-xs" onClick={() => setAll(true)}>
          {t("job.samples.all", { n: said.length - SHOWN })}
        </Button>
      )}
    </article>
  );
}
