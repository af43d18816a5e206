// The datasets pages' acts as code, with the reader's own ids.

import type { Snippets } from "../../design/Copy";

const KEY = '-H "Authorization: Bearer $TUNERY_API_KEY"';

function client(origin: string): string[] {
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["TUNERY_API_KEY"])`,
  ];
}

export function filesSnippets(origin: string): Snippets {
  return {
    curl: [
      `curl ${origin}/v1/files ${KEY}`,
      "",
      "# upload one",
      `curl ${origin}/v1/files ${KEY} -F purpose=fine-tune -F file=@rows.jsonl`,
    ].join("\n"),
    python: [
      ...client(origin),
      "for file in client.files.list():",
      "    print(file.id, file.filename, file.status)",
      'file = client.files.create(purpose="fine-tune", file=open("rows.jsonl", "rb"))',
    ].join("\n"),
    cli: "tunery train rows.jsonl --watch",
  };
}

export function fileSnippets(fileId: string, line: number, origin: string): Snippets {
  const url = `${origin}/v1/files/${fileId}`;
  return {
    curl: [
      `curl ${url}/report ${KEY}`,
      "",
      "# every finding as CSV",
      `curl ${url}/findings ${KEY} -o findings.csv`,
      "",
      "# one row as the model sees it",
      `curl "${url}/preview?line=${line}" ${KEY}`,
      "",
      "# accept every repair",
      `curl ${url}/reading ${KEY} -H "Content-Type: application/json" \\`,
      `  -d '{"accept_all_repairs": true}'`,
    ].join("\n"),
    python: [
      ...client(origin),
      `print(client.files.retrieve("${fileId}"))`,
      "",
      "# what was found in it, beyond OpenAI's files",
      `report = client.get("/files/${fileId}/report", cast_to=object)`,
      'print(report["report"]["problem_counts"])',
      `row = client.get("/files/${fileId}/preview?line=${line}", cast_to=object)`,
      'print(row["sequences"][0]["text"])',
    ].join("\n"),
  };
}
