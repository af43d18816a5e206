// The datasets pages' own arithmetic: cutoffs, runs of tokens, findings, mappings.

import { expect, test } from "vitest";
import {
  cutoffAt,
  filledBins,
  type Lengths,
  lengthsOf,
  lost,
  placeOf,
  stopOf,
  valueAt,
} from "../src/pages/datasets/cutoff";
import {
  draftOf,
  mappingOf,
  namesOf,
  pastedInfo,
  refusedFields,
} from "../src/pages/datasets/draft";
import {
  codesOf,
  type Finding,
  FindingsReader,
  filtered,
  gathered,
  parted,
  totals,
} from "../src/pages/datasets/problems";
import { isControl, runsOf, visible } from "../src/pages/datasets/runs";

// -- cutoff ----------------------------------------------------------------------------------------

const EDGES = [0, 16, 32, 64, 128, 256, 512];
const LENGTHS: Lengths = {
  histogram: { edges: EDGES, counts: [0, 0, 40, 40, 20, 0] },
  longest: 200,
  rows: 100,
  tokens: 9_000,
  known: [{ cutoff_len: 128, rows: 19, tokens: 3_000 }],
};

test("a cutoff that the longest row fits loses nothing, whatever the bins say", () => {
  expect(lost(LENGTHS, 200)).toEqual({ rows: 0, tokens: 0, exact: true });
});

test("what the service counted is not estimated", () => {
  expect(lost(LENGTHS, 128)).toEqual({ rows: 19, tokens: 3_000, exact: true });
});

test("between counted cutoffs a bin is taken as even, and the last one ends at the longest", () => {
  const loss = lost(LENGTHS, 96);
  expect(loss).toMatchObject({ rows: 40, exact: false });
  expect(lost(LENGTHS, 164).rows).toBe(10);
  expect(lost(LENGTHS, 0)).toEqual({ rows: 100, tokens: 9_000, exact: false });
});

test("a lower cutoff never loses less", () => {
  let before = Number.POSITIVE_INFINITY;
  const estimated = { ...LENGTHS, known: [] };
  for (let cutoff = 0; cutoff <= 200; cutoff += 1) {
    const { rows, tokens } = lost(estimated, cutoff);
    expect(tokens).toBeLessThanOrEqual(before);
    expect(rows).toBeGreaterThanOrEqual(cutoff < 200 ? 1 : 0);
    before = tokens;
  }
});

test("lengths come from a report, with the rows that its own cutoff left out", () => {
  const report = {
    tokens: LENGTHS.histogram,
    longest_row: 200,
    train_tokens: 5_000,
    held_out_tokens: 1_000,
    cutoffs: [{ cutoff_len: 128, rows: 19, tokens: 3_000 }],
  };
  expect(lengthsOf(report, 128)).toEqual(LENGTHS);
  expect(lengthsOf({ ...report, tokens: null }, 128)).toBeNull();
  expect(lengthsOf({ tokens: { edges: [0, 16], counts: [0] }, longest_row: 0 }, 1)).toBeNull();
});

test("only bins that say something are drawn", () => {
  expect(filledBins(LENGTHS.histogram)).toEqual({ first: 1, end: 6 });
  expect(filledBins({ edges: EDGES, counts: [0, 5, 0, 0, 0, 0] }, 256, 0)).toEqual({
    first: 1,
    end: 5,
  });
});

test("a place on the axis and its value are each other's inverse", () => {
  expect(placeOf(EDGES, 0)).toBe(0);
  expect(placeOf(EDGES, 64)).toBe(3 / 6);
  expect(placeOf(EDGES, 96)).toBe(3.5 / 6);
  expect(placeOf(EDGES, 5_000)).toBe(1);
  for (const value of [16, 50, 128, 300, 512]) {
    expect(valueAt(EDGES, placeOf(EDGES, value))).toBe(value);
  }
  expect(valueAt(EDGES, -1)).toBe(0);
});

