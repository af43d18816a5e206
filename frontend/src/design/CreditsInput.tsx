// A field for an amount of credits. Typed as text, so that nothing is rounded on the way.

import { TextInput } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { microCredits } from "./numbers";

interface CreditsInputProps {
  label: string;
  description?: string;
  /** As typed; `microCredits(value)` is the amount. */
  value: string;
  onChange: (typed: string) => void;
  /** What an empty field means. */
  placeholder?: string;
  required?: boolean;
  /** 0 counts as an amount. */
  zero?: boolean;
}

export function CreditsInput(props: CreditsInputProps) {
  const { label, description, value, onChange, placeholder, required = false, zero } = props;
  const { t } = useTranslation();
  const wrong = value.trim() !== "" && !isAmount(value, zero ?? false);
  return (
    <TextInput
      label={label}
      description={description}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      placeholder={placeholder}
      required={required}
      withAsterisk={false}
      inputMode="decimal"
      autoComplete="off"
      error={wrong ? t("common.notAmount") : null}
      rightSection={<span className="dim">{t("nav.creditsUnit")}</span>}
      rightSectionWidth={64}
      rightSectionPointerEvents="none"
    />
  );
}

function isAmount(typed: string, zero: boolean): boolean {
  const micro = microCredits(typed);
  return micro !== null && (zero || micro > 0);
}
