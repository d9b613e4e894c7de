/** Who asks: tokens that are sent, go on, end, are refused. Against the server as it is in `--auth token`. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { connect, SambadError } from "../sambad.js";
import { connected, event, startHostile } from "./hostile.mjs";
import { FIRST, TRANSPORTS, startGuardedServer, startProxy, watch } from "./support.mjs";

const closed = ({ names }) => names.at(-1) === "closed";
const times = (list, name) => list.filter((other) => other === name).length;

/** A function that says what it was asked for, and answers with what `give` makes of that. */
function asked(give) {
  const reasons = [];
  const token = ({ reason }) => {
    reasons.push(reason);
    return give(reason, reasons.length);
  };
  return { reasons, token };
}

// Goal: what can be no token is said at once, and not what it was. Method: a table, and the message.
test("refuses what is no token", () => {
  for (const token of [7, {}, "a b", "a,b", "a\r\nb", "ä", "x".repeat(8193)]) {
    const meant = (error) => error instanceof SambadError && error.code === "invalid_token" && !error.message.includes(String(token));
    assert.throws(() => connect({ url: "http://127.0.0.1:9", onEvent() {}, token }), meant, String(token));
  }
});

for (const transport of ["auto", ...TRANSPORTS]) {
  // Goal: a token lets a stream in and stands in no address; one that is not valid, or may not, ends it at once.
  // Method: an event, and the requests that a proxy sees; then a token that is none, none at all, and that of a backend.
  test(`${transport}: comes in by a token`, async (t) => {
    const server = await startGuardedServer(t);
    const proxy = await startProxy(t, server);
    const token = await server.token("admin");
    const watcher = watch(t, { url: proxy.url, transport, token });
    await watcher.live();
    const user = await server.users(1);
    await watcher.event(user.seq);
    assert.equal(watcher.stream.state.transport, transport === "auto" ? FIRST : transport);
    for (const { path } of proxy.requests) assert.ok(!path.includes(token) && !/token|bearer/i.test(path), path);

    for (const [bad, reason] of [["abc", "unauthorized"], [null, "unauthorized"], [await server.token("service"), "forbidden"]]) {
      const refused = watch(t, { url: server.url, transport, token: bad });
      await refused.until(closed);
      const { state } = refused.stream;
      assert.deepEqual([state.reason, state.error.code, state.error.status], [reason, reason, reason === "forbidden" ? 403 : 401]);
      assert.ok(!refused.names.includes("reconnecting"), `${refused.names}`);
    }
  });

  // Goal: a user's stream without a filter has holes by right: none is a loss. Method: a user's own token, and events of others between
  // theirs, before the stream and during it; then a filter is set and taken away.
  test(`${transport}: a user's holes are no loss`, async (t) => {
    const server = await startGuardedServer(t);
    const own = await server.users(1);
    const others = [await server.users(1), await server.users(1)];
    const tell = (from, to) => server.post("/api/messages", { fromUserId: from.id, toUserId: to.id, content: "x" });
    const first = await tell(others[0], own);
    const watcher = watch(t, { url: server.url, after: 0, transport, token: own.token });
    await watcher.event(first.seq);
    await watcher.live();
    await tell(others[0], others[1]);
    const second = await tell(own, others[0]);
    await watcher.event(second.seq);
    watcher.stream.subscribe({ types: ["message_sent"] });
    watcher.stream.subscribe();
    await tell(others[1], others[0]);
    const third = await tell(others[1], own);
    await watcher.event(third.seq);
    assert.deepEqual(watcher.seqs, [own.seq, first.seq, second.seq, third.seq]);
    assert.deepEqual([watcher.resyncs, watcher.names.includes("reconnecting")], [[], false], watcher.log.join("\n"));
  });

  // Goal: a stream outlives its tokens and loses nothing: a WebSocket without a cut, the others by a new request.
  // Method: tokens of four seconds, events past the end of the first two.
  test(`${transport}: goes on by new tokens`, async (t) => {
    const server = await startGuardedServer(t);
    const { reasons, token } = asked(() => server.token("admin", "4s"));
    const watcher = watch(t, { url: server.url, after: 0, transport, token });
    await watcher.live();
    const until = Date.now() + 9_000;
    let last;
    while (Date.now() < until) {
      last = await server.users(1);
      await watcher.event(last.seq);
      await new Promise((resume) => setTimeout(resume, 100));
    }
    assert.deepEqual(watcher.seqs, watcher.events.map((_, at) => at + 1));
    assert.equal(reasons[0], "connect");
    if (watcher.stream.state.transport === "websocket") {
      assert.deepEqual(watcher.names, ["connecting", "replaying", "live"], "it is the same connection");
      assert.ok(times(reasons, "expiring") >= 2, `${reasons}`);
      assert.ok(reasons.length < 12, `not asked all the time: ${reasons}`);
    } else {
      assert.ok(reasons.length >= 3 && reasons.length < 12, `${reasons}`);
    }
  });

  // Goal: a token that was revoked is asked about once, and refused again it ends the stream. Method: a live stream, the real
  // command, a function that knows no other token.
  test(`${transport}: gives up a token that is refused twice`, async (t) => {
    const server = await startGuardedServer(t);
    const old = await server.token("admin");
    const { reasons, token } = asked(() => old);
    const watcher = watch(t, { url: server.url, transport, token });
    await watcher.live();
    await server.revoke(old);
    await server.users(1);
    await watcher.until(closed);
    assert.equal(watcher.stream.state.reason, "unauthorized");
    assert.equal(watcher.stream.state.error.code, "unauthorized");
    assert.equal(times(reasons, "unauthorized"), 1, `${reasons}`);
    assert.ok(reasons.length <= 3, `${reasons}`);
  });

  // Goal: a fresh token brings a stream back whose old one was revoked. Method: as above, with a function that has one.
  test(`${transport}: comes back by a fresh token`, async (t) => {
    const server = await startGuardedServer(t);
    const old = await server.token("admin");
    let current = old;
    const { reasons, token } = asked(async (reason) => {
      if (reason === "unauthorized") current = await server.token("admin");
      return current;
    });
    const watcher = watch(t, { url: server.url, after: 0, transport, token });
    await watcher.live();
    await server.revoke(old);
    await watcher.until(() => reasons.includes("unauthorized"));
    const user = await server.users(2);
    await watcher.event(user.seq);
    await watcher.live();
    assert.deepEqual(watcher.seqs, [1, 2]);
  });

  // Goal: the end of a token that is no function is told, and closes the stream. Method: one of four seconds.
  test(`${transport}: tells that its token ends`, async (t) => {
    const server = await startGuardedServer(t);
    const watcher = watch(t, { url: server.url, transport, token: await server.token("admin", "4s") });
    await watcher.until(closed);
    assert.ok(watcher.names.includes("live"));
    assert.equal(watcher.stream.state.reason, "unauthorized");
    const told = watcher.states.filter(({ tokenExpiresAt }) => tokenExpiresAt);
    if (watcher.stream.state.transport === "websocket") {
      assert.equal(told.length, 1);
      assert.ok(Math.abs(Date.parse(told[0].tokenExpiresAt) - watcher.states.at(-1).at) < 2_000);
    }
  });
}