test("cutoffs are chosen at eight stops to a bin, and at its edges exactly", () => {
  expect(cutoffAt(EDGES, stopOf(EDGES, 256))).toBe(256);
  expect(cutoffAt(EDGES, stopOf(EDGES, 256) - 1)).toBe(240);
  expect(cutoffAt(EDGES, 0)).toBe(1);
  expect(stopOf(EDGES, 512)).toBe(48);
});

// -- tokens ----------------------------------------------------------------------------------------

const token = (text: string, supervised = false, id = 0) => ({ id, text, supervised });

test("neighbours that look alike are one run, and each control token stands alone", () => {
  const runs = runsOf([
    token("<|im_start|>"),
    token("user"),
    token("\n"),
    token("Hi"),
    token("<|im_end|>"),
    token("Hello", true),
    token(" there", true),
    token("<|im_end|>", true),
  ]);
  expect(runs.map(({ control, learned, pieces }) => [control, learned, pieces.length])).toEqual([
    [true, false, 1],
    [false, false, 3],
    [true, false, 1],
    [false, true, 2],
    [true, true, 1],
  ]);
  expect(runs[3]?.pieces.map(({ at }) => at)).toEqual([5, 6]);
});

test("control tokens are told by their spelling", () => {
  for (const text of ["<|eot_id|>", "<｜User｜>", "</s>", "<start_of_turn>", "[INST]"]) {
    expect(isControl(text)).toBe(true);
  }
  for (const text of ["<div>", "<b", "|>", "[1]", "s", "<| "]) expect(isControl(text)).toBe(false);
});

test("whitespace can be seen, and a line still ends where it ends", () => {
  expect(visible("a b\n\tc")).toBe("a·b↵\n⇥\tc");
});

// -- findings --------------------------------------------------------------------------------------

const finding = (line: number, code: Finding["code"], verdict: Finding["verdict"]): Finding => ({
  line,
  code,
  verdict,
  field: null,
  message: `${code}.`,
});

test("what file and base model both say stands once, by line", () => {
  const bad = finding(7, "bad_json", "bad");
  const all = gathered(
    [bad, finding(9, "duplicate", "warned")],
    [finding(3, "too_long", "bad"), bad],
  );
  expect(all.map(({ line }) => line)).toEqual([3, 7, 9]);
});

test("totals do not count twice what both say", () => {
  expect([...totals({ bad_json: 3, duplicate: 1 }, { bad_json: 3, too_long: 2 })]).toEqual([
    ["bad_json", 3],
    ["duplicate", 1],
    ["too_long", 2],
  ]);
});

test("filters hold together, and codes come most frequent first", () => {
  const all = [
    finding(1, "bad_json", "bad"),
    finding(2, "no_answer", "bad"),
    finding(3, "no_answer", "bad"),
    finding(4, "duplicate", "warned"),
  ];
  expect(filtered(all, {})).toHaveLength(4);
  expect(filtered(all, { verdict: "bad", code: "no_answer" })).toHaveLength(2);
  expect(filtered(all, { verdict: "warned", code: "no_answer" })).toHaveLength(0);
  expect(codesOf(filtered(all, { verdict: "bad" }))).toEqual([
    { code: "no_answer", count: 2 },
    { code: "bad_json", count: 1 },
  ]);
});

test("a message parts into what is wrong and what to do", () => {
  expect(parted("`messages[1].content` is null. Write text there.")).toEqual({
    reason: "`messages[1].content` is null.",
    fix: "Write text there.",
  });
  expect(parted("NaN is no JSON number. Use null. (character 128 of the row)")).toEqual({
    reason: "NaN is no JSON number. (character 128 of the row)",
    fix: "Use null.",
  });
  expect(parted("The row is not JSON: unexpected end of data.")).toEqual({
    reason: "The row is not JSON: unexpected end of data.",
    fix: null,
  });
});

