// The curve, its running mean, and the points that are drawn of it.

import { describe, expect, it } from "vitest";
import { Curve, firstAtLeast, nearest, RunningMean, thin } from "../src/client/curve";

function point(step: number, loss = 2) {
  return {
    step,
    loss,
    learning_rate: 1e-4,
    grad_norm: 1,
    tokens_per_second: 100,
  };
}

describe("the curve", () => {
  it("drops what a resumed attempt is about to repeat", () => {
    const curve = new Curve();
    for (let n = 1; n <= 6; n++) curve.add(point(n, 3 - n / 10));
    curve.addHeldOut(3, 2.9, 0.4);
    curve.addHeldOut(6, 2.8, 0.5);
    curve.add(point(4, 2));
    expect(curve.step).toEqual([1, 2, 3, 4]);
    expect(curve.loss.at(-1)).toBe(2);
    expect(curve.heldOut.step).toEqual([3]);
    expect(curve.rewinds).toBe(1);
  });

  it("keeps held-out loss beside training loss, also before the first step", () => {
    const curve = new Curve();
    curve.addHeldOut(0, 3.1, 0.3);
    curve.add(point(1, 3));
    curve.addHeldOut(1, 2.8, 0.4);
    expect(curve.step).toEqual([1]);
    expect(curve.heldOut.step).toEqual([0, 1]);
    expect(curve.heldOut.loss).toEqual([3.1, 2.8]);
  });

  it("takes the same events again without a change", () => {
    const curve = new Curve();
    for (const _ of [1, 2]) {
      for (let n = 1; n <= 3; n++) curve.add(point(n));
      curve.addHeldOut(3, 2, 0.5);
    }
    expect(curve.step).toEqual([1, 2, 3]);
    expect(curve.heldOut.step).toEqual([3]);
  });
});

describe("the running mean", () => {
  it("is the value itself without weight, and at the first point", () => {
    expect(new RunningMean(0).of([3, 1, 2])).toEqual([3, 1, 2]);
    expect(new RunningMean(0.9).of([5])[0]).toBeCloseTo(5);
  });

  it("is not pulled by its start", () => {
    const flat = Array.from({ length: 200 }, (_, n) => (n % 2 === 0 ? 1.1 : 0.9));
    const means = new RunningMean(0.95).of(flat);
    for (const mean of means.slice(20)) expect(Math.abs(mean - 1)).toBeLessThan(0.05);
  });

  it("grows point by point to what it would be at once, and starts anew after a rewind", () => {
    const values = Array.from({ length: 300 }, (_, n) => Math.sin(n) + 2);
    const mean = new RunningMean(0.97);
    const growing: number[] = [];
    for (const value of values) {
      growing.push(value);
      mean.of(growing);
    }
    expect(mean.of(growing)).toEqual(new RunningMean(0.97).of(values));
    growing.splice(100, 200, 9, 9);
    expect(mean.of(growing, 1)).toEqual(new RunningMean(0.97).of(growing));
  });
});

describe("thinning", () => {
  const xs = Array.from({ length: 100_000 }, (_, n) => n + 1);
  const ys = xs.map((x) => 1 + Math.sin(x / 5_000));

  it("keeps every spike, both ends, and few points", () => {
    const spiky = [...ys];
    spiky[54_321] = 50;
    spiky[77_777] = -50;
    const [x, y] = thin(xs, spiky, 1, 100_000, 800);
    expect(x.length).toBeLessThanOrEqual(4 * 801);
    expect(y).toContain(50);
    expect(y).toContain(-50);
    expect([x[0], x.at(-1)]).toEqual([1, 100_000]);
    expect(x).toEqual([...x].sort((a, b) => a - b));
    expect(new Set(x).size).toBe(x.length);
  });

  it("keeps all of few points and one beyond each edge of the view", () => {
    expect(thin(xs, ys, 10, 14, 800)[0]).toEqual([9, 10, 11, 12, 13, 14]);
    expect(thin([], [], 0, 1, 800)).toEqual([[], []]);
  });
});

describe("looking up", () => {
  it("finds the nearest step", () => {
    expect(nearest([1, 5, 9], 6)).toBe(1);
    expect(nearest([1, 5, 9], 8)).toBe(2);
    expect(nearest([1, 5, 9], -3)).toBe(0);
    expect(nearest([1, 5, 9], 99)).toBe(2);
    expect(nearest([], 1)).toBe(-1);
    expect(firstAtLeast([1, 5, 9], 5)).toBe(1);
  });
});
