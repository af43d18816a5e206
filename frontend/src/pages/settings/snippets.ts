// Making a key from code.

import type { Snippets } from "../../design/Copy";

export function keySnippets(origin: string): Snippets {
  return {
    curl: [
      `curl ${origin}/v1/api_keys \\`,
      '  -H "Authorization: Bearer $TUNERY_API_KEY" \\',
      '  -H "Content-Type: application/json" \\',
      `  -d '{"name": "nightly", "month_budget_credits": 10000000}'`,
    ].join("\n"),
    python: [
      "import os",
      "",
      "import requests",
      "",
      "answer = requests.post(",
      `    "${origin}/v1/api_keys",`,
      '    headers={"Authorization": f"Bearer {os.environ[\'TUNERY_API_KEY\']}"},',
      '    json={"name": "nightly", "month_budget_credits": 10_000_000},  # micro-credits',
      ")",
      "answer.raise_for_status()",
      'print(answer.json()["key"])',
    ].join("\n"),
  };
}
