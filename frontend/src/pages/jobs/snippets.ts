// The jobs pages' acts as code, with the reader's own ids.

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

export function jobSnippets({ id }: { id: string }, origin: string): Snippets {
  const url = `${origin}/v1/fine_tuning/jobs/${id}`;
  return {
    curl: [
      `curl ${url} ${KEY}`,
      "",
      "# its events as they happen",
      `curl -N ${url}/stream ${KEY}`,
      "",
      "# stop it",
      `curl -X POST ${url}/cancel ${KEY}`,
    ].join("\n"),
    python: [
      ...client(origin),
      `job = client.fine_tuning.jobs.retrieve("${id}")`,
      "print(job.status, job.fine_tuned_model)",
      `for event in client.fine_tuning.jobs.list_events("${id}", limit=20):`,
      "    print(event.created_at, event.message)",
      `# client.fine_tuning.jobs.cancel("${id}")`,
    ].join("\n"),
    cli: [`tunery watch ${id}`, `tunery cancel ${id}`].join("\n"),
  };
}

export function listSnippets(
  filters: { status?: string; model?: string; q?: string },
  origin: string,
): Snippets {
  const query = Object.entries(filters).filter((pair): pair is [string, string] => !!pair[1]);
  const search = new URLSearchParams([...query, ["limit", "50"]]);
  const extra =
    query.length === 0
      ? ""
      : `, extra_query={${query.map(([name, value]) => `"${name}": ${JSON.stringify(value)}`).join(", ")}}`;
  return {
    curl: `curl "${origin}/v1/fine_tuning/jobs?${search}" ${KEY}`,
    python: [
      ...client(origin),
      `for job in client.fine_tuning.jobs.list(limit=50${extra}):`,
      "    print(job.id, job.status, job.fine_tuned_model)",
    ].join("\n"),
    cli: "tunery jobs",
  };
}
