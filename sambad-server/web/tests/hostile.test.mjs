/** What a server, or whoever poses as one, can say: ends, nonsense, holes. By the first transport there is. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, EPOCH, event, live, startHostile } from "./hostile.mjs";
import { FIRST, range, watch } from "./support.mjs";

const withWebSocket = { skip: FIRST !== "websocket" && "this Node has no WebSocket" };
const seqOf = (after) => Number(after?.split("-").at(-1) ?? 0);

// Goal: a server that goes is given the time that it asks for, to the millisecond and whatever the backoff.
// Method: an end with a delay far above the backoff's bound; `reconnect` alone may be earlier.
test("obeys the delay of a drain", async (t) => {
  const ends = [];
  const hostile = await startHostile(t, (session, number, after) => {
    session.send(connected(seqOf(after)));
    if (number === 0) {
      ends.push(Date.now());
      session.end(4000, "drain reconnect_after_ms=700");
    }
    if (number === 1) {
      session.send(live(0));
      session.end(4000, "drain reconnect_after_ms=50000");
    }
    if (number === 2) session.send(live(0));
  });
  const watcher = watch(t, { url: hostile.url, after: 0, timing: { backoffMaxMs: 50 } });
  await watcher.until(({ names }) => names.filter((name) => name === "reconnecting").length === 2);
  const waited = hostile.asked[1].at - ends[0];
  assert.ok(waited >= 695, `${waited} ms`);
  const lost = watcher.states.filter(({ name }) => name === "reconnecting");
  assert.deepEqual(lost.map(({ retryInMs, error }) => [retryInMs, error.code]), [[700, "drain"], [50_000, "drain"]]);
  const { retryInMs } = watcher.stream.state;
  assert.ok(retryInMs > 40_000 && retryInMs <= 50_000, `${retryInMs}`);
  watcher.stream.reconnect();
  await watcher.live();
});

for (const [code, reason, expected] of [
  [1000, "", "reconnecting connection_lost"],
  [1000, "bye", "reconnecting bye"],
  [1000, "done", "closed done"],
  [1001, "", "reconnecting connection_lost"],
  [1002, "", "reconnecting connection_lost"],
  [1003, "", "reconnecting connection_lost"],
  [1007, "", "reconnecting connection_lost"],
  [1008, "policy", "reconnecting policy"],
  [1009, "", "reconnecting connection_lost"],
  [1010, "", "reconnecting connection_lost"],
  [1011, "", "reconnecting connection_lost"],
  [3000, "", "reconnecting connection_lost"],
  [3999, "done", "reconnecting done"],
  [4008, "idle", "reconnecting idle"],
  [4029, "rate_limited", "reconnecting rate_limited"],
  [4499, "", "reconnecting connection_lost"],
  [4500, "bad_frames", "closed refused"],
  [4999, "", "closed refused"],
]) {
  // Goal: a close code has the meaning that the contract gives it, and a stream that goes on does so from its cursor.
  // Method: the ends of each range, and the codes by which something on the way may refuse; after an event.
  test(`close code ${code}`, withWebSocket, async (t) => {
    const hostile = await startHostile(t, (session, number, after) => {
      session.send(connected(seqOf(after)));
      if (number > 0) return session.send(live(1));
      session.send(event(1));
      session.end(code, reason);
    });
    const watcher = watch(t, { url: hostile.url, after: 0 });
    await watcher.until(({ names }) => names.includes("reconnecting") || names.includes("closed"));
    const state = watcher.states.find(({ name }) => name === "reconnecting" || name === "closed");
    assert.equal(`${state.name} ${state.reason ?? state.error.code}`, expected);
    if (state.name === "reconnecting") await watcher.live();
    const asked = hostile.asked.map(({ after }) => after);
    assert.deepEqual(asked, state.name === "closed" ? ["0"] : ["0", `${EPOCH}-1`]);
    if (state.reason === "refused") assert.equal(state.error.code, reason || "connection_lost");
  });
}

const HUGE = JSON.stringify({ type: "user_created", data: { id: "x".repeat(2 << 20) }, timestamp: "", seq: 3 });
for (const [what, frame] of [
  ["no JSON", "nonsense"],
  ["an array", "[1]"],
  ["null", "null"],
  ["no type", "{}"],
  ["a type that is no text", '{"type":{"toString":1}}'],
  ["a seq that is no number", '{"type":"user_created","data":{},"timestamp":"","seq":"3"}'],
  ["a seq below 1", '{"type":"user_created","data":{},"timestamp":"","seq":0}'],
  ["a seq beyond what numbers hold", '{"type":"user_created","data":{},"timestamp":"","seq":9007199254740993}'],
  ["an event without data", '{"type":"user_created","timestamp":"","seq":3}'],
  ["a cursor that is none", '{"type":"live","data":{"cursor":"3"}}'],
  ["an error in an array", '[{"type":"error"}]'],
  ["a resync to nowhere", '{"type":"resync","data":{"reason":"cursor_expired"}}'],
  ["another epoch unannounced", '{"type":"live","data":{"cursor":"ffffffff-9"}}'],
  ["a second frame of 2 MiB", HUGE],
]) {
  // Goal: nonsense ends a connection and not the stream, which goes on from the last event before it.
  // Method: two events, the frame, and a session that is right.
  test(`survives ${what}`, async (t) => {
    const hostile = await startHostile(t, (session, number, after) => {
      const from = seqOf(after);
      session.send(connected(from));
      for (const seq of range(from + 1, from + 2)) session.send(event(seq));
      if (number === 0) session.send(frame);
      else session.send(live(from + 2));
    });
    const watcher = watch(t, { url: hostile.url, after: `${EPOCH}-0` });
    await watcher.live();
    assert.deepEqual(watcher.seqs, [1, 2, 3, 4]);
    assert.deepEqual(hostile.asked.map(({ after }) => after), [`${EPOCH}-0`, `${EPOCH}-2`]);
    assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "protocol");
    assert.equal(watcher.resyncs.length, 0);
  });
}

// Goal: what a newer server may say is borne. Method: control frames and fields that are unknown, and an unknown type with a seq.
test("bears what it does not know", async (t) => {
  const hostile = await startHostile(t, (session) => {
    session.send(connected(0));
    session.send('{"type":"from_the_future","data":7}');
    session.send('{"type":"error","code":"x","message":"nobody asked"}');
    session.send('{"type":"pong","extra":[]}');
    // Words that mean something inside the library.
    session.send('{"type":"event","event":{"seq":9}}');
    session.send(`{"type":"passed","cursor":{"epoch":"${EPOCH}","seq":9}}`);
    session.send(event(1, "from_the_future"));
    session.send(live(1));
  });
  const watcher = watch(t, { url: hostile.url, after: 0 });
  await watcher.live();
  assert.deepEqual(watcher.events.map(({ type, seq }) => [type, seq]), [["from_the_future", 1]]);
  assert.deepEqual(watcher.names, ["connecting", "replaying", "live"]);
});

// Goal: what is repeated is handed over once, and a hole that a reconnect fills is no loss.
// Method: a session that repeats and then skips; the next one is right.
test("drops repeats and heals holes", async (t) => {
  const hostile = await startHostile(t, (session, number, after) => {
    session.send(connected(seqOf(after)));
    const seqs = number === 0 ? [1, 2, 2, 1, 3, 5] : [3, 4, 5];
    for (const seq of seqs) session.send(event(seq));
    if (number === 1) session.send(live(5));
  });
  const watcher = watch(t, { url: hostile.url, after: 0 });
  await watcher.live();
  assert.deepEqual(watcher.seqs, range(1, 5));
  assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "gap");
  assert.equal(hostile.asked[1].after, `${EPOCH}-3`);
  assert.deepEqual(watcher.resyncs, []);
});

for (const [how, last] of [["an event", event(5)], ["live", live(4)]]) {
  // Goal: a loss that stays is said, and the stream goes on. Method: every session skips 3 and 4, before an event or `live`.
  test(`says what is lost before ${how}`, async (t) => {
    const hostile = await startHostile(t, (session, _, after) => {
      const from = seqOf(after);
      session.send(connected(from));
      for (const seq of [1, 2].filter((seq) => seq > from)) session.send(event(seq));
      session.send(last);
      if (how === "live") session.send(event(5));
      else session.send(live(5));
    });
    const watcher = watch(t, { url: hostile.url, after: 0 });
    await watcher.event(5);
    await watcher.live();
    assert.deepEqual(watcher.seqs, [1, 2, 5]);
    assert.deepEqual(watcher.resyncs, [{ reason: "loss", cursor: `${EPOCH}-4` }]);
    assert.equal(hostile.asked.length, 2);
  });
}

// Goal: with a filter a seq may be missing. Method: events 2, 5 and 9 of one type.
test("a filter is no loss", async (t) => {
  const hostile = await startHostile(t, (session) => {
    session.send(connected(0));
    for (const seq of [2, 5, 9]) session.send(event(seq));
    session.send(live(11));
  });
  const watcher = watch(t, { url: hostile.url, after: 0, types: ["user_created"] });
  await watcher.live();
  assert.deepEqual(watcher.seqs, [2, 5, 9]);
  assert.equal(watcher.stream.cursor, `${EPOCH}-11`);
  assert.equal(hostile.asked.length, 1);
});

// Goal: a cut between `connected` and `resync` hides no loss. Method: a session that begins elsewhere and is cut.
test("asks for its own position until a resync", async (t) => {
  const hostile = await startHostile(t, (session, number) => {
    session.send(connected(50));
    if (number === 0) return session.cut();
    session.send(JSON.stringify({ type: "resync", data: { reason: "cursor_expired", cursor: `${EPOCH}-50` } }));
    return session.send(event(51));
  });
  const watcher = watch(t, { url: hostile.url, after: `${EPOCH}-7` });
  await watcher.event(51);
  assert.deepEqual(hostile.asked.map(({ after }) => after), [`${EPOCH}-7`, `${EPOCH}-7`]);
  assert.deepEqual(watcher.log.slice(-3), ["resync cursor_expired", `live ${FIRST}`, "event 51"]);
});

// Goal: a server that accepts and drops is not dialled without pause. Method: ten such sessions, and the waits between them.
test("backs off from sessions that are of no use", async (t) => {
  const hostile = await startHostile(t, (session) => {
    session.send(connected(0));
    session.end(1001);
  });
  const watcher = watch(t, { url: hostile.url, after: 0, timing: { backoffMs: 4, backoffMaxMs: 120 } });
  await watcher.until(({ names }) => names.filter((name) => name === "reconnecting").length >= 10);
  const waits = watcher.states.filter(({ name }) => name === "reconnecting").map(({ retryInMs }) => retryInMs);
  waits.forEach((wait, at) => assert.ok(wait <= Math.min(120, 4 * 2 ** at), `${waits}`));
  assert.ok(Math.max(...waits) > 16, `drawn from a range that grows: ${waits}`);
  assert.ok(new Set(waits).size > 3, `by chance: ${waits}`);
});

// Goal: bytes are read as the standard says, however they are cut. Method: a stream of odd lines, written byte by byte.
test("reads an event stream in any pieces", async (t) => {
  // The line break inside the first event stands where JSON bears one.
  const text = [
    "\ufeff: a comment\r\n\r\n",
    `event: connected\rdata: ${connected(0)}\r\r`,
    `id: ${EPOCH}-1\r\nevent:user_created\r\ndata:${event(1).replace(",", ",\r\ndata: ")}\r\n\r\n`,
    `data: ${event(2).replace('"2"', '"é स 🙂"')}\n\nid: nonsense\n\n: heartbeat\nid: ${EPOCH}-2\n\nunknown: x\ndata : y\n\n`,
    `data: ${live(2)}\n\nretry: 60000\ndata: never completed`,
  ].join("");
  const hostile = await startHostile(t, async (session, number) => {
    if (number > 0) return;
    for (const byte of Buffer.from(text)) {
      session.bytes(Buffer.of(byte));
      await new Promise((resume) => setImmediate(resume));
    }
    session.end(0);
  });
  const watcher = watch(t, { url: hostile.url, after: 0, transport: "sse" });
  await watcher.until(({ names }) => names.includes("reconnecting"));
  assert.deepEqual(watcher.events.map(({ data, seq }) => [data.id, seq]), [["1", 1], ["é स 🙂", 2]]);
  assert.deepEqual(watcher.log.slice(-2), ["live sse", "reconnecting sse drain"]);
  assert.equal(watcher.states.at(-1).retryInMs, 60_000);
});

for (const [what, text] of [["a line", "data: "], ["lines", "data: x\n"], ["a comment", ": "]]) {
  // Goal: nothing without an end fills the memory. Method: more than a mebibyte of it, until the stream is cut by its reader.
  test(`ends ${what} without end`, async (t) => {
    const fill = text.endsWith("\n") ? text.repeat(8192) : `${text}${"x".repeat(65536)}`;
    const hostile = await startHostile(t, (session, number) => {
      session.send(connected(0));
      if (number > 0) return;
      session.bytes(Buffer.from(text));
      for (let at = 0; at < 80; at += 1) session.bytes(Buffer.from(text.endsWith("\n") ? fill : fill.replaceAll("\n", "")));
    });
    const watcher = watch(t, { url: hostile.url, after: 0, transport: "sse" });
    await watcher.until(({ names }) => names.includes("reconnecting"));
    assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "protocol");
  });
}

// Goal: a binary frame is nonsense like any other. Method: one after `connected`.
test("survives a binary frame", withWebSocket, async (t) => {
  const hostile = await startHostile(t, (session, number) => {
    session.send(connected(0));
    if (number === 0) session.bytes(Buffer.of(1, 2, 3));
    else session.send(live(0));
  });
  const watcher = watch(t, { url: hostile.url, after: 0 });
  await watcher.live();
  assert.equal(watcher.states.find(({ name }) => name === "reconnecting").error.code, "protocol");
});
