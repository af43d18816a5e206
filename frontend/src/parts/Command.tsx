// A command to run elsewhere, with a button that copies it.

import { useState } from "react";
import { words } from "../words";

export function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <div className="command">
      <code>{text}</code>
      {/* Browsers give the clipboard to secure pages only. */}
      {window.isSecureContext && (
        <button type="button" className="plain" onClick={copy}>
          {copied ? words.job.copied : words.job.copy}
        </button>
      )}
    </div>
  );
}
