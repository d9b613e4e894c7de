/** What the passing of time alone may do to a stream: nothing. Time is what these tests wait for, and they do so side by side. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as pass } from "node:timers/promises";

import { FIRST, TRANSPORTS, range, startProxy, startServer, watch } from "./support.mjs";

/** With a heartbeat of a second. Machines that are busy with something else must not be taken for silence. */
const TIMING = { graceMs: 3000, doubtMs: 2000, pollWaitMs: 1000 };

// Goal: a quiet connection that is well stays. Method: several heartbeats without an event, by each transport.
async function bearsQuiet(t, transport) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, transport, timing: TIMING });
  await watcher.live();
  const told = watcher.states.length;
  await pass(7000);
  assert.equal(watcher.states.length, told);
  await server.users(1);
  await watcher.event(1);
  assert.equal(watcher.states.length, told);
  if (transport !== "poll") assert.equal(proxy.count(transport), 1);
}

// Goal: sleep is not taken for silence, and one that was cut meanwhile is noticed at once on waking.
// Method: a process that is stopped for longer than silence is borne, and events meanwhile; again, while its proxy goes silent.
async function outlivesSleep(t, transport) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const proxy = await startProxy(t, server);
  const child = spawnReader(t, proxy.url, transport);
  await child.until((line) => line.startsWith("live"));
  child.process.kill("SIGSTOP");
  await server.users(3);
  await pass(7000);
  child.process.kill("SIGCONT");
  await child.until((line) => line === "event 3");
  await server.users(1);
  await child.until((line) => line === "event 4");
  const events = (last) => range(1, last).map((seq) => `event ${seq}`);
  assert.deepEqual(child.lines, [...["connecting", "replaying", "live"].map((name) => `${name} ${transport}`), ...events(4)]);

  child.process.kill("SIGSTOP");
  proxy.stall();
  await server.users(1);
  await pass(7000);
  child.process.kill("SIGCONT");
  const woken = Date.now();
  await child.until((line) => line.startsWith("reconnecting"));
  assert.ok(Date.now() - woken < 7000, `${Date.now() - woken} ms`);
  proxy.recover();
  await child.until((line) => line === "event 5");
  assert.deepEqual(child.lines.filter((line) => line.startsWith("event")), events(5));
}

// Goal: an answer that came in time and was not read before sleep counts. Method: a process that is stopped between its ping
// and the answer, for longer than it would wait, so that on waking its timer comes before the answer.
async function outlivesSleepAfterPing(t) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const proxy = await startProxy(t, server);
  const child = spawnReader(t, proxy.url, "websocket");
  await new Promise((resolve) => {
    proxy.onText = () => resolve(child.process.kill("SIGSTOP"));
  });
  proxy.onText = () => {};
  await pass(7000);
  child.process.kill("SIGCONT");
  await server.users(1);
  await child.until((line) => line === "event 1");
  assert.deepEqual(child.lines, ["connecting websocket", "replaying websocket", "live websocket", "event 1"]);
}

// Goal: a hidden page, whose timers come seldom, keeps a connection that is well and drops one that is dead.
// Method: a process whose timers come on every third second only, several heartbeats, and then a proxy that goes silent.
async function outlivesThrottling(t, transport) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const proxy = await startProxy(t, server);
  const child = spawnReader(t, proxy.url, transport, `
    const real = setTimeout;
    globalThis.setTimeout = (callback, ms = 0) => real(callback, 3000 * Math.ceil((Date.now() + ms) / 3000) - Date.now());`);
  await child.until((line) => line.startsWith("live"));
  await pass(6500);
  await server.users(1);
  await child.until((line) => line === "event 1");
  assert.deepEqual(child.lines.length, 4, child.lines.join("\n"));
  proxy.stall();
  const stalled = Date.now();
  await child.until((line) => line.startsWith("reconnecting"));
  assert.ok(Date.now() - stalled < 12_000, `${Date.now() - stalled} ms, which is more than four timers`);
}

// Goal: the cursor of a stream whose filter lets nothing through does not grow old. Method: events of another type only.
async function movesWithoutEvents(t, transport) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const watcher = watch(t, { url: server.url, types: ["message_sent"], transport, timing: TIMING });
  await watcher.live();
  await server.users(3);
  const head = await server.cursor();
  // Nobody is told of it, so that it is looked for.
  for (const until = Date.now() + 10_000; watcher.stream.cursor !== head && Date.now() < until; ) await pass(20);
  assert.equal(watcher.stream.cursor, head);
  assert.deepEqual(watcher.log, [`connecting ${transport}`, `live ${transport}`]);
}

function spawnReader(t, url, transport, prelude = "") {
  const script = `${prelude}
    import { connect } from ${JSON.stringify(new URL("../sambad.js", import.meta.url).href)};
    const timing = ${JSON.stringify({ ...TIMING, backoffMs: 20, backoffMaxMs: 200 })};
    const onState = ({ name, transport }) => console.log(name, transport);
    const onEvent = ({ seq }) => console.log("event", seq);
    connect({ url: ${JSON.stringify(url)}, transport: "${transport}", after: 0, timing, onState, onEvent });`;
  const flags = transport === "websocket" ? ["--experimental-websocket"] : [];
  const stdio = ["ignore", "pipe", "ignore"];
  const child = spawn(process.execPath, [...flags, "--input-type=module", "--eval", script], { stdio });
  t.after(() => child.kill("SIGKILL"));
  const reader = { process: child, lines: [], look: () => {} };
  createInterface({ input: child.stdout }).on("line", (line) => {
    reader.lines.push(line);
    reader.look();
  });
  reader.until = (condition) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`never: ${condition}; said:\n${reader.lines.join("\n")}`)), 30_000);
      reader.look = () => {
        if (!reader.lines.some(condition)) return;
        clearTimeout(timer);
        resolve();
      };
      reader.look();
    });
  return reader;
}

test("time", { concurrency: true }, async (t) => {
  const all = TRANSPORTS.flatMap((transport) => [
    t.test(`${transport}: bears quiet`, (t) => bearsQuiet(t, transport)),
    t.test(`${transport}: moves without events`, (t) => movesWithoutEvents(t, transport)),
    // A poll has no watch that time could deceive, but the timeout of its request.
    ...(transport === "poll" ? [] : [
      t.test(`${transport}: outlives sleep`, (t) => outlivesSleep(t, transport)),
      t.test(`${transport}: outlives throttling`, (t) => outlivesThrottling(t, transport)),
    ]),
  ]);
  if (FIRST === "websocket") all.push(t.test("outlives sleep after a ping", outlivesSleepAfterPing));
  await Promise.all(all);
});
