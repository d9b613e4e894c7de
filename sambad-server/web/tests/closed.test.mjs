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
for (const [what, headers, body, ownRequests] of [
  ["the header", { "sambad-cursor": `${EPOCH}-9` }, {}, 0],
  ["the body", {}, { cursor: `${EPOCH}-9` }, 0],
  ["neither", {}, {}, 1],
  ["a header that is none", { "sambad-cursor": "9" }, {}, 1],
  ["a body that is none", {}, { cursor: 9 }, 1],
]) {
  // Goal: a position that is gone ends no stream, whatever something on the way takes from the answer.
  // Method: a server of polls that says where to go on in this or that place, between two polls; then an event behind it.
  test(`a position that is gone, by ${what}`, async (t) => {
    const asked = [];
    const server = http.createServer((request, response) => {
      const after = new URL(request.url, "http://x").searchParams.get("after");
      const limit = new URL(request.url, "http://x").searchParams.get("limit");
      asked.push(`${after} ${limit}`);
      const say = (status, headers, body) => {
        response.writeHead(status, { "content-type": "application/json", ...headers });
        response.end(JSON.stringify(body));
      };
      const page = (events, seq) => say(200, {}, { events, cursor: `${EPOCH}-${seq}`, head: 9, first: 8 });
      if (after === `${EPOCH}-3`) say(410, headers, { ...GONE, ...body });
      else if (after === "0") page([], 8);
      else if (after === `${EPOCH}-9`) page([{ type: "user_created", data: {}, timestamp: "", seq: 10 }], 10);
      // The rest waits.
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close().closeAllConnections());
    const watcher = watch(t, { url: `http://127.0.0.1:${server.address().port}`, after: `${EPOCH}-3`, transport: "poll" });
    await watcher.event(10);
    assert.deepEqual(watcher.resyncs, [{ reason: "cursor_expired", cursor: `${EPOCH}-9` }]);
    assert.deepEqual(watcher.names, ["connecting", "replaying", "live"]);
    assert.equal(asked.filter((question) => question === "0 1").length, ownRequests);
  });
}
