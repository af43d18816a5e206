// The field below: Enter sends, Shift+Enter is a new line.

import { Button, Textarea } from "@mantine/core";
import type { KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import css from "./Playground.module.css";
import type { Conversation } from "./useConversation";

interface AskerProps {
  draft: string;
  setDraft: (draft: string) => void;
  conversation: Conversation;
}

export function Asker({ draft, setDraft, conversation }: AskerProps) {
  const { t } = useTranslation();
  const send = () => {
    if (draft.trim() === "" || conversation.busy) return;
    conversation.send({ user: draft });
    setDraft("");
  };
  const pressed = (event: KeyboardEvent) => {
    // An input method's Enter chooses a word, it does not send.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <div className={css.asker}>
      <Textarea
        aria-label={t("playground.prompt")}
        placeholder={t("playground.placeholder")}
        autosize
        minRows={1}
        maxRows={8}
        variant="unstyled"
        value={draft}
        onChange={(event) => setDraft(event.currentTarget.value)}
        onKeyDown={pressed}
      />
      {conversation.busy ? (
        <Button variant="default" onClick={conversation.stop}>
          {t("playground.stop")}
        </Button>
      ) : (
        <Button onClick={send} disabled={draft.trim() === ""}>
          {t("playground.send")}
        </Button>
      )}
    </div>
  );
}
