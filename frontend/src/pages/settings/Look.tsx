// Language and theme, kept in this browser.

import { SegmentedControl } from "@mantine/core";
import { useId } from "react";
import { useTranslation } from "react-i18next";
import { type Theme, useTheme } from "../../app/useTheme";
import { Panel } from "../../design/Panel";
import { language, speak } from "../../words";
import css from "./Settings.module.css";

const THEMES = ["auto", "light", "dark"] as const satisfies readonly Theme[];
/** Each in its own words, so that whoever reads only one finds it. */
const LANGUAGES = [
  { value: "en", label: "English" },
  { value: "zh", label: "中文" },
] as const;

export function Look() {
  const { t } = useTranslation();
  const { theme, setTheme } = useTheme();
  const [languageLabel, themeLabel] = [useId(), useId()];
  return (
    <Panel title={t("settings.look.title")}>
      <div className={css.choice}>
        <span id={languageLabel}>{t("settings.look.language")}</span>
        <SegmentedControl
          aria-labelledby={languageLabel}
          value={language()}
          data={[...LANGUAGES]}
          onChange={(chosen) => void speak(chosen)}
        />
      </div>
      <div className={css.choice}>
        <span id={themeLabel}>{t("settings.look.theme")}</span>
        <SegmentedControl
          aria-labelledby={themeLabel}
          value={theme}
          data={THEMES.map((value) => ({ value, label: t(`settings.look.themes.${value}`) }))}
          onChange={setTheme}
        />
      </div>
      <p className="dim">{t("settings.look.kept")}</p>
    </Panel>
  );
}
