// A key's budgets as typed, and browsers by the names that people know.

import { describe, expect, it } from "vitest";
import { typedBudgets } from "../src/pages/settings/Budgets";
import { browserOf } from "../src/pages/settings/browser";

describe("budgets", () => {
  it("are no limit where nothing is typed, and nothing at 0", () => {
    expect(typedBudgets({ ever: "", month: "0" })).toEqual({
      budget_credits: null,
      month_budget_credits: 0,
    });
    expect(typedBudgets({ ever: "12.5", month: " " })).toEqual({
      budget_credits: 12_500_000,
      month_budget_credits: null,
    });
  });

  it("are not sent where one is no amount", () => {
    expect(typedBudgets({ ever: "much", month: "" })).toBeNull();
  });
});

describe("a browser", () => {
  const chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

  it("is told from those it pretends to be", () => {
    expect(browserOf(`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${chrome}`)).toEqual({
      browser: "Chrome",
      system: "Windows",
    });
    expect(browserOf(`Mozilla/5.0 (Windows NT 10.0) ${chrome} Edg/142.0`).browser).toBe("Edge");
    expect(
      browserOf("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/18 Safari/605.1.15"),
    ).toEqual({ browser: "Safari", system: "macOS" });
    expect(browserOf("Mozilla/5.0 (Linux; Android 15) Chrome/142").system).toBe("Android");
    expect(browserOf("Mozilla/5.0 (iPhone; CPU iPhone OS 18 like Mac OS X) Safari").system).toBe(
      "iOS",
    );
  });

  it("may be none at all", () => {
    expect(browserOf("")).toEqual({ browser: null, system: null });
  });
});
