// An entry's amount with its sign; what only moves between available and held has none.

import { useTranslation } from "react-i18next";
import { Money } from "../../design/Money";
import { credits } from "../../design/numbers";
import { type Entry, movesOnly, signed } from "./statement";

export function Amount({ entry }: { entry: Entry }) {
  const { t } = useTranslation();
  if (movesOnly(entry.type)) {
    return (
      <span className="dim">
        <Money micro={entry.amount} />
        <small>{t(entry.type === "hold" ? "credits.moves.hold" : "credits.moves.release")}</small>
      </span>
    );
  }
  const amount = signed(entry);
  return (
    <>
      <span className={amount > 0 ? "tone-good" : undefined}>
        {amount > 0 ? "+" : "−"}
        <Money micro={Math.abs(amount)} />
      </span>
      {entry.returned > 0 && (
        <small>{t("credits.moves.returned", { n: credits(entry.returned) })}</small>
      )}
    </>
  );
}