test("the CSV is read in pieces, with quotes, line ends and spreadsheet-safe cells", () => {
  const csv = new FindingsReader();
  const text =
    "\ufeffline,verdict,code,field,message\r\n" +
    `2,bad,bad_json,',"Here is a ""quote"", a comma\nand a line."\r\n` +
    "10,warned,placeholder,messages[0].content,'=SUM(A1) is text.\r\n";
  const found = [...text].flatMap((sign) => csv.read(sign));
  expect(found).toEqual([
    {
      line: 2,
      verdict: "bad",
      code: "bad_json",
      field: null,
      message: 'Here is a "quote", a comma\nand a line.',
    },
    {
      line: 10,
      verdict: "warned",
      code: "placeholder",
      field: "messages[0].content",
      message: "=SUM(A1) is text.",
    },
  ]);
});

// -- mapping ---------------------------------------------------------------------------------------

test("a draft is prefilled by what was detected, and by what was said before that", () => {
  const report = {
    object: "file.report",
    file_id: "file-1",
    status: "processed",
    progress: null,
    mapping: null,
    repairs: [],
    report: { form: "sharegpt", kind: "conversation" },
    encoding: null,
  } as const satisfies Omit<Parameters<typeof draftOf>[0], "repairs"> & { repairs: readonly [] };
  expect(draftOf({ ...report, repairs: [] })).toEqual({
    form: "sharegpt",
    kind: "conversation",
    columns: {},
    tags: {},
  });
  const mapping = {
    form: "alpaca",
    kind: "kto",
    columns: { output: "answer" },
    tags: null,
  } as const;
  expect(draftOf({ ...report, repairs: [], mapping })).toMatchObject({
    form: "alpaca",
    kind: "kto",
    columns: { output: "answer" },
  });
});

test("a mapping says only what differs, of columns that the form has", () => {
  const draft = {
    form: "alpaca",
    kind: "conversation",
    columns: { instruction: " question ", output: "output", messages: "x", system: "" },
    tags: { user: "customer" },
  } as const;
  expect(mappingOf(draft)).toEqual({
    form: "alpaca",
    kind: "conversation",
    columns: { instruction: "question" },
    tags: null,
  });
  expect(mappingOf({ ...draft, form: "messages", columns: {} }).tags).toMatchObject({
    role: "role",
    content: "content",
    user: "customer",
    assistant: null,
  });
});

test("a form has its columns, and a kind adds its own", () => {
  expect(namesOf("text", "text")).toEqual(["text"]);
  expect(namesOf("prompt_completion", "preference")).toContain("rejected");
  expect(namesOf("messages", "kto")).toContain("label");
  expect(namesOf(null, null)).toEqual([]);
});

test("a refusal goes to the fields that it names", () => {
  const draft = {
    form: "alpaca",
    kind: "kto",
    columns: { instruction: "q", output: "q" },
    tags: {},
  } as const;
  const said = refusedFields(
    "`columns.prompt` is no column of form alpaca. Use input, output. The column `q` is mapped twice. Rows of form text are not of kind kto. `tags.role` and `tags.content` are the same name.",
    draft,
  );
  expect(said.get("columns.prompt")).toBe(
    "`columns.prompt` is no column of form alpaca. Use input, output.",
  );
  expect(said.get("columns.instruction")).toBe("The column `q` is mapped twice.");
  expect(said.get("columns.output")).toBe("The column `q` is mapped twice.");
  expect(said.get("kind")).toBe("Rows of form text are not of kind kto.");
  expect(said.get("tags.role")).toBe("`tags.role` and `tags.content` are the same name.");
  expect(refusedFields("The entry is text.", draft).get("")).toBe("The entry is text.");
});

test("what is pasted is a JSON object or nothing", () => {
  expect(pastedInfo('{"formatting": "alpaca"}')).toEqual({ formatting: "alpaca" });
  for (const text of ["", "[1]", "null", "{"]) expect(pastedInfo(text)).toBeNull();
});