if (FIRST === "websocket") {
  // Goal: a session that an operator closes stays closed. Method: the request of the dashboard's button.
  test("stays closed when an operator closes it", async (t) => {
    const server = await startGuardedServer(t);
    const token = await server.token("admin");
    const { reasons, token: give } = asked(() => token);
    const watcher = watch(t, { url: server.url, token: give });
    await watcher.live();
    const headers = { authorization: `Bearer ${token}` };
    const { sessions } = await (await fetch(`${server.url}/api/admin/sessions`, { headers })).json();
    const answer = await fetch(`${server.url}/api/admin/sessions/${sessions[0].session}`, { method: "DELETE", headers });
    assert.equal(answer.status, 200);
    await watcher.until(closed);
    assert.deepEqual([watcher.stream.state.reason, watcher.stream.state.error.code], ["forbidden", "forbidden"]);
    assert.deepEqual(reasons, ["connect"]);
  });

  // Goal: who is told to slow down does, although each session was of use. Method: a server that lets in, sends an event and
  // throws out; only delays that grow get above the first one's bound.
  test("slows down when it is told to", async (t) => {
    const hostile = await startHostile(t, (session, number) => {
      session.send(connected(number));
      session.send(event(number + 1));
      session.end(4029, "rate_limited");
    });
    const watcher = watch(t, { url: hostile.url, after: 0, timing: { backoffMs: 50, backoffMaxMs: 400 } });
    await watcher.until(({ states }) => states.some(({ retryInMs }) => retryInMs > 50));
    const waits = watcher.states.filter(({ name }) => name === "reconnecting");
    assert.ok(waits.every(({ error }) => error.code === "rate_limited"), `${watcher.log}`);
  });
}

// Goal: a function that fails or is slow is asked again and not held against the server; one that has no token ends the stream.
// Method: a function that throws twice, then gives; one that gives nothing; one that never answers, closed meanwhile.
test("bears functions that have no token yet", async (t) => {
  const server = await startGuardedServer(t);
  const good = await server.token("admin");
  const { reasons, token } = asked((_, times) => {
    if (times === 1) throw new Error("not yet");
    return times === 2 ? Promise.reject(new Error("not yet either")) : good;
  });
  const watcher = watch(t, { url: server.url, token });
  await watcher.live();
  assert.deepEqual(reasons, ["connect", "reconnect", "reconnect"]);
  assert.deepEqual(watcher.states.flatMap(({ error }) => error?.code ?? []), ["token", "token"]);

  for (const nothing of [null, undefined, "", 7, "a b"]) {
    const none = watch(t, { url: server.url, token: () => nothing });
    await none.until(closed);
    assert.equal(none.stream.state.reason, "unauthorized");
    assert.match(none.stream.state.error.code, /^(no|invalid)_token$/);
  }
  const never = watch(t, { url: server.url, token: () => new Promise(() => {}) });
  await never.until(({ names }) => names.length === 1);
  never.stream.close();
  assert.deepEqual(never.names, ["connecting", "closed"]);
});

// Goal: `Retry-After` of a 429 is obeyed. Method: a server that refuses once.
test("waits as long as a 429 asks", async (t) => {
  const at = [];
  const busy = createServer((request, response) => {
    at.push(Date.now());
    response.writeHead(429, { "content-type": "application/json", "retry-after": "1" });
    response.end('{"error":"too many requests","code":"rate_limited"}');
  });
  busy.listen(0, "127.0.0.1");
  await once(busy, "listening");
  t.after(() => busy.close());
  for (const transport of ["poll", "sse"]) {
    at.length = 0;
    const watcher = watch(t, { url: `http://127.0.0.1:${busy.address().port}`, transport, token: "abc" });
    await watcher.until(() => at.length >= 2);
    assert.ok(at[1] - at[0] >= 950, `${transport}: ${at[1] - at[0]} ms`);
    assert.equal(watcher.states.find(({ error }) => error).error.code, "rate_limited");
    watcher.stream.close();
  }
});
