/**
 * Clients of event streams that others wrote, as they are published: a cut before the first event loses nothing, with a filter or
 * without. `scripts/third-party.sh` installs them and says where, in SAMBAD_TEST_LIBRARIES.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { range, startServer } from "../support.mjs";

const LIBRARIES = process.env.SAMBAD_TEST_LIBRARIES;
const load = createRequire(join(LIBRARIES, "package.json"));
// Loaded before another test makes up a window, by which it would take Node for a browser of long ago.
const { EventSourcePolyfill } = load("event-source-polyfill");
const READER = fileURLToPath(new URL("reader.py", import.meta.url));
/** Longer than anything here takes; only a failure waits for it. */
const PATIENCE_MS = 60_000;
/** What these tests wait for. */
const TYPES = ["connected", "heartbeat", "user_created", "message_sent"];

/** Opens a stream in each library's own way: `take(type, data)` is called with its messages. Returns what closes it. */
const CLIENTS = {
  "eventsource 3": (url, take) => listen(new (load("eventsource").EventSource)(url), take),
  "eventsource 2": (url, take) => listen(new (load("eventsource-2"))(url), take),
  "launchdarkly-eventsource": (url, take) => {
    const { EventSource } = load("launchdarkly-eventsource");
    return listen(new EventSource(url, { initialRetryDelayMillis: 100, errorFilter: () => true }), take);
  },
  "event-source-polyfill": (url, take) => listen(new EventSourcePolyfill(url), take),
  "eventsource-client": (url, take) => {
    const onMessage = ({ event, data }) => take(event, data);
    const client = load("eventsource-client").createEventSource({ url, onMessage });
    return () => client.close();
  },
  "fetch-event-source": (url, take) => {
    // It was written for browsers: this is all that it needs of one.
    globalThis.window ??= globalThis;
    const abort = new AbortController();
    const quiet = { addEventListener() {}, removeEventListener() {} };
    globalThis.document ??= quiet;
    const onmessage = ({ event, data }) => event && take(event, data);
    load("@microsoft/fetch-event-source").fetchEventSource(url, { signal: abort.signal, openWhenHidden: true, onmessage });
    return () => abort.abort();
  },
  "sseclient-py": (url, take) => readByPython("sseclient", url, take),
  "httpx-sse": (url, take) => readByPython("httpx_sse", url, take),
};

function listen(source, take) {
  // One of them throws what nobody listens to.
  source.onerror = () => {};
  for (const type of TYPES) source.addEventListener(type, ({ data }) => take(type, data));
  return () => source.close();
}

function readByPython(library, url, take) {
  const child = spawn(join(LIBRARIES, "python/bin/python"), [READER, library, url], { stdio: ["ignore", "pipe", "inherit"] });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { event, data } = JSON.parse(line);
    take(event, data);
  });
  return () => child.kill("SIGKILL");
}

/** An HTTP proxy that can be cut. Its `ids` are the positions by which streams were asked for, null where there was none. */
async function startProxy(t, server) {
  const sockets = new Set();
  const proxy = { ids: [], isDown: false, url: "" };
  const listener = http.createServer((request, response) => {
    const query = new URL(request.url, "http://x").searchParams;
    proxy.ids.push(request.headers["last-event-id"] ?? query.get("lastEventId"));
    const { method, headers, url: path } = request;
    const upstream = http.request({ host: "127.0.0.1", port: server.port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    upstream.end();
  });
  listener.on("connection", (socket) => {
    if (proxy.isDown) socket.destroy();
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  /** Cuts every connection, and each that is made until `mend`. */
  proxy.cut = () => {
    proxy.isDown = true;
    for (const socket of sockets) socket.destroy();
  };
  proxy.mend = () => (proxy.isDown = false);
  proxy.url = `http://127.0.0.1:${listener.address().port}`;
  t.after(() => {
    listener.close();
    proxy.cut();
  });
  return proxy;
}

/** Opens a stream, and gives what it has brought, with a way to wait for more. */
function open(t, client, url) {
  const stream = { events: [], cursors: new Set(), look: () => {} };
  const close = CLIENTS[client](url, (type, json) => {
    const { data, seq } = JSON.parse(json);
    if (seq === undefined) stream.cursors.add(data.cursor);
    else stream.events.push(seq);
    stream.look();
  });
  t.after(close);
  stream.until = (condition) =>
    new Promise((resolve, reject) => {
      const told = () => `never: ${condition}; events ${stream.events}, cursors ${[...stream.cursors]}`;
      const timer = setTimeout(() => reject(new Error(told())), PATIENCE_MS);
      stream.look = () => {
        if (!condition(stream)) return;
        clearTimeout(timer);
        resolve();
      };
      stream.look();
    });
  return stream;
}

// Goal: a client that asks for no position and is cut before the first event gets what happens meanwhile, each once.
// Method: two events before; connect, cut, three events, mend; one more, to see that nothing comes twice.
async function losesNothing(t, client) {
  const server = await startServer(t);
  await server.users(2);
  const proxy = await startProxy(t, server);
  const stream = open(t, client, `${proxy.url}/api/events/stream`);
  await stream.until(({ cursors }) => cursors.size > 0);
  const cursor = await server.cursor();
  proxy.cut();
  await server.users(3);
  proxy.mend();
  await stream.until(({ events }) => events.length >= 3);
  await server.users(1);
  await stream.until(({ events }) => events.at(-1) === 6);
  assert.deepEqual(stream.events, range(3, 6));
  assert.deepEqual([proxy.ids[0], proxy.ids.at(-1)], [null, cursor]);
}

// Goal: the same with a filter that lets nothing through: the client's position moves with the log, or it would be trimmed away
// beneath it. Method: a short heartbeat, and ten events of another type before the cut.
async function movesOn(t, client) {
  const server = await startServer(t, "--heartbeat-s", "1");
  const proxy = await startProxy(t, server);
  const stream = open(t, client, `${proxy.url}/api/events/stream?types=message_sent`);
  await stream.until(({ cursors }) => cursors.size > 0);
  const { id } = await server.users(10);
  const cursor = await server.cursor();
  await stream.until(({ cursors }) => cursors.has(cursor));
  proxy.cut();
  for (const content of ["a", "b", "c"]) {
    await server.users(1);
    await server.post("/api/messages", { fromUserId: id, toUserId: id, content });
  }
  proxy.mend();
  await stream.until(({ events }) => events.length >= 3);
  await server.post("/api/messages", { fromUserId: id, toUserId: id, content: "d" });
  await stream.until(({ events }) => events.at(-1) === 17);
  assert.deepEqual(stream.events, [12, 14, 16, 17]);
  assert.equal(proxy.ids.at(-1), cursor);
}

test("clients of others", { concurrency: true }, async (t) => {
  const all = Object.keys(CLIENTS).flatMap((client) => [
    t.test(`${client}: loses nothing`, (t) => losesNothing(t, client)),
    t.test(`${client}: moves on`, (t) => movesOn(t, client)),
  ]);
  await Promise.all(all);
});
