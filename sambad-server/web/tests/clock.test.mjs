/** What a time of day that is wrong, or is set while a page is open, may do to a stream: nothing. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { EPOCH, connected, startHostile } from "./hostile.mjs";
import { FIRST, TRANSPORTS, startProxy, startServer, watch } from "./support.mjs";

const HOUR_MS = 3_600_000;
const withWebSocket = { skip: FIRST !== "websocket" && "this Node has no WebSocket" };
/** Machines that are busy with something else must not be taken for silence. */
const TIMING = { graceMs: 3_000, doubtMs: 2_000, pollWaitMs: 1_000 };

/** From now on the time of day is `ms` later, until the test ends. */
function setClock(t, ms) {
  const real = Date.now;
  Date.now = () => real() + ms;
  t.after(() => (Date.now = real));
}

/** Runs tests side by side; the clock is set by `ms` once each of them has called `ready`, or has ended. */
async function together(t, ms, tests) {
  let waiting = tests.length;
  let set;
  const isSet = new Promise((resolve) => (set = resolve));
  const run = ([name, body]) => {
    let counted = false;
    const ready = () => {
      if (counted) return isSet;
      counted = true;
      waiting -= 1;
      if (waiting === 0) set(setClock(t, ms));
      return isSet;
    };
    return t.test(name, (t) => body(t, ready).finally(() => void ready()));
  };
  await Promise.all(tests.map(run));
}

// Goal: a poll goes on when the clock is set back while it is held. Method: the requests that a proxy sees, and an event.
async function pollsOn(t, ready) {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, transport: "poll", timing: TIMING });
  await watcher.live();
  await server.listened();
  await ready();
  const begun = performance.now();
  await proxy.next("poll");
  await proxy.next("poll");
  assert.ok(performance.now() - begun < 15_000, `${performance.now() - begun} ms for two polls of a second`);
  await server.users(1);
  await watcher.event(1);
  assert.deepEqual(watcher.names, ["connecting", "live"]);
}

// Goal: silence is noticed when the clock was set back. Method: a connection that goes silent right after.
async function noticesSilence(t, ready, transport) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, transport, timing: TIMING });
  await watcher.live();
  await ready();
  proxy.stall();
  await watcher.until(({ names }) => names.includes("reconnecting"));
  assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "silent");
}

// Goal: what is left of a delay stays below it. Method: an attempt at nothing.
async function countsDown(t, ready) {
  const watcher = watch(t, { url: "http://127.0.0.1:9", transport: "poll", timing: { backoffMs: 1e6, backoffMaxMs: 1e6 } });
  await watcher.until(({ names }) => names.includes("reconnecting"));
  await ready();
  const { retryInMs } = watcher.states.at(-1);
  const left = watcher.stream.state.retryInMs;
  assert.ok(Number.isInteger(left) && left <= retryInMs && left > retryInMs - 60_000, `${left} of ${retryInMs}`);
}

test("a clock that is set back", { concurrency: true }, async (t) => {
  await together(t, -HOUR_MS, [
    ["poll: goes on", pollsOn],
    ["counts down", countsDown],
    ...TRANSPORTS.filter((transport) => transport !== "poll").map((transport) => [
      `${transport}: notices silence`,
      (t, ready) => noticesSilence(t, ready, transport),
    ]),
  ]);
});

// Goal: a machine that wakes finds out at once that its connection is dead. Where the clock stands still in sleep, only the time
// of day shows it. Method: a connection that goes silent, and a time of day that leaps; the heartbeat is 25 s.
async function findsOutOnWaking(t, ready, transport) {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, transport, timing: { graceMs: 10_000, doubtMs: 1_000 } });
  await watcher.live();
  await server.listened();
  await ready();
  const begun = performance.now();
  proxy.stall();
  proxy.recover();
  await server.users(1);
  await watcher.event(1);
  assert.ok(performance.now() - begun < 20_000, `${performance.now() - begun} ms, which no suspension explains`);
  assert.deepEqual(watcher.seqs, [1]);
}

// Goal: a clock that is set forward costs a WebSocket one ping, and no cut. Method: what a proxy passes on, then an event.
async function asksOnly(t, ready) {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, transport: "websocket", timing: { doubtMs: 20_000 } });
  await watcher.live();
  await ready();
  await new Promise((resolve) => (proxy.onText = resolve));
  await server.users(1);
  await watcher.event(1);
  assert.deepEqual(watcher.names, ["connecting", "live"]);
  assert.equal(proxy.count("websocket"), 1);
}

// Goal: a delay that would have passed in sleep is over on waking. Method: an attempt at nothing, with an endless delay.
async function triesOnWaking(t, ready) {
  const watcher = watch(t, { url: "http://127.0.0.1:9", transport: "poll", timing: { backoffMs: 1e9, backoffMaxMs: 1e9 } });
  await watcher.until(({ names }) => names.includes("reconnecting"));
  await ready();
  await watcher.until(({ names }) => names.filter((name) => name === "connecting").length === 2);
}

test("a machine that was suspended, or a clock that is set forward", { concurrency: true }, async (t) => {
  await together(t, HOUR_MS, [
    ["tries on waking", triesOnWaking],
    ...(FIRST === "websocket" ? [["websocket: asks only", asksOnly]] : []),
    ...TRANSPORTS.map((transport) => [`${transport}: finds out`, (t, ready) => findsOutOnWaking(t, ready, transport)]),
  ]);
});

for (const [how, ms] of [["fast", HOUR_MS], ["slow", -HOUR_MS]]) {
  // Goal: a token is renewed in time, and not all the time, by a page whose clock is wrong. Method: a server that says twice in a
  // row that the token ends in 4 s: the second time the page waits for half of that.
  test(`renews a token although the clock is ${how}`, withWebSocket, async (t) => {
    setClock(t, ms);
    const at = new Date();
    const expiresAt = new Date(at.getTime() + 4_000).toISOString();
    const expiring = JSON.stringify({ type: "token_expiring", data: { expires_at: expiresAt } });
    let session;
    const hostile = await startHostile(t, (opened) => {
      session = opened;
      session.send(JSON.stringify({ ...JSON.parse(connected(0)), timestamp: at.toISOString() }));
      session.send(expiring);
    });
    const asked = [];
    const renewed = new Promise((resolve) => {
      const token = () => {
        asked.push(performance.now());
        if (asked.length === 2) session.send(expiring);
        if (asked.length === 3) resolve();
        return "abc";
      };
      watch(t, { url: hostile.url, after: 0, token });
    });
    await renewed;
    const waited = asked[2] - asked[1];
    assert.ok(waited > 1_500 && waited < 15_000, `${waited} ms`);
  });

  // Goal: a date in `Retry-After` counts from the server's `Date`. Method: a server that is full and names 3 s from now.
  test(`waits as long as a date asks although the clock is ${how}`, async (t) => {
    setClock(t, ms);
    const busy = createServer((request, response) => {
      const date = new Date();
      response.sendDate = false;
      response.writeHead(503, { date: date.toUTCString(), "retry-after": new Date(date.getTime() + 3_000).toUTCString() });
      response.end();
    });
    busy.listen(0, "127.0.0.1");
    await once(busy, "listening");
    t.after(() => busy.close());
    const watcher = watch(t, { url: `http://127.0.0.1:${busy.address().port}`, transport: "poll", after: `${EPOCH}-0` });
    await watcher.until(({ names }) => names.includes("reconnecting"));
    const { retryInMs } = watcher.states.at(-1);
    assert.ok(retryInMs >= 3_000 && retryInMs <= 3_750, `${retryInMs}`);
  });
}
