/** Filters that change often, and answers to them that do not come. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, live, startHostile } from "./hostile.mjs";
import { FIRST, TRANSPORTS, startProxy, startServer, watch } from "./support.mjs";

const OTHERS = ["user_created", "contact_added", "contact_removed"];
/** Any types but those that the last call asks for. */
const some = (at) => ({ types: OTHERS.slice(at % 3) });

for (const transport of TRANSPORTS) {
  for (const [when, turn] of [
    ["in one turn", () => {}],
    ["each in a turn of its own", () => new Promise((resume) => setImmediate(resume))],
    ["each in a microtask of its own", () => Promise.resolve()],
  ]) {
    // Goal: the last of many filters is the one that counts, and the server is not told them all. Method: 200 calls, more than a
    // session may send frames in a second; then an event that only the last one lets through.
    test(`${transport}: 200 filters ${when}`, async (t) => {
      const server = await startServer(t);
      const proxy = await startProxy(t, server);
      const watcher = watch(t, { url: proxy.url, transport });
      await watcher.live();
      const [anna, ben] = [await server.users(), await server.users()];
      await watcher.event(ben.seq);
      const requests = proxy.requests.length;
      for (let at = 0; at < 199; at += 1) {
        watcher.stream.subscribe(some(at));
        await turn();
      }
      watcher.stream.subscribe({ types: ["message_sent"] });
      const asked = ({ types }) => types.length === 1 && types[0] === "message_sent";
      for (;;) {
        const { sessions } = await (await fetch(`${server.url}/api/admin/sessions`)).json();
        if (sessions.length > 0 && sessions.every(asked)) break;
        await new Promise((resume) => setTimeout(resume, 10));
      }
      await server.post("/api/contacts", { userId: anna.id, contactUserId: ben.id });
      const { seq } = await server.post("/api/messages", { fromUserId: anna.id, toUserId: ben.id, content: "x" });
      await watcher.event(seq);
      assert.equal(watcher.events.at(-1).type, "message_sent");
      assert.equal(watcher.events.at(-2).seq, ben.seq);
      assert.ok(!watcher.names.includes("reconnecting"), watcher.log.join("\n"));
      // Without a wait between two of them only the last is asked for; a poll asks again after each answer.
      if (when !== "each in a turn of its own" && transport !== "poll") assert.ok(proxy.requests.length - requests <= 2);
    });
  }
}

// Goal: a filter that a server does not confirm is not waited for for ever, and the next connection has it. Method: a server that
// says nothing to it, though it is alive.
test("gives up a connection that confirms no filter", { skip: FIRST !== "websocket" && "this Node has no WebSocket" }, async (t) => {
  let alive;
  const hostile = await startHostile(t, (session, number) => {
    session.send(connected(0));
    session.send(live(0));
    if (number === 0) alive = setInterval(() => session.send('{"type":"pong"}'), 20);
  });
  t.after(() => clearInterval(alive));
  const watcher = watch(t, { url: hostile.url, after: 0, timing: { graceMs: 300 } });
  await watcher.live();
  watcher.stream.subscribe({ types: ["message_sent"] });
  await watcher.until(({ names }) => names.includes("reconnecting"));
  assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "silent");
  await watcher.until(({ names }) => names.filter((name) => name === "live").length === 2);
  assert.equal(hostile.asked[0].types, null);
  assert.equal(hostile.asked[1].types, "message_sent");
});
