// The feed and the curve, without a browser: a twin of EventSource is driven by hand.

import assert from "node:assert/strict";
import { after, before, describe, it, mock } from "node:test";
import { runnerImport } from "vite";

let Feed;
let curve;

before(async () => {
  const load = async (path) => (await runnerImport(path, { configFile: false })).module;
  ({ Feed } = await load("./src/client/feed.ts"));
  curve = await load("./src/client/curve.ts");
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

after(() => mock.timers.reset());

class Twin {
  static opened = [];
  readyState = 0;
  onopen = null;
  onerror = null;
  listeners = new Map();

  constructor(url) {
    this.url = url;
    Twin.opened.push(this);
  }

  addEventListener(type, listener) {
    this.listeners.set(type, listener);
  }

  close() {
    this.readyState = 2;
  }

  say(seq, event) {
    const at = "2026-11-24T12:00:00Z";
    this.listeners.get(event.type)({ data: JSON.stringify({ job_id: "ftjob-1", seq, at, event }) });
  }

  breakOff({ forGood }) {
    this.readyState = forGood ? 2 : 0;
    this.onerror();
  }
}

function listen() {
  Twin.opened = [];
  const feed = new Feed("/stream", { open: (url) => new Twin(url), now: () => Date.now() });
  feed.start();
  const heard = () => {
    mock.timers.tick(100);
    return feed.snapshot();
  };
  return { feed, heard, source: Twin.opened[0] };
}

const step = (n, loss = 2) => ({ type: "step", step: n, total_steps: 9, loss });
const status = (word) => ({ type: "status", status: word, message: "", attempt: 1 });

describe("the feed", () => {
  it("is live once the stream is open, and says when it was last heard", () => {
    const { heard, source } = listen();
    assert.equal(heard().link, "connecting");
    source.onopen();
    assert.equal(heard().link, "live");
    source.say(1, step(1));
    const saidAt = Date.now();
    assert.equal(heard().heardAt, saidAt);
  });

  it("leaves the resuming to the browser while the browser still tries", () => {
    const { heard, source } = listen();
    source.onopen();
    source.breakOff({ forGood: false });
    assert.equal(heard().link, "broken");
    mock.timers.tick(60_000);
    assert.equal(Twin.opened.length, 1);
    source.onopen();
    assert.equal(heard().link, "live");
  });

  it("opens a new stream where the browser gave up, and drops what it heard before", () => {
    const { heard, source } = listen();
    source.onopen();
    source.say(1, status("running"));
    source.say(2, step(1));
    source.breakOff({ forGood: true });
    mock.timers.tick(1_000);
    assert.equal(Twin.opened.length, 2);
    const second = Twin.opened[1];
    second.onopen();
    second.say(1, status("running"));
    second.say(2, step(1));
    second.say(3, step(2));
    assert.deepEqual(heard().curve.steps, [1, 2]);
    assert.equal(heard().log.length, 1);
  });

  it("closes after a terminal status and never opens again", () => {
    const { feed, heard, source } = listen();
    source.onopen();
    source.say(1, status("succeeded"));
    assert.equal(source.readyState, 2);
    source.onerror();
    mock.timers.tick(60_000);
    feed.start();
    assert.equal(Twin.opened.length, 1);
    assert.equal(heard().link, "ended");
  });

  it("draws a burst once", () => {
    const { feed, heard, source } = listen();
    let draws = 0;
    feed.subscribe(() => draws++);
    for (let n = 1; n <= 1_000; n++) source.say(n, step(n));
    assert.equal(heard().curve.steps.length, 1_000);
    assert.equal(draws, 1);
  });
});

describe("the curve", () => {
  it("drops what a resumed attempt is about to repeat", () => {
    const drawn = curve.emptyCurve();
    for (let n = 1; n <= 6; n++) curve.addLoss(drawn, n, 3 - n / 10);
    curve.addHeldOut(drawn, 6, 2.9);
    curve.addLoss(drawn, 4, 2);
    assert.deepEqual(drawn.steps, [1, 2, 3, 4]);
    assert.equal(curve.latest(drawn.losses), 2);
    assert.equal(curve.latest(drawn.heldOut), null);
  });

  it("keeps held-out loss beside training loss, in step order, whichever comes first", () => {
    const drawn = curve.emptyCurve();
    curve.addHeldOut(drawn, 0, 3.1);
    curve.addLoss(drawn, 1, 3);
    curve.addHeldOut(drawn, 1, 2.8);
    assert.deepEqual(drawn.steps, [0, 1]);
    assert.deepEqual(drawn.losses, [null, 3]);
    assert.deepEqual(drawn.heldOut, [3.1, 2.8]);
  });

  it("smooths towards the mean of a flat noisy curve", () => {
    const drawn = curve.emptyCurve();
    for (let n = 1; n <= 200; n++) curve.addLoss(drawn, n, n % 2 === 0 ? 1.1 : 0.9);
    assert.ok(Math.abs(curve.latest(drawn.smoothed) - 1) < 0.03);
  });
});
