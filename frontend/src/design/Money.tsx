// Credits, rounded for the eye and exact under the pointer.

import { Tooltip } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { credits, exactCredits } from "./numbers";

/** `micro` is micro-credits: 1 credit is 1,000,000 of them. */
export function Money({ micro, unit = false }: { micro: number; unit?: boolean }) {
  const { t } = useTranslation();
  return (
    <Tooltip label={t("common.credits", { n: exactCredits(micro) })}>
      <span data-micro={micro}>
        {unit ? t("common.credits", { n: credits(micro) }) : credits(micro)}
      </span>
    </Tooltip>
  );
}
