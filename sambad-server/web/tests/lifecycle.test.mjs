/** What the page has in hand: options, callbacks, closing, and its own coming and going. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { getEventListeners, once } from "node:events";
import { test } from "node:test";

import { connect, SambadError } from "../sambad.js";
import { connected, event, live, startHostile } from "./hostile.mjs";
import { FIRST, TRANSPORTS, collectGarbage, range, startProxy, startServer, watch } from "./support.mjs";

// Goal: an option that cannot be meant is said at once. Method: one of each, and what is spelled differently but can be meant.
test("refuses options that cannot be meant", () => {
  const onEvent = () => {};
  const url = "http://127.0.0.1:9";
  for (const [options, code] of [
    [{ url }, "invalid_callback"],
    [{ onEvent }, "invalid_url"],
    [{ url: "nowhere", onEvent }, "invalid_url"],
    [{ url: "ftp://127.0.0.1", onEvent }, "invalid_url"],
    [{ url: "data:text/plain,x", onEvent }, "invalid_url"],
    [{ url: "127.0.0.1:9", onEvent }, "invalid_url"],
    [{ url: "localhost:9", onEvent }, "invalid_url"],
    [{ url: "", onEvent }, "invalid_url"],
    [{ url: " ", onEvent }, "invalid_url"],
    [{ url: "#top", onEvent }, "invalid_url"],
    [{ url: "http://127.0.0.1:0", onEvent }, "invalid_url"],
    [{ url: "http://user:secret@127.0.0.1:9", onEvent }, "invalid_url"],
    [{ url: "wss://user@127.0.0.1", onEvent }, "invalid_url"],
    [{ url: new URL("https://:secret@127.0.0.1"), onEvent }, "invalid_url"],
    [{ url: "http://user:secret@", onEvent }, "invalid_url"],
    [{ url, onEvent, after: "x" }, "invalid_after"],
    [{ url, onEvent, after: "" }, "invalid_after"],
    [{ url, onEvent, after: -1 }, "invalid_after"],
    [{ url, onEvent, after: 1.5 }, "invalid_after"],
    [{ url, onEvent, after: "9f3a01c7-007" }, "invalid_after"],
    [{ url, onEvent, types: "contact_added" }, "invalid_types"],
    [{ url, onEvent, types: [1] }, "invalid_types"],
    [{ url, onEvent, user: 7 }, "invalid_user"],
    [{ url, onEvent, transport: "ws" }, "invalid_transport"],
    [{ url, onEvent, timing: { backoffMs: NaN } }, "invalid_timing"],
    [{ url, onEvent, timing: { graceMs: -1 } }, "invalid_timing"],
    [{ url, onEvent, timing: { climbAfterMs: "9" } }, "invalid_timing"],
    ...(FIRST === "websocket" ? [] : [[{ url, onEvent, transport: "websocket" }, "invalid_transport"]]),
  ]) {
    const meant = (error) => error instanceof SambadError && error.code === code && !/secret/.test(error.message);
    assert.throws(() => connect(options), meant, JSON.stringify(options));
  }
  for (const options of [{ url: "ws://127.0.0.1:9/prefix/?x#y", after: null }, { url: new URL(url), after: 0, types: null }]) {
    const stream = connect({ user: null, ...options, onEvent });
    assert.equal(stream.cursor, null);
    stream.close();
    assert.equal(stream.state.name, "closed");
    assert.throws(() => stream.subscribe({ types: 1 }), { code: "invalid_types" });
  }
});

// Goal: an address that is the page's own may have what the page's has. Method: a page behind a password, and addresses in it.
test("takes the page's own address", (t) => {
  globalThis.location = new URL("http://user:secret@127.0.0.1:9/a/page.html#top");
  t.after(() => delete globalThis.location);
  const onEvent = () => {};
  for (const url of [".", "/x", "//user:secret@127.0.0.1:9", globalThis.location.href]) connect({ url, onEvent }).close();
  for (const url of ["", "//127.0.0.1:0", "//another:secret@127.0.0.1:9", "http://another@127.0.0.1:9"]) {
    assert.throws(() => connect({ url, onEvent }), { code: "invalid_url" }, url);
  }
});

// Goal: a time that is left open is the default, and one without end does not fire at once.
// Method: attempts at nothing; a live stream, with a lower transport where there are two, that has to stay as it is for 20 writes.
test("bears times that are undefined or infinite", async (t) => {
  const nowhere = watch(t, { url: "http://127.0.0.1:9", transport: "poll", timing: { backoffMs: undefined } });
  await nowhere.until(({ names }) => names.filter((name) => name === "reconnecting").length >= 5);
  const waits = nowhere.states.flatMap(({ retryInMs }) => retryInMs ?? []);
  assert.ok(waits.every(Number.isFinite) && waits.some((wait) => wait > 0), `${waits}`);

  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  for (const rule of ["pass", "refuse"]) {
    proxy.rules.websocket = rule;
    proxy.requests.length = 0;
    const endless = { graceMs: Infinity, climbAfterMs: Infinity, connectTimeoutMs: Infinity, backoffMaxMs: Infinity };
    const watcher = watch(t, { url: proxy.url, timing: endless });
    await watcher.live();
    const [requests, told] = [proxy.requests.length, watcher.states.length];
    const user = await server.users(20);
    await watcher.event(user.seq);
    assert.equal(proxy.requests.length, requests);
    assert.equal(watcher.states.length, told);
  }
  const poller = watch(t, { url: proxy.url, transport: "poll", timing: { graceMs: Infinity, pollWaitMs: Infinity } });
  await poller.live();
  const user = await server.users(1);
  await poller.event(user.seq);
  assert.deepEqual(poller.names, ["connecting", "live"]);
});

// Goal: a server behind a path prefix is found. Method: the requests that a proxy sees.
test("keeps a path prefix", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  watch(t, { url: `${proxy.url.replace("http", "ws")}/a/b/`, types: ["x y"], user: "u&v", after: 3, transport: "poll" });
  const { path } = await proxy.next();
  assert.equal(path, "/a/b/api/events?after=3&limit=500&types=x+y&user=u%26v");
});

for (const transport of TRANSPORTS) {
  // Goal: `close` frees all there is. Method: a process that closes in each state, and has to end by itself.
  test(`${transport}: close leaves nothing behind`, async (t) => {
    const server = await startServer(t);
    const script = `
      import { connect } from ${JSON.stringify(new URL("../sambad.js", import.meta.url).href)};
      const [url, transport] = process.argv.slice(-2);
      const nowhere = "http://127.0.0.1:1";
      const until = (url, name) => new Promise((resolve) => {
        const onState = (state) => state.name === name && resolve(stream);
        const timing = { backoffMs: 1e6, backoffMaxMs: 1e6, connectTimeoutMs: 1e6 };
        const stream = connect({ url, transport, onState, onEvent() {}, timing });
      });
      for (const stream of [await until(url, "live"), await until(nowhere, "reconnecting"), await until(url, "connecting")]) {
        stream.close();
        stream.close();
        stream.reconnect();
        stream.subscribe({ types: [] });
        console.log(stream.state.name, stream.state.reason);
      }`;
    const flags = transport === "websocket" ? ["--experimental-websocket"] : [];
    const child = spawn(process.execPath, [...flags, "--input-type=module", "--eval", script, server.url, transport]);
    let said = "";
    let lastSaid;
    child.stdout.on("data", (chunk) => {
      said += chunk;
      lastSaid = Date.now();
    });
    child.stderr.on("data", (chunk) => (said += chunk));
    t.after(() => child.kill("SIGKILL"));
    const [code] = await once(child, "close");
    assert.equal(said.replace(/\(.*\n|.*Warning.*\n/g, ""), "closed close\n".repeat(3));
    assert.equal(code, 0);
    assert.ok(Date.now() - lastSaid < 15_000, "sooner than any timer or request of the stream would end");
  });

  // Goal: nothing is told after `close`, and nothing more of what had arrived. Method: closing within the third of ten events.
  test(`${transport}: closes within a callback`, async (t) => {
    const server = await startServer(t);
    await server.users(10);
    const watcher = watch(t, { url: server.url, after: 0, transport, onEvent: ({ seq }) => seq === 3 && watcher.stream.close() });
    await watcher.until(({ names }) => names.at(-1) === "closed");
    // Another stream that has read all of it: what was to come would have come.
    const other = watch(t, { url: server.url, after: 0, transport });
    await other.event(10);
    assert.deepEqual(watcher.seqs, [1, 2, 3]);
    assert.deepEqual(watcher.names, ["connecting", "replaying", "closed"]);
    assert.equal(watcher.stream.cursor, other.infos[2].cursor);
  });

  // Goal: a callback's failure is reported and is not the stream's. Method: every callback throws, each time.
  test(`${transport}: bears callbacks that throw`, async (t) => {
    const server = await startServer(t);
    const reported = t.mock.method(console, "error", () => {});
    const fail = (what) => () => {
      throw new Error(what);
    };
    const seen = [];
    const done = new Promise((resolve) => {
      const stream = connect({
        url: server.url,
        after: "00000000-5",
        transport,
        onState: fail("state"),
        onResync: fail("resync"),
        onEvent: (event) => {
          seen.push(event.seq);
          if (seen.length === 3) resolve(stream);
          throw new Error("event");
        },
      });
      t.after(() => stream.close());
    });
    await watch(t, { url: server.url, transport }).live();
    await server.users(3);
    const stream = await done;
    assert.deepEqual(seen, [1, 2, 3]);
    assert.equal(stream.state.name, "live");
    const messages = reported.mock.calls.map(({ arguments: [error] }) => error.message);
    assert.deepEqual(messages.filter((message) => message !== "state"), ["resync", "event", "event", "event"]);
  });
}

for (const transport of TRANSPORTS) {
  // Goal: a filter that is set while connecting is kept, and costs one connection. Method: three, within each `connecting`.
  test(`${transport}: subscribes while connecting`, async (t) => {
    const server = await startServer(t);
    const proxy = await startProxy(t, server);
    let told = 0;
    const live = new Promise((resolve) => {
      const onState = ({ name }) => {
        told += name === "connecting";
        if (name === "live") resolve();
        if (name !== "connecting" || told > 20) return;
        for (const type of ["user_created", "contact_added", "message_sent"]) stream.subscribe({ types: [type] });
      };
      const stream = connect({ url: proxy.url, transport, onState, onEvent() {} });
      t.after(() => stream.close());
    });
    await live;
    assert.equal(told, 1);
    assert.ok(proxy.requests.every(({ path }) => !/user_created|contact_added/.test(path)), "the last one is asked for");
    assert.ok(proxy.requests.some(({ path }) => path.includes("message_sent")));
  });
}

// Goal: `reconnect` does not wait, and loses nothing. Method: a wait of minutes, then a live stream.
test("reconnects when told to", async (t) => {
  const server = await startServer(t);
  const slow = { backoffMs: 1e6, backoffMaxMs: 1e6 };
  const watcher = watch(t, { url: server.url, after: 0, timing: slow });
  await watcher.live();
  await server.kill();
  await watcher.until(({ names }) => names.includes("reconnecting"));
  await server.start();
  watcher.stream.reconnect();
  await watcher.live();
  await server.users(2);
  await watcher.event(2);
  watcher.stream.reconnect();
  await server.users(2);
  await watcher.event(4);
  assert.deepEqual(watcher.seqs, range(1, 4));
});

/** Lends Node what a page has: events of the document and of the network. A browser's own are tried with the dashboard. */
function lendPage(t) {
  const page = { window: new EventTarget(), document: new EventTarget() };
  page.document.visibilityState = "visible";
  const lent = ["addEventListener", "removeEventListener"];
  for (const name of lent) globalThis[name] = page.window[name].bind(page.window);
  globalThis.document = page.document;
  t.after(() => [...lent, "document"].forEach((name) => delete globalThis[name]));
  return page;
}

