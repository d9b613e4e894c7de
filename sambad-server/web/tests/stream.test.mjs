/** What is promised of the events, by each transport, against the real server. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST, QUICK, TRANSPORTS, range, startServer, watch } from "./support.mjs";

for (const transport of TRANSPORTS) {
  // Goal: the log and what happens live arrive once and in order, and the state says which is which.
  // Method: five events before, twenty after the stream is live.
  test(`${transport}: replays, then follows`, async (t) => {
    const server = await startServer(t);
    await server.users(5);
    const watcher = watch(t, { url: server.url, after: 0, transport });
    assert.equal(watcher.stream.state.name, "connecting");
    assert.deepEqual(watcher.log, [], "nothing is told before connect has returned");
    await watcher.live();
    assert.deepEqual(watcher.seqs, range(1, 5));
    assert.ok(watcher.infos.every(({ live }) => !live));
    await server.users(20);
    await watcher.event(25);
    assert.deepEqual(watcher.seqs, range(1, 25));
    assert.ok(watcher.infos.slice(5).every(({ live }) => live));
    assert.equal(watcher.events[0].type, "user_created");
    assert.equal(watcher.events[0].data.username, "+919800000001");
    const lag = watcher.infos[24].receivedAt - Date.parse(watcher.events[24].timestamp);
    assert.ok(lag > -1000 && lag < 15_000, `${lag} ms`);
    assert.equal(watcher.infos[24].cursor, await server.cursor());
    assert.equal(watcher.stream.cursor, await server.cursor());
    assert.deepEqual(watcher.names, ["connecting", "replaying", "live"]);
    assert.deepEqual(watcher.states.map((state) => state.attempt), [1, 0, 0]);
  });

  // Goal: without a position it is what happens from now on. Method: events before and after, and a cursor that is right between.
  test(`${transport}: begins now`, async (t) => {
    const server = await startServer(t);
    await server.users(3);
    const watcher = watch(t, { url: `${server.url}/`, transport });
    await watcher.live();
    assert.equal(watcher.stream.cursor, await server.cursor());
    await server.users(2);
    await watcher.event(5);
    assert.deepEqual(watcher.seqs, [4, 5]);
    assert.deepEqual(watcher.names, ["connecting", "live"]);
  });

  // Goal: a server that dies under load costs nothing.
  // Method: kill -9 and restart on the same database while 200 writes go on; then every seq is there once, in order.
  test(`${transport}: outlives a kill -9 of the server`, async (t) => {
    const server = await startServer(t);
    const watcher = watch(t, { url: server.url, after: 0, transport });
    await watcher.live();
    const writes = persistently(server, 200);
    await watcher.event(60);
    await server.kill();
    await watcher.until(({ names }) => names.includes("reconnecting"));
    await server.start();
    await writes;
    const head = Number((await server.cursor()).split("-")[1]);
    assert.equal(head, 200);
    await watcher.event(head);
    assert.deepEqual(watcher.seqs, range(1, head));
    await watcher.live();
    assert.equal(watcher.resyncs.length, 0);
    const lost = watcher.states.find(({ name }) => name === "reconnecting");
    assert.equal(lost.error.code, "connection_lost");
    assert.ok(lost.retryInMs >= 0 && lost.retryInMs <= QUICK.backoffMs, `${lost.retryInMs} ms`);
    assert.ok(watcher.infos.every(({ cursor }, at) => cursor.endsWith(`-${watcher.seqs[at]}`)));
  });

  // Goal: a position that was trimmed away is said, and the stream goes on.
  // Method: a log of at most 10 events, a cursor far before what is left of 40.
  test(`${transport}: resyncs after an expired cursor`, async (t) => {
    const server = await startServer(t, "--retain-events", "10");
    await server.users(1);
    const old = await server.cursor();
    await server.users(40);
    while ((await (await fetch(`${server.url}/api/events?limit=1`)).json()).first < 3) await server.users(5);
    const head = await server.cursor();
    const watcher = watch(t, { url: server.url, after: old, transport });
    await watcher.live();
    assert.deepEqual(watcher.resyncs, [{ reason: "cursor_expired", cursor: head }]);
    assert.deepEqual(watcher.seqs, []);
    const user = await server.users(1);
    await watcher.event(user.seq);
    assert.deepEqual(watcher.seqs, [user.seq]);
    // What is left of it is not expired.
    const all = watch(t, { url: server.url, after: 0, transport });
    await all.event(user.seq);
    assert.ok(all.seqs[0] > 2);
    assert.deepEqual(all.seqs, range(all.seqs[0], user.seq));
    assert.equal(all.resyncs.length, 0);
  });

  // Goal: another database behind the same address is noticed, whatever its seqs. Method: a restart with a new one.
  test(`${transport}: resyncs after a new database`, async (t) => {
    const server = await startServer(t);
    await server.users(3);
    const watcher = watch(t, { url: server.url, after: 0, transport });
    await watcher.event(3);
    await server.kill();
    server.forget();
    await server.start();
    await watcher.until(({ resyncs }) => resyncs.length === 1);
    assert.equal(watcher.resyncs[0].reason, "epoch_changed");
    assert.equal(watcher.resyncs[0].cursor, await server.cursor());
    await watcher.live();
    await server.users(2);
    await watcher.until(({ events }) => events.length === 5);
    assert.deepEqual(watcher.seqs, [1, 2, 3, 1, 2]);
  });

  // Goal: only what is asked for comes, and another question can be asked on the way.
  // Method: by type, then by user, then everything; the cursor moves past what was left out.
  test(`${transport}: filters`, async (t) => {
    const server = await startServer(t);
    const watcher = watch(t, { url: server.url, after: 0, types: ["contact_added"], transport });
    await watcher.live();
    const [anna, ben, cleo] = [await server.users(), await server.users(), await server.users()];
    const add = async (from, to) => (await server.post("/api/contacts", { userId: from.id, contactUserId: to.id })).seq;
    assert.equal(await add(anna, ben), 4);
    await watcher.event(4);
    assert.deepEqual(watcher.seqs, [4]);

    watcher.stream.subscribe({ user: cleo.id });
    await add(ben, anna);
    await add(ben, cleo);
    await watcher.event(6);
    assert.ok(!watcher.seqs.includes(5) || transport === "websocket", "what was sent before the new filter may still come");

    watcher.stream.subscribe();
    // A frame and a request take different ways: the event must not be there before the server has the filter.
    while (transport === "websocket") {
      const { sessions } = await (await fetch(`${server.url}/api/admin/sessions`)).json();
      // Neither the first filter nor the second.
      if (sessions.every(({ user, types }) => user === null && types.length !== 1)) break;
    }
    await server.users();
    await watcher.event(7);
    await server.users(2);
    await watcher.event(9);
    assert.deepEqual(watcher.seqs.slice(-4), [6, 7, 8, 9]);
    assert.equal(watcher.stream.cursor, await server.cursor());
    assert.equal(watcher.names.includes("reconnecting"), false);
  });

  // Goal: a question that cannot be answered ends the stream with the server's own words, at once.
  // Method: an unknown type when connecting, a user that is no id when subscribing.
  test(`${transport}: ends when refused`, async (t) => {
    const server = await startServer(t);
    const watcher = watch(t, { url: server.url, types: ["nonsense"], transport });
    await watcher.until(({ names }) => names.at(-1) === "closed");
    const { reason, error } = watcher.states.at(-1);
    assert.equal(reason, "refused");
    assert.equal(error.status, 400);
    assert.equal(error.code, "invalid_field");
    assert.match(error.requestId, /^[0-9a-f-]{36}$/);
    assert.deepEqual(watcher.names, ["connecting", "closed"]);

    const other = watch(t, { url: server.url, transport });
    await other.live();
    other.stream.subscribe({ user: "nobody" });
    await other.until(({ names }) => names.at(-1) === "closed");
    assert.equal(other.states.at(-1).error.code, "invalid_id");
  });

  // Goal: a server that takes leave is not called dead. Method: SIGTERM and a restart; nothing is lost or repeated.
  test(`${transport}: comes back after a drain`, async (t) => {
    const server = await startServer(t);
    const watcher = watch(t, { url: server.url, after: 0, transport });
    await watcher.live();
    await server.users(3);
    await watcher.event(3);
    await server.listened();
    await server.terminate();
    await watcher.until(({ names }) => names.includes("reconnecting"));
    assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "drain");
    await server.start();
    await server.users(2);
    await watcher.event(5);
    assert.deepEqual(watcher.seqs, range(1, 5));
    assert.equal(watcher.stream.state.transport, transport);
  });
}

// Goal: a snapshot and the events after it are one picture. Method: the recipe of the guide, while writes go on.
test("goes on from a snapshot", async (t) => {
  const server = await startServer(t);
  await server.users(10);
  const writes = persistently(server, 50);
  const response = await fetch(`${server.url}/api/admin/analytics`);
  let { totalUsers } = await response.json();
  const after = response.headers.get("sambad-cursor");
  const watcher = watch(t, { url: server.url, after, onEvent: ({ type }) => (totalUsers += type === "user_created") });
  await writes;
  await watcher.event(60);
  assert.equal(totalUsers, 60);
  assert.equal(watcher.stream.state.transport, FIRST);
});

/** Makes users until there are `count` more, whatever happens to the server: a login that is repeated finds the user. */
async function persistently(server, count) {
  let left = count;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      const phone = `+9197${String(left).padStart(8, "0")}`;
      while (!(await server.post("/api/users/login", { phone }).catch(() => null))) {
        await new Promise((resume) => setImmediate(resume));
      }
    }
  };
  await Promise.all([lane(), lane(), lane()]);
}
