// Text to take elsewhere: one line with a button, and the same act as code.

import { ActionIcon, Button, Modal, Tabs } from "@mantine/core";
import { useClipboard, useDisclosure } from "@mantine/hooks";
import { Check, CodeXml, Copy as CopyIcon } from "lucide-react";
import { useTranslation } from "react-i18next";
import css from "./Copy.module.css";

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useTranslation();
  const clipboard = useClipboard({ timeout: 2_000 });
  // Browsers give the clipboard to secure pages only.
  if (!window.isSecureContext) return null;
  const icon = clipboard.copied ? <Check size={14} /> : <CopyIcon size={14} />;
  if (label !== undefined) {
    return (
      <Button variant="default" leftSection={icon} onClick={() => clipboard.copy(text)}>
        {clipboard.copied ? t("common.copied") : label}
      </Button>
    );
  }
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="sm"
      aria-label={clipboard.copied ? t("common.copied") : t("common.copy")}
      onClick={() => clipboard.copy(text)}
    >
      {icon}
    </ActionIcon>
  );
}

/** A command or a secret on one line. */
export function Command({ text }: { text: string }) {
  return (
    <div className={css.command}>
      <code>{text}</code>
      <CopyButton text={text} />
    </div>
  );
}

export interface Snippets {
  curl: string;
  python: string;
  /** Where the `tunery` command can do it too. */
  cli?: string;
}

/** `</>`: what this page does, as code with the reader's own ids. */
export function CodeButton({ snippets }: { snippets: Snippets }) {
  const { t } = useTranslation();
  const [opened, { open, close }] = useDisclosure(false);
  const tabs = [
    ["Python", snippets.python],
    ["curl", snippets.curl],
    ["tunery", snippets.cli],
  ] as const;
  return (
    <>
      <Button
        variant="default"
        leftSection={<CodeXml size={16} />}
        onClick={open}
        aria-label={t("common.code.open")}
      >
        {t("common.code.button")}
      </Button>
      <Modal opened={opened} onClose={close} title={t("common.code.title")} size="lg">
        <p className="dim">{t("common.code.key")}</p>
        <Tabs defaultValue="Python" mt="sm">
          <Tabs.List>
            {tabs.map(
              ([name, text]) =>
                text !== undefined && (
                  <Tabs.Tab key={name} value={name}>
                    {name}
                  </Tabs.Tab>
                ),
            )}
          </Tabs.List>
          {tabs.map(
            ([name, text]) =>
              text !== undefined && (
                <Tabs.Panel key={name} value={name}>
                  <div className={css.snippet}>
                    {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
                    <pre tabIndex={0}>{text}</pre>
                    <CopyButton text={text} />
                  </div>
                </Tabs.Panel>
              ),
          )}
        </Tabs>
      </Modal>
    </>
  );
}
