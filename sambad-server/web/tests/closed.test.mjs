/** Sessions that the server closes, by each transport. */

import assert from "node:assert/strict";
import { test } from "node:test";

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
