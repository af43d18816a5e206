// The keys, on one small sheet.

import { Modal } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { Facts } from "../design/Panel";

const KEYS = [
  ["⌘K / Ctrl K", "palette"],
  ["n", "newJob"],
  ["u", "upload"],
  ["/", "search"],
  ["⌘↵ / Ctrl ↵", "send"],
  ["← →", "rows"],
  ["?", "keys"],
] as const;

export function Keys({ opened, close }: { opened: boolean; close: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal opened={opened} onClose={close} title={t("nav.keys")} size="sm">
      <Facts
        rows={KEYS.map(([key, name]) => [t(`keys.${name}`), <kbd key={key}>{key}</kbd>] as const)}
      />
    </Modal>
  );
}
