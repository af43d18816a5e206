// A destructive act asks by naming the thing, and says what it costs.

import { Button, Group, Modal } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { Refusal } from "./Notes";

interface ConfirmProps {
  opened: boolean;
  close: () => void;
  /** "Delete shop-voice.jsonl?" */
  title: string;
  children: ReactNode;
  /** "Delete" */
  action: string;
  keep?: string;
  /** Red unless nothing is lost by it. */
  color?: "red" | "accent";
  act: () => Promise<unknown>;
}

export function Confirm(props: ConfirmProps) {
  const { opened, close, title, children, action, keep, color = "red", act } = props;
  const { t } = useTranslation();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const doIt = async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
      close();
    } catch (caught) {
      setError(caught as Error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened={opened} onClose={close} title={title}>
      <div className="dim">{children}</div>
      <Refusal error={error} />
      <Group justify="flex-end" mt="lg" gap="xs">
        <Button variant="default" onClick={close} data-autofocus>
          {keep ?? t("common.keep")}
        </Button>
        <Button
          color={color === "red" ? "var(--bad-fill)" : color}
          loading={busy}
          onClick={() => void doIt()}
        >
          {action}
        </Button>
      </Group>
    </Modal>
  );
}
