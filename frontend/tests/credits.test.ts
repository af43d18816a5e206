// Money as typed and shown, voucher codes in any writing, the statement's signs, the chart's days.

import { describe, expect, it } from "vitest";
import { newKey } from "../src/client/http";
import { microCredits, typedCredits } from "../src/design/numbers";
import { campaignState, codesCsv, domains, invariantNumber } from "../src/pages/admin/campaigns";
import { changedLimits, typedLimits } from "../src/pages/admin/limits";

import { period, saysMore, signed, subjectOf } from "../src/pages/credits/statement";
import { everyDay, firstDay, roundTop, type Usage } from "../src/pages/credits/usage";
import { readVoucher } from "../src/pages/credits/voucher";

describe("credits as typed", () => {
  it("are exact to the micro-credit", () => {
    expect(microCredits("0.1")).toBe(100_000);
    expect(microCredits("1,250.000001")).toBe(1_250_000_001);
    expect(microCredits(" 12 ")).toBe(12_000_000);
    expect(microCredits("9007199254.740991")).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("are refused where they are no amount", () => {
    for (const typed of ["", "-1", "1e6", "0.1234567", "12 credits", "9007199254.740992"]) {
      expect(microCredits(typed)).toBeNull();
    }
  });

  it("come back as they were", () => {
    for (const micro of [0, 1, 100_000, 5_000_000, 75_965_520, Number.MAX_SAFE_INTEGER]) {
      expect(microCredits(typedCredits(micro))).toBe(micro);
    }
  });
});

describe("a voucher's code", () => {
  const code = "TUN-7K3M-9QW2-XJ5T-Z8RB-J"; // as the service makes them

  it("counts in any writing", () => {
    for (const typed of [
      code,
      code.toLowerCase(),
      "7k3m 9qw2 xj5t z8rb j",
      "tun7k3m9qw2xj5tz8rbj",
      " TUN–7K3M–9QW2–XJ5T–Z8RB–J. ",
    ]) {
      expect(readVoucher(typed)).toEqual({ written: code, state: "complete" });
    }
  });

  it("reads I and L as 1, O as 0", () => {
    const state = "complete";
    const written = "TUN-0123-4567-89AB-CDEF-P";
    expect(readVoucher("tun-OI23-4567-89ab-cdef-p")).toEqual({ written, state });
    expect(readVoucher("Ol23456789ABCDEFP")).toEqual({ written, state });
  });

  it("is seen through where a letter is wrong or two are swapped", () => {
    expect(readVoucher("TUN-7K3M-9QW2-XJ5T-Z8RB-K").state).toBe("mistyped");
    expect(readVoucher("TUN-K73M-9QW2-XJ5T-Z8RB-J").state).toBe("mistyped");
    expect(readVoucher("TUN-7K3M-9QW2-XJ5T-Z8RB-JJ").state).toBe("mistyped");
    expect(readVoucher("TUN-7U").state).toBe("mistyped");
  });

  it("is not judged before it is whole", () => {
    expect(readVoucher("").state).toBe("empty");
    expect(readVoucher("tu")).toEqual({ written: "TU", state: "partial" });
    expect(readVoucher("tun-7k3m-9q")).toEqual({ written: "TUN-7K3M-9Q", state: "partial" });
  });
});

describe("the statement", () => {
  it("gives a sign to what comes and goes, none to what only moves", () => {
    expect(signed({ type: "grant", amount: 5 })).toBe(5);
    expect(signed({ type: "settle", amount: 5 })).toBe(-5);
    expect(signed({ type: "expiry", amount: 5 })).toBe(-5);
    expect(signed({ type: "hold", amount: 5 })).toBe(0);
  });

  it("knows what an entry is about", () => {
    expect(subjectOf("ftjob-a").kind).toBe("job");
    expect(subjectOf("chatcmpl-a").kind).toBe("chat");
    expect(subjectOf("grant/voucher/code-a/ten-a").kind).toBe("voucher");
    expect(subjectOf("grant/sign-up/ten-a").kind).toBe("sign_up");
    expect(subjectOf("something").kind).toBe("other");
  });

  it("takes whole days of the reader's", () => {
    const { since, until } = period("2026-11-01", "2026-11-01");
    expect(new Date(since ?? "").getTime()).toBe(new Date(2026, 10, 1).getTime());
    expect(new Date(until ?? "").getTime()).toBe(new Date(2026, 10, 2).getTime());
    expect(period("yesterday", undefined)).toEqual({});
  });
});

describe("usage by day", () => {
  const now = Date.parse("2026-11-05T12:00:00Z");
  const row = (key: string, training: number) =>
    ({ key, training_credits: training, chat_credits: 1 }) as Usage;

  it("has a bar for every day, also where nothing was used", () => {
    const bars = everyDay([row("2026-11-03", 7)], firstDay(4, now), now);
    expect(bars.map((bar) => bar.key)).toEqual([
      "2026-11-02",
      "2026-11-03",
      "2026-11-04",
      "2026-11-05",
    ]);
    expect(bars.map((bar) => bar.training)).toEqual([0, 7, 0, 0]);
  });

  it("begins with the first day of use where it shows all, a year at most", () => {
    expect(everyDay([row("2026-11-04", 7)], null, now)).toHaveLength(2);
    expect(everyDay([row("2020-01-01", 7)], null, now)).toHaveLength(366);
    expect(everyDay([], null, now)).toEqual([]);
  });

  it("has a round top", () => {
    expect([0, 1, 3, 260_000, 600].map(roundTop)).toEqual([1, 1, 5, 500_000, 1_000]);
  });
});

describe("a campaign", () => {
  const open = {
    revoked_at: null,
    starts_at: 100,
    ends_at: null,
    redemptions: 3,
    redemptions_max: 4,
    credits: 30,
    credits_max: 40,
    amount: 10,
  };

  it("says whether it still gives", () => {
    expect(campaignState(open, 200)).toBe("open");
    expect(campaignState(open, 50)).toBe("scheduled");
    expect(campaignState({ ...open, ends_at: 150 }, 200)).toBe("ended");
    expect(campaignState({ ...open, redemptions: 4 }, 200)).toBe("used_up");
    expect(campaignState({ ...open, credits: 31 }, 200)).toBe("used_up");
    expect(campaignState({ ...open, revoked_at: 1, ends_at: 150 }, 200)).toBe("revoked");
  });

  it("takes domains as people write them", () => {
    expect(domains("Example.org, @school.edu;  ")).toEqual(["example.org", "school.edu"]);
  });

  it("hands its codes out as a sheet", () => {
    expect(codesCsv([{ id: "code-a", code: "TUN-A" }])).toBe("code,id\r\nTUN-A,code-a\r\n");
  });
});

describe("the operator's limits", () => {
  const before = { queued_jobs_max: 5, credits_per_day_max: 2_500_000 };

  it("send only what changed, null for the service's own", () => {
    const typed = typedLimits(before);
    expect(typed.credits_per_day_max).toBe("2.5");
    expect(changedLimits(typed, before)).toEqual({});
    expect(
      changedLimits({ ...typed, queued_jobs_max: "", storage_bytes_max: "1.5" }, before),
    ).toEqual({ queued_jobs_max: null, storage_bytes_max: 1_500_000_000 });
  });

  it("are not sent while a field is no number", () => {
    expect(changedLimits({ ...typedLimits(before), running_jobs_max: "two" }, before)).toBeNull();
  });

  it("come with a key of their own", () => {
    expect(newKey()).toMatch(/^[0-9a-f]{32}$/);
    expect(newKey()).not.toBe(newKey());
  });

  it("know an invariant's number", () => {
    expect(invariantNumber("I10 a job is charged by its own quote")).toBe("I10");
    expect(invariantNumber("a transfer stays within its tenant")).toBeNull();
  });
});

describe("a reason", () => {
  it("is shown where a person or a campaign wrote it", () => {
    expect(saysMore({ type: "grant", subject: "grant/voucher/code-a/ten-a" })).toBe(true);
    expect(saysMore({ type: "grant", subject: "grant/sign-up/ten-a" })).toBe(false);
    expect(saysMore({ type: "refund", subject: "ftjob-a" })).toBe(true);
    expect(saysMore({ type: "settle", subject: "ftjob-a" })).toBe(false);
  });
});