// Goal: a page that comes back does not wait out its backoff, and finds a dead connection in no time.
// Method: a page's events, a wait of minutes, a connection that has gone silent; a heartbeat of 25 s, which is not waited for.
test("looks at once when the page comes back", async (t) => {
  const page = lendPage(t);
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const timing = { backoffMs: 1e6, backoffMaxMs: 1e6, doubtMs: 1500, connectTimeoutMs: 1500 };
  const watcher = watch(t, { url: proxy.url, after: 0, timing });
  await watcher.live();
  proxy.stall();
  // An event stream cannot be asked anything: it connects anew, and that is what is not answered.
  page.window.dispatchEvent(new Event("online"));
  await watcher.until(({ names }) => names.includes("reconnecting"));
  assert.match(watcher.states.at(-1).error.code, FIRST === "websocket" ? /^silent$/ : /^timeout$/);
  proxy.recover();
  await server.users(2);
  page.document.visibilityState = "hidden";
  page.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(watcher.stream.state.name, "reconnecting");
  page.document.visibilityState = "visible";
  page.document.dispatchEvent(new Event("visibilitychange"));
  await watcher.event(2);
  await watcher.live();
  const told = watcher.states.length;
  page.document.dispatchEvent(new Event("visibilitychange"));
  page.document.dispatchEvent(new Event("resume"));
  await server.users(1);
  await watcher.event(3);
  assert.equal(watcher.states.length, told, "a connection that is well stays");
  const listeners = () => ["online", "offline", "pageshow"].flatMap((type) => getEventListeners(page.window, type)).length;
  assert.equal(listeners(), 3);
  collectGarbage();
  await new Promise(setImmediate);
  watcher.stream.close();
  assert.equal(listeners() + getEventListeners(page.document, "visibilitychange").length, 0);
});

// Goal: a page that comes back does not overrun a server that asked for time. Method: a drain, and a page that becomes visible.
test("a drain's delay outlasts the page's coming and going", async (t) => {
  const page = lendPage(t);
  const hostile = await startHostile(t, (session, number) => {
    session.send(connected(0));
    if (number === 0) return session.end(4000, "drain reconnect_after_ms=400");
    session.send(event(1));
    return session.send(live(1));
  });
  const watcher = watch(t, { url: hostile.url, after: 0 });
  await watcher.until(({ names }) => names.includes("reconnecting"));
  page.document.dispatchEvent(new Event("visibilitychange"));
  page.window.dispatchEvent(new Event("online"));
  assert.equal(watcher.stream.state.name, "reconnecting");
  await watcher.live();
  const waited = hostile.asked[1].at - hostile.asked[0].at;
  assert.ok(waited >= 395, `${waited} ms`);
});
