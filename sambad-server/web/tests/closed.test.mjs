/** Sessions that the server closes, and positions that it no longer has, by each transport. */

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";

import { EPOCH } from "./hostile.mjs";
import { TRANSPORTS, startGuardedServer, startProxy, startServer, watch } from "./support.mjs";

/** Closes every session of a server, as an admin does, until one is closed. */
async function closeOne(server, headers = {}) {
  for (;;) {
    const { sessions } = await (await fetch(`${server.url}/api/admin/sessions`, { headers })).json();
    for (const { session } of sessions) {
      const { status } = await fetch(`${server.url}/api/admin/sessions/${session}`, { method: "DELETE", headers });
      if (status === 200) return;
    }
  }
}

for (const transport of TRANSPORTS) {
  // Goal: a session that an admin closes says so, and stays away. Method: a live stream, and what the server is asked after.
  test(`${transport}: stays away when an admin has closed it`, async (t) => {
    const server = await startServer(t);
    const proxy = await startProxy(t, server);
    const watcher = watch(t, { url: proxy.url, transport });
    await watcher.live();
    await closeOne(server);
    await watcher.until(({ names }) => names.at(-1) === "closed");
    const { reason, error } = watcher.states.at(-1);
    assert.deepEqual([reason, error.code], ["forbidden", "forbidden"]);
    assert.ok(!watcher.names.includes("reconnecting"), watcher.log.join("\n"));
    const requests = proxy.requests.length;
    await server.users(3);
    assert.equal(proxy.requests.length, requests);
    assert.equal(watcher.events.length, 0);
  });

  // Goal: a token that was revoked ends the stream as such, or is replaced. Method: a string, then a function.
  test(`${transport}: ends with its token`, async (t) => {
    const server = await startGuardedServer(t);
    const [old, next] = [await server.token("admin"), await server.token("admin")];
    const fixed = watch(t, { url: server.url, transport, token: old });
    const asked = [];
    const token = ({ reason }) => {
      asked.push(reason);
      return reason === "connect" ? old : next;
    };
    const renewed = watch(t, { url: server.url, transport, token });
    await Promise.all([fixed.live(), renewed.live()]);
    await server.revoke(old);
    await fixed.until(({ names }) => names.at(-1) === "closed");
    assert.equal(fixed.states.at(-1).reason, "unauthorized");
    await renewed.until(({ names }) => names.filter((name) => name === "live").length === 2);
    assert.equal(asked[1], "unauthorized");
  });
}

const GONE = { error: "Cursor cannot be served", code: "cursor_gone", request_id: "r", reason: "cursor_expired" };
const HTML = "<html>410 Gone</html>";
const CURSOR = { "sambad-cursor": `${EPOCH}-9` };

/** A server of polls alone, whose position 3 is gone: `gone` answers that, and `first` the question where the log ends. */
async function startGone(t, gone, first = (say) => say(200, {}, { events: [], cursor: `${EPOCH}-8`, head: 9, first: 8 })) {
  const asked = [];
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    const say = (status, headers, body) => {
      response.writeHead(status, { "content-type": typeof body === "string" ? "text/html" : "application/json", ...headers });
      response.end(typeof body === "string" ? body : JSON.stringify(body));
    };
    if (pathname !== "/api/events") {
      say(403, {}, HTML);
      return;
    }
    const after = searchParams.get("after");
    asked.push(`${after} ${searchParams.get("limit")}`);
    const events = [{ type: "user_created", data: {}, timestamp: "", seq: 10 }];
    if (after === `${EPOCH}-3`) gone(say);
    else if (after === "0") first(say);
    else if (after === `${EPOCH}-9`) say(200, {}, { events, cursor: `${EPOCH}-10`, head: 10, first: 8 });
    // The rest waits.
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}`, asked };
}

for (const [what, headers, body, ownRequests] of [
  ["the header", CURSOR, GONE, 0],
  ["the body", {}, { ...GONE, cursor: `${EPOCH}-9` }, 0],
  ["neither", {}, GONE, 1],
  ["a header that is none", { "sambad-cursor": "9" }, GONE, 1],
  ["a body that is none", {}, { ...GONE, cursor: 9 }, 1],
  ["the header of an empty answer", CURSOR, "", 0],
  ["the header of a page", CURSOR, HTML, 0],
  ["the header of another JSON", CURSOR, null, 0],
  ["the header of one that is too long", CURSOR, "x".repeat(1 << 17), 0],
  ["an empty answer", {}, "", 1],
  ["a page", {}, HTML, 1],
  ["another JSON", {}, { code: 410 }, 1],
]) {
  for (const transport of ["poll", "auto"]) {
    // Goal: a position that is gone ends no stream, whatever something on the way takes from the answer.
    // Method: a server of polls that says where to go on in this or that place, between two polls; then an event behind it.
    test(`${transport}: a position that is gone, by ${what}`, async (t) => {
      const { url, asked } = await startGone(t, (say) => say(410, headers, body));
      const watcher = watch(t, { url, after: `${EPOCH}-3`, transport });
      await watcher.event(10);
      assert.deepEqual(watcher.resyncs, [{ reason: body?.reason ?? "unknown", cursor: `${EPOCH}-9` }]);
      assert.equal(watcher.names.includes("reconnecting"), false, watcher.log.join("\n"));
      if (transport === "poll") assert.equal(asked.filter((question) => question === "0 1").length, ownRequests);
    });
  }
}

for (const [what, first, expected, body = HTML] of [
  ["410 as well", (say) => say(410, {}, HTML), "reconnecting http"],
  ["410 with the server's code", (say) => say(410, {}, GONE), "reconnecting cursor_gone"],
  ["the same again", (say) => say(410, {}, GONE), "reconnecting cursor_gone", GONE],
  ["403", (say) => say(403, {}, HTML), "reconnecting http"],
  ["403 of the server", (say) => say(403, {}, { code: "forbidden" }), "closed forbidden"],
  ["401", (say) => say(401, {}, HTML), "closed http"],
  ["503", (say) => say(503, {}, HTML), "reconnecting http"],
]) {
  // Goal: a client that cannot read where the log ends obeys the response to that request, and backs off.
  // Method: a 410 that names no cursor, then this response; one request for the head in an attempt.
  test(`a position that is gone, and then ${what}`, async (t) => {
    const { url, asked } = await startGone(t, (say) => say(410, {}, body), first);
    const watcher = watch(t, { url, after: `${EPOCH}-3`, transport: "poll", timing: { backoffMs: 60_000, backoffMaxMs: 60_000 } });
    await watcher.until(({ names }) => names.includes("reconnecting") || names.includes("closed"));
    const { name, error } = watcher.states.at(-1);
    assert.equal(`${name} ${error.code}`, expected);
    assert.deepEqual(asked, [`${EPOCH}-3 500`, "0 1"]);
    assert.equal(watcher.resyncs.length, 0);
  });
}
