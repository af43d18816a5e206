// Both languages say everything, with the same figures in it, and nothing that no page shows.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { en } from "../src/words/en";
import { zh } from "../src/words/zh";

type Tree = { readonly [key: string]: string | Tree };

/** Names and units that both languages write alike. */
const ALIKE = /^[\s\d.,:;·/×=→–…()%+~<>|{}\w-]*$/;

function leaves(tree: Tree, path = ""): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === "string"
      ? [[`${path}${key}`, value] as [string, string]]
      : leaves(value, `${path}${key}.`),
  );
}

const english = leaves(en);
const chinese = new Map(leaves(zh));

test("both languages have the same keys", () => {
  expect([...chinese.keys()].sort()).toEqual(english.map(([key]) => key).sort());
});

test("nothing is left in English", () => {
  const left = english.filter(([key, text]) => {
    const other = chinese.get(key) ?? "";
    const words = text.replaceAll(/{{\w+}}/g, "");
    const says = /[A-Za-z]{4,}/.test(words) && words.trim().includes(" ");
    return (
      other === "" ||
      (says && !/[\u4e00-\u9fff]/.test(other)) ||
      (other === text && !ALIKE.test(text))
    );
  });
  expect(left).toEqual([]);
});

test("both languages are told the same figures", () => {
  const figures = (text: string) => [...new Set(text.match(/{{\w+}}/g) ?? [])].sort();
  for (const [key, text] of english) {
    expect([key, figures(chinese.get(key) ?? "")]).toEqual([key, figures(text)]);
  }
});

test("every word is said somewhere", () => {
  const source = join(import.meta.dirname, "../src");
  const code = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes("/words/en") && !file.includes("/words/zh"))
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
  const exact = new Set([...code.matchAll(/["']([a-z]\w*(?:\.\w+)+)["']/g)].map(([, key]) => key));
  // A key made at run time, `codes.status.${status}`, says all keys of its pattern.
  const made = [...code.matchAll(/`([a-z]\w*\.(?:[\w.]|\$\{[^}`]*\})+)`/g)].map(
    ([, key]) => key ?? "",
  );
  const patterns = made
    .map((key) => key.split(/\$\{[^}]*\}/).map((part) => part.replaceAll(".", "\\.")))
    .map((parts) => new RegExp(`^${parts.join("[\\w.]+")}$`));
  const unsaid = english
    .map(([key]) => key.replace(/_(one|other|zero)$/, ""))
    .filter((key) => !exact.has(key) && !patterns.some((pattern) => pattern.test(key)));
  expect([...new Set(unsaid)]).toEqual([]);
});
