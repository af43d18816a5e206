// The same job from code.

import type { Snippets } from "../../design/Copy";
import type { Body } from "./draft";

export function snippets(body: Body, filename: string, origin: string): Snippets {
  const { tuning, ...openai } = body;
  const extra = Object.keys(tuning).length > 0 ? `extra_body=${python({ tuning }, 1)},` : null;
  const given = Object.entries(openai).map(([name, value]) => `${name}=${python(value, 1)},`);
  const cli = command(body, filename);
  return {
    curl: [
      `curl ${origin}/v1/fine_tuning/jobs \\`,
      '  -H "Authorization: Bearer $TUNERY_API_KEY" \\',
      '  -H "Content-Type: application/json" \\',
      `  -d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`,
    ].join("\n"),
    python: [
      "import os",
      "",
      "from openai import OpenAI",
      "",
      `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["TUNERY_API_KEY"])`,
      "job = client.fine_tuning.jobs.create(",
      ...[...given, ...(extra === null ? [] : [extra])].map((line) => `    ${line}`),
      ")",
      "print(job.id, job.status)",
    ].join("\n"),
    ...(cli !== null && { cli }),
  };
}

/** JSON as Python writes it. */
function python(value: unknown, depth: number): string {
  const pad = "    ".repeat(depth + 1);
  const end = "    ".repeat(depth);
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map((one) => python(one, depth)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return "{}";
  const lines = entries.map(
    ([name, one]) => `${pad}${JSON.stringify(name)}: ${python(one, depth + 1)},`,
  );
  return `{\n${lines.join("\n")}\n${end}}`;
}

const OPTIONS: Record<string, string> = {
  n_epochs: "epochs",
  batch_size: "batch-size",
  learning_rate: "learning-rate",
  method: "method",
  rank: "rank",
};

/** `tunery train`, where its options say everything that is set; null where they cannot. */
function command(body: Body, filename: string): string | null {
  const { model, training_file: _, suffix, seed, method, tuning, ...other } = body;
  if (Object.keys(other).length > 0) return null;
  const wire = method[method.type] as { hyperparameters: Record<string, unknown> };
  const words = ["tunery train", shell(filename), `--model ${shell(model)}`];
  for (const [name, value] of Object.entries({ ...wire.hyperparameters, ...tuning })) {
    const option = OPTIONS[name];
    if (name === "skip_bad_rows") {
      if (value === true) words.push("--skip-bad-rows");
    } else if (option === undefined) return null;
    else words.push(`--${option} ${String(value)}`);
  }
  if (suffix !== undefined) words.push(`--suffix ${shell(suffix)}`);
  if (seed !== undefined) words.push(`--seed ${seed}`);
  return words.join(" ");
}

function shell(word: string): string {
  return /^[\w./:-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
