// The conversation as it stands, as code.

import { chatBody } from "../../client/chat";
import type { Snippets } from "../../design/Copy";
import { type Conversation, said } from "./useConversation";

export function playgroundSnippets(
  model: string,
  conversation: Conversation,
  draft: string,
): Snippets {
  const last = conversation.turns.at(-1);
  const [turns, user] =
    draft.trim() !== "" || last === undefined
      ? [conversation.turns, draft.trim() || "Hello"]
      : [conversation.turns.slice(0, -1), last.user];
  const messages = said(conversation.system, conversation.before, turns, model, user);
  const body = chatBody(model, messages, conversation.settings);
  const origin = window.location.origin;
  const json = JSON.stringify(body, null, 2);
  const fields = Object.entries(body)
    .map(([name, value]) => `    ${name}=${JSON.stringify(value)},`)
    .join("\n");
  return {
    curl: [
      `curl ${origin}/v1/chat/completions \\`,
      `  -H "Authorization: Bearer $TUNERY_API_KEY" \\`,
      `  -H "Content-Type: application/json" \\`,
      `  -d '${json.replaceAll("'", "'\\''")}'`,
    ].join("\n"),
    python: [
      "import os",
      "",
      "from openai import OpenAI",
      "",
      `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["TUNERY_API_KEY"])`,
      "answer = client.chat.completions.create(",
      fields,
      ")",
      "print(answer.choices[0].message.content)",
    ].join("\n"),
  };
}
