/** What something between the page and the server can do to a stream: a proxy that refuses, holds back, cuts and goes silent. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST, TRANSPORTS, collectGarbage, range, startProxy, startServer, watch } from "./support.mjs";

const withWebSocket = { skip: FIRST !== "websocket" && "this Node has no WebSocket" };

// Goal: where upgrades are refused, the stream comes as Server-Sent Events, and a reconnect does not try in vain.
// Method: a proxy that answers upgrades with a page of its own; then a cut.
test("falls back to an event stream", withWebSocket, async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  proxy.rules.websocket = "refuse";
  const watcher = watch(t, { url: proxy.url, after: 0 });
  await watcher.live();
  assert.equal(watcher.stream.state.transport, "sse");
  assert.deepEqual(watcher.names, ["connecting", "connecting", "replaying", "live"]);
  // Once, then again after HTTP was answered: so that a server that starts is not taken for a proxy that refuses.
  assert.deepEqual(proxy.requests.map(({ kind }) => kind), ["websocket", "poll", "websocket", "sse"]);
  await server.users(2);
  await watcher.event(2);
  proxy.cut();
  await watcher.until(({ names }) => names.includes("reconnecting"));
  await server.users(2);
  await watcher.event(4);
  assert.deepEqual(watcher.seqs, range(1, 4));
  assert.equal(proxy.count("websocket"), 2);
});

for (const [how, rule] of [["refused", "refuse"], ["held back", "hold"]]) {
  // Goal: where event streams do not get through either, polls do. Method: a proxy that refuses both, or lets no byte back.
  test(`falls back to polls where streams are ${how}`, async (t) => {
    const server = await startServer(t);
    const proxy = await startProxy(t, server);
    proxy.rules.websocket = proxy.rules.sse = rule;
    const watcher = watch(t, { url: proxy.url, after: 0, timing: { connectTimeoutMs: 800 } });
    await watcher.live();
    assert.equal(watcher.stream.state.transport, "poll");
    assert.equal(watcher.names.includes("reconnecting"), false);
    await server.users(3);
    await watcher.event(3);
    assert.deepEqual(watcher.seqs, range(1, 3));
  });
}

// Goal: when the proxy is mended the stream climbs back without a cut, and a climb that fails costs nothing.
// Method: first a proxy that goes on refusing, then one that lets pass, while writes go on.
test("climbs back", withWebSocket, async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  proxy.rules.websocket = "refuse";
  const watcher = watch(t, { url: proxy.url, after: 0, timing: { climbAfterMs: 100 } });
  await watcher.live();
  await proxy.next("websocket");
  await proxy.next("websocket");
  assert.deepEqual(watcher.names, ["connecting", "connecting", "replaying", "live"]);
  proxy.rules.websocket = "pass";
  const writes = server.users(40);
  await watcher.until(({ states }) => states.at(-1).name === "live" && states.at(-1).transport === "websocket");
  await writes;
  await watcher.event(40);
  assert.deepEqual(watcher.seqs, range(1, 40));
  assert.equal(watcher.names.includes("reconnecting"), false);
});

// Goal: from the lowest, the next better is taken where the best is still denied.
// Method: event streams pass again, upgrades do not.
test("climbs one step", withWebSocket, async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  proxy.rules.websocket = proxy.rules.sse = "refuse";
  const watcher = watch(t, { url: proxy.url, timing: { climbAfterMs: 100 } });
  await watcher.live();
  assert.equal(watcher.stream.state.transport, "poll");
  proxy.rules.sse = "pass";
  await watcher.until(({ states }) => states.at(-1).name === "live" && states.at(-1).transport === "sse");
  await server.users(2);
  await watcher.event(2);
  assert.deepEqual(watcher.seqs, [1, 2]);
});

// Goal: an outage is not taken for a proxy that refuses. Method: a server that is gone for several attempts and comes back.
test("an outage does not change the transport", async (t) => {
  const server = await startServer(t);
  const watcher = watch(t, { url: server.url, after: 0 });
  await watcher.live();
  await server.kill();
  await watcher.until(({ names }) => names.filter((name) => name === "reconnecting").length >= 5);
  const attempts = watcher.states.filter(({ name }) => name === "reconnecting").map(({ attempt }) => attempt);
  assert.deepEqual(attempts.slice(0, 5), [0, 1, 2, 3, 4]);
  await server.start();
  await server.users(1);
  await watcher.event(1);
  assert.ok(watcher.states.every(({ transport }) => transport === FIRST));
});

// Goal: a page of events that takes long on a slow network is not given up.
// Method: one that takes several times what silence may.
test("a slow page is no silence", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  await server.users(250);
  proxy.rules.poll = "trickle";
  const watcher = watch(t, { url: proxy.url, after: 0, transport: "poll", timing: { connectTimeoutMs: 1500, graceMs: 1500 } });
  await watcher.live();
  assert.deepEqual(watcher.seqs, range(1, 250));
  assert.deepEqual(watcher.names, ["connecting", "replaying", "live"]);
  assert.ok(watcher.states[1].at - watcher.states[0].at > 3000);
});

// Goal: what is full says so, and for how long; that is about the server and not about a transport.
// Method: a server with room for one session, which another stream takes.
test("a server that is full is asked again when it said", async (t) => {
  const server = await startServer(t, "--sessions-max", "1");
  const other = watch(t, { url: server.url });
  await other.live();
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, after: 0 });
  await watcher.until(({ names }) => names.filter((name) => name === "reconnecting").length === 1);
  const first = proxy.requests.length;
  await watcher.until(({ names }) => names.filter((name) => name === "reconnecting").length === 2);
  assert.equal(watcher.states.at(-1).error.code, "overloaded");
  assert.ok(proxy.requests.length - first <= 1, "one request an attempt");
  const { error, retryInMs, at } = watcher.states.find(({ name }) => name === "reconnecting");
  assert.equal(error.status, 503);
  assert.equal(error.code, "overloaded");
  assert.ok(retryInMs >= 1000, `Retry-After is 1 s at least: ${retryInMs}`);
  other.stream.close();
  await watcher.live();
  const again = watcher.states.find((state) => state.at > at && state.name === "connecting");
  assert.ok(again.at - at >= retryInMs - 5, `${again.at - at} < ${retryInMs}`);
  assert.equal(watcher.stream.state.transport, FIRST);
});

// Goal: a server that was full and falls silent is not waited for without end. Method: a full server behind a proxy that stops
// passing bytes before it is asked again; garbage is collected all the time, as Node forgets some kinds of timers with it.
test("a server that was full and is silent is asked again", async (t) => {
  const server = await startServer(t, "--sessions-max", "1");
  const other = watch(t, { url: server.url });
  await other.live();
  const proxy = await startProxy(t, server);
  const watcher = watch(t, { url: proxy.url, after: 0, timing: { connectTimeoutMs: 500 } });
  await watcher.until(({ names }) => names.includes("reconnecting"));
  proxy.stall();
  const garbage = setInterval(collectGarbage, 20);
  t.after(() => clearInterval(garbage));
  await watcher.until(({ states }) => states.at(-1).name === "reconnecting" && states.at(-1).error.code === "timeout");
  clearInterval(garbage);
  proxy.recover();
  other.stream.close();
  await watcher.live();
});

for (const transport of TRANSPORTS) {
  // Goal: a connection on which nothing arrives any more is noticed, although nobody closed it, and nothing is lost.
  // Method: a proxy that stops passing bytes, and writes meanwhile; a heartbeat of a second.
  test(`${transport}: notices silence`, async (t) => {
    const server = await startServer(t, "--heartbeat-s", "1");
    const proxy = await startProxy(t, server);
    const timing = { graceMs: 1000, doubtMs: 500, pollWaitMs: 1000, connectTimeoutMs: 1000 };
    const watcher = watch(t, { url: proxy.url, after: 0, transport, timing });
    await watcher.live();
    await server.users(2);
    await watcher.event(2);
    proxy.stall();
    const begun = Date.now();
    await server.users(3);
    await watcher.until(({ names }) => names.includes("reconnecting"));
    const { error, at } = watcher.states.find(({ name }) => name === "reconnecting");
    assert.equal(error.code, transport === "poll" ? "timeout" : "silent");
    assert.ok(at - begun < 12_000, `${at - begun} ms`);
    proxy.recover();
    await watcher.event(5);
    assert.deepEqual(watcher.seqs, range(1, 5));
    await watcher.live();
  });
}
