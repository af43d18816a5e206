// The credits pages as code.

import type { Snippets } from "../../design/Copy";

const PATHS: Record<string, { path: string; cli: string }> = {
  overview: { path: "/v1/credits", cli: "tunery credits\ntunery redeem TUN-XXXX-XXXX-XXXX-XXXX-X" },
  statement: {
    path: "/v1/credits/statement?limit=100",
    cli: "tunery statement --csv > statement.csv",
  },
  usage: { path: "/v1/usage?by=day", cli: "tunery usage --by day" },
  limits: { path: "/v1/limits", cli: "tunery credits" },
};

export function snippets(tab: string, origin: string): Snippets {
  const found = PATHS[tab] ?? { path: "/v1/credits", cli: "tunery credits" };
  return { ...reading(`${origin}${found.path}`), cli: found.cli };
}

export function receiptSnippets(jobId: string, origin: string): Snippets {
  return {
    ...reading(`${origin}/v1/fine_tuning/jobs/${jobId}/receipt`),
    cli: `tunery receipt ${jobId}`,
  };
}

/** A GET with a key. */
export function reading(url: string): Snippets {
  return {
    curl: `curl "${url}" -H "Authorization: Bearer $TUNERY_API_KEY"`,
    python: [
      "import os",
      "",
      "import requests",
      "",
      "answer = requests.get(",
      `    "${url}",`,
      '    headers={"Authorization": f"Bearer {os.environ[\'TUNERY_API_KEY\']}"},',
      ")",
      "answer.raise_for_status()",
      "print(answer.json())",
    ].join("\n"),
  };
}
