/** Answers that do not go on from where they were asked to: what a cache, a service worker or a broken proxy repeats. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { EPOCH, connected, event, live, startHostile } from "./hostile.mjs";
import { range, startServer, watch } from "./support.mjs";

/** Requests that one attempt to connect may cost: the first page, and polls until it is clear that they lead nowhere. */
const REQUESTS_AN_ATTEMPT = 5;
const lost = ({ name }) => name === "reconnecting";
const page = (seqs, cursor, head, epoch = EPOCH) =>
  `{"events":[${seqs.map((seq) => event(seq)).join(",")}],"cursor":"${epoch}-${cursor}","head":${head},"first":1}`;

/**
 * An HTTP proxy that does not pass on upgrades, and asks `pick(url)` for each other request: under which name its answer is kept
 * and repeated, or nothing for one that is passed on.
 */
async function startCache(t, server, pick) {
  const cache = { requests: [], pick, kept: new Map(), url: "" };
  const listener = createServer(async (request, response) => {
    const url = new URL(request.url, "http://x");
    cache.requests.push(request.url);
    const name = cache.pick(url);
    const kept = name === undefined ? undefined : cache.kept.get(name);
    const answer = kept ?? (await forward(server.url + request.url, request, response));
    if (!answer) return;
    if (name !== undefined) cache.kept.set(name, answer);
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => {
    listener.close();
    listener.closeAllConnections();
  });
  cache.url = `http://127.0.0.1:${listener.address().port}`;
  return cache;
}

/** Gives a whole answer, or passes a stream on and gives nothing. */
async function forward(url, request, response) {
  const abort = new AbortController();
  response.on("close", () => abort.abort());
  try {
    const answer = await fetch(url, { signal: abort.signal, headers: { accept: request.headers.accept ?? "*/*" } });
    const cursor = answer.headers.get("sambad-cursor");
    const headers = { "content-type": answer.headers.get("content-type"), ...(cursor && { "sambad-cursor": cursor }) };
    if (!headers["content-type"].startsWith("text/event-stream")) {
      return { status: answer.status, headers, body: await answer.text() };
    }
    response.writeHead(answer.status, headers);
    for await (const chunk of answer.body) response.write(chunk);
  } catch {
    response.destroy();
  }
  return null;
}

const isPoll = (url) => url.pathname === "/api/events";

/** Waits until the stream has given up `times` connections; then checks that it asked no more than that may cost. */
async function backsOff(watcher, cache, times = 4) {
  await watcher.until(({ states }) => states.filter(lost).length >= times);
  const attempts = watcher.states.filter(({ name }) => name === "connecting").length;
  const most = attempts * REQUESTS_AN_ATTEMPT;
  assert.ok(cache.requests.length <= most, `${cache.requests.length} requests by ${attempts} attempts`);
  for (const state of watcher.states.filter(lost)) assert.equal(state.error.code, "protocol");
}

for (const [how, name] of [
  ["every page", () => "page"],
  ["every page that waits", (url) => (url.searchParams.has("wait") ? "page" : undefined)],
  ["every page of a cursor", (url) => url.searchParams.get("after")],
]) {
  // Goal: a cache that repeats pages is not asked all the time, nothing is handed over twice, and all is there when it ends.
  // Method: the real server behind such a cache, with writes before and after.
  test(`poll: survives a cache of ${how}`, async (t) => {
    const server = await startServer(t);
    await server.users(3);
    const cache = await startCache(t, server, (url) => (isPoll(url) ? name(url) : undefined));
    const watcher = watch(t, { url: cache.url, transport: "poll", after: 0, timing: { pollWaitMs: 1_000, backoffMs: 4 } });
    await watcher.event(3);
    await server.users(2);
    // What has come was useful; what follows is not.
    await backsOff(watcher, cache, 3);
    cache.pick = () => undefined;
    await server.users(1);
    await watcher.event(6);
    assert.deepEqual(watcher.seqs, range(1, 6));
    assert.deepEqual(watcher.resyncs, []);
  });
}

// Goal: an event stream takes over where a cache keeps polls from going on. Method: streams are refused at first, so that polls
// come into use.
test("leaves polls that a cache repeats", async (t) => {
  const server = await startServer(t);
  await server.users(3);
  const cache = await startCache(t, server, (url) => (isPoll(url) ? undefined : "refused"));
  cache.kept.set("refused", { status: 403, headers: { "content-type": "text/plain" }, body: "no" });
  const watcher = watch(t, { url: cache.url, after: 0, timing: { pollWaitMs: 1_000 } });
  await watcher.event(3);
  assert.equal(watcher.stream.state.transport, "poll");
  cache.pick = (url) => (isPoll(url) ? "page" : undefined);
  await server.users(2);
  await watcher.event(5);
  await watcher.live();
  assert.equal(watcher.stream.state.transport, "sse");
  assert.deepEqual(watcher.seqs, range(1, 5));
});

// Goal: a refusal that is repeated is told once, and backed off from. Method: a kept 410.
test("poll: survives a 410 that is repeated", async (t) => {
  const server = await startServer(t);
  await server.users(3);
  const cache = await startCache(t, server, (url) => (isPoll(url) ? "gone" : undefined));
  const watcher = watch(t, { url: cache.url, transport: "poll", after: "00000000-7", timing: { backoffMs: 4 } });
  await backsOff(watcher, cache);
  assert.deepEqual(watcher.resyncs.map(({ reason }) => reason), ["epoch_changed"]);
  cache.pick = () => undefined;
  await server.users(1);
  await watcher.event(4);
  assert.deepEqual(watcher.seqs, [4]);
});

for (const [what, answer] of [
  ["events before the cursor", page([1, 2], 2, 2)],
  ["events of which the first is not new", page([5, 6, 7], 7, 7)],
  ["events out of order", page([7, 6], 7, 7)],
  ["an event twice", page([6, 6], 6, 6)],
  ["events beyond its own cursor", page([6, 7], 6, 7)],
  ["events without its cursor", page([6], 5, 6)],
  ["a cursor that goes back", page([], 4, 4)],
  ["a cursor of another epoch", page([], 5, 5, "0000dcba")],
  ["events of another epoch", page([6, 7], 7, 7, "0000dcba")],
  ["nothing although there is more", page([], 5, 9)],
  ["nothing, at once", page([], 5, 5)],
]) {
  // Goal: of a page that does not follow the cursor nothing is handed over, whatever it is, and the stream backs off.
  // Method: a server that has five events and then such pages.
  test(`poll: refuses a page with ${what}`, async (t) => {
    const requests = [];
    const wrong = createServer((request, response) => {
      requests.push(request.url);
      const after = new URL(request.url, "http://x").searchParams.get("after");
      response.end(after === "0" ? page(range(1, 5), 5, 5) : answer);
    });
    wrong.listen(0, "127.0.0.1");
    await once(wrong, "listening");
    t.after(() => (wrong.close(), wrong.closeAllConnections()));
    const url = `http://127.0.0.1:${wrong.address().port}`;
    const watcher = watch(t, { url, transport: "poll", after: 0, timing: { backoffMs: 4 } });
    await backsOff(watcher, { requests }, what.startsWith("nothing") ? 2 : 5);
    assert.deepEqual(watcher.seqs, range(1, 5));
    assert.deepEqual(watcher.resyncs, []);
    assert.equal(watcher.stream.cursor, `${EPOCH}-5`);
  });
}

/** A stream that begins after seq 5 and is answered by `play` until another transport is used; then all is well. */
async function plays(t, play) {
  const used = [];
  const hostile = await startHostile(t, (session, number) => {
    used.push(session.websocket);
    session.send(connected(5));
    if (number < 3) play(session);
    else for (const frame of [event(6), live(6)]) session.send(frame);
  });
  const watcher = watch(t, { url: hostile.url, after: `${EPOCH}-5` });
  await watcher.event(6);
  assert.deepEqual(watcher.seqs, [6]);
  assert.deepEqual(watcher.resyncs, []);
  return { watcher, used };
}

for (const [what, play] of [
  ["old events", (session) => range(1, 5).flatMap(() => range(1, 5)).forEach((seq) => session.send(event(seq)))],
  ["an old position", (session) => session.send(live(4))],
  ["an old heartbeat", (session) => session.send(`{"type":"heartbeat","data":{"cursor":"${EPOCH}-4"}}`)],
  ["a resync to where it began", (session) =>
    session.send(`{"type":"resync","data":{"reason":"cursor_expired","cursor":"${EPOCH}-5"}}`)],
]) {
  // Goal: a connection that repeats is given up, nothing of it is handed over, and another transport is tried.
  // Method: sessions that bring nothing else.
  test(`gives up a connection that brings ${what}`, async (t) => {
    const { watcher, used } = await plays(t, play);
    for (const { error } of watcher.states.filter(lost)) assert.equal(error.code, "protocol");
    if (used[0]) assert.equal(used[1], false, "an event stream comes next");
  });
}
