// What goes with each message: system prompt and sampling.

import { NumberInput, Slider, Textarea } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { decimal } from "../../design/numbers";
import type { Conversation } from "./useConversation";

const TOKENS_MAX = 4_096;

export function Settings({ conversation }: { conversation: Conversation }) {
  const { t } = useTranslation();
  const { settings, setSettings, system, setSystem } = conversation;
  return (
    <>
      <Textarea
        label={t("playground.system")}
        description={t("playground.systemHint")}
        autosize
        minRows={2}
        maxRows={8}
        value={system}
        onChange={(event) => setSystem(event.currentTarget.value)}
      />
      <Knob
        label={t("playground.temperature")}
        hint={t("playground.temperatureHint")}
        value={settings.temperature}
        max={2}
        onChange={(temperature) => setSettings({ ...settings, temperature })}
      />
      <Knob
        label={t("playground.topP")}
        hint={t("playground.topPHint")}
        value={settings.topP}
        min={0.05}
        max={1}
        onChange={(topP) => setSettings({ ...settings, topP })}
      />
      <NumberInput
        label={t("playground.maxTokens")}
        description={t("playground.maxTokensHint")}
        min={1}
        max={TOKENS_MAX}
        clampBehavior="strict"
        allowDecimal={false}
        value={settings.maxTokens}
        onChange={(value) =>
          typeof value === "number" && setSettings({ ...settings, maxTokens: value })
        }
      />
      <NumberInput
        label={t("playground.seed")}
        description={t("playground.seedHint")}
        min={0}
        max={2_147_483_647}
        allowDecimal={false}
        value={settings.seed ?? ""}
        onChange={(value) =>
          setSettings({ ...settings, seed: typeof value === "number" ? value : null })
        }
      />
    </>
  );
}

interface KnobProps {
  label: string;
  hint: string;
  value: number;
  min?: number;
  max: number;
  onChange: (value: number) => void;
}

function Knob({ label, hint, value, min = 0, max, onChange }: KnobProps) {
  return (
    <div title={hint}>
      <div style={{ display: "flex", justifyContent: "space-between" }}>
        <span style={{ fontWeight: 500 }}>{label}</span>
        <span className="dim">{decimal(value, 2)}</span>
      </div>
      <Slider
        thumbLabel={label}
        label={null}
        min={min}
        max={max}
        step={0.05}
        size="sm"
        value={value}
        onChange={onChange}
      />
    </div>
  );
}
