import assert from "node:assert/strict";
import { test } from "node:test";

import { Model, percent } from "../dashboard/model.js";

const DAY_MS = 86_400_000;
const FIRST_DAY = Date.parse("2026-02-20");

/** A number generator with a seed, so that a failure can be run again. Source: mulberry32. */
function generator(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

/** A log of `length` events over some days, in which a contact is only removed if there is one. */
function makeLog(random, length) {
  let now = FIRST_DAY + random(DAY_MS);
  let contacts = 0;
  return Array.from({ length }, (_, i) => {
    // Mostly moments, at times days, once in a while longer than the series reaches back.
    const pause = random(40);
    now += pause === 0 ? random(40 * DAY_MS) : pause < 4 ? random(2 * DAY_MS) : random(60_000);
    const types = ["user_created", "contact_added", "message_sent", ...(contacts > 0 ? ["contact_removed"] : [])];
    const type = types[random(types.length)];
    contacts += { contact_added: 1, contact_removed: -1 }[type] ?? 0;
    return { type, seq: i + 1, timestamp: new Date(now).toISOString(), data: {} };
  });
}

/** The figures after the first `upTo` events as they are on `today`, counted from nothing. */
function truth(log, upTo, today) {
  const days = new Map();
  for (let back = 29; back >= 0; back -= 1) {
    const date = dayOf(Date.parse(today) - back * DAY_MS);
    days.set(date, { date, users: 0, contacts: 0, messages: 0 });
  }
  const total = { user_created: 0, contact_added: 0, contact_removed: 0, message_sent: 0 };
  const series = { user_created: "users", contact_added: "contacts", message_sent: "messages" };
  for (const { type, timestamp } of log.slice(0, upTo)) {
    total[type] += 1;
    const day = days.get(timestamp.slice(0, 10));
    if (day && series[type]) day[series[type]] += 1;
  }
  const newUsers = days.get(today).users;
  return {
    totalUsers: total.user_created,
    newUsers,
    activeUsers: total.user_created,
    inactiveUsers: 0,
    growth: total.user_created === 0 ? 0 : Math.round((newUsers / total.user_created) * 10_000 + 1e-9) / 100,
    totalContacts: total.contact_added - total.contact_removed,
    totalMessages: total.message_sent,
    daily: [...days.values()],
  };
}

/**
 * One run: events reach the model in order, some twice; snapshots are read at the server's head, wherever the model is, and
 * reach it late and in any order. After every step the figures must be those of the position.
 */
function run(seed) {
  const random = generator(seed);
  const log = makeLog(random, 5 + random(60));
  const today = (seq) => log[Math.max(0, seq - 1)].timestamp.slice(0, 10);
  let head = random(log.length);
  const start = random(head + 1);
  const model = new Model(start);
  const underWay = [];
  /** The newest day that the model can know of: that of the position, or of a snapshot that it adopted. */
  let known = 0;
  let adopted = 0;
  for (let step = 0; step < 400 && model.position < log.length; step += 1) {
    const context = `seed ${seed}, step ${step}, position ${model.position}, head ${head}`;
    switch (random(5)) {
      case 0:
        head = Math.min(log.length, head + random(6));
        break;
      case 1:
        underWay.push(head);
        break;
      case 2: {
        if (underWay.length === 0) break;
        const [seq] = underWay.splice(random(underWay.length), 1);
        const answer = model.offer(truth(log, seq, today(seq)), seq);
        if (answer === "adopted") adopted += 1;
        assert.equal(answer === "held", seq > model.position, context);
        break;
      }
      case 3:
        if (model.position > 0) {
          const again = 1 + random(model.position);
          assert.equal(model.apply(log[again - 1]), "repeated", context);
        }
        break;
      default:
        if (model.position === head) break;
        if (model.position + 2 <= log.length) assert.equal(model.apply(log[model.position + 1]), "lost", context);
        assert.equal(model.apply(log[model.position]), "applied", context);
    }
    known = Math.max(known, model.position);
    if (model.figures) assert.deepEqual(model.figures, truth(log, model.position, today(known)), context);
  }
  return adopted;
}

// Goal: the cards never disagree with the feed. Method: 1,000 random interleavings of events, repeated events, and snapshots
// that are read anywhere ahead and arrive late and out of order; after every step the figures are counted from nothing.
test("figures are those of the position, whatever comes in whatever order", () => {
  let adopted = 0;
  for (let seed = 1; seed <= 1_000; seed += 1) adopted += run(seed);
  assert.ok(adopted > 500, `the runs adopted ${adopted} snapshots`);
});

const quiet = (figures) => ({ ...truth([], 0, "2026-02-20"), ...figures });
const event = (seq, type = "message_sent", timestamp = "2026-02-20T10:00:00.000000Z") => ({ seq, type, timestamp, data: {} });

// Goal: a snapshot ahead of the feed is not shown before its events are. Method: events up to it, one by one.
test("a snapshot ahead waits", () => {
  const model = new Model(10);
  assert.equal(model.offer(quiet({ totalMessages: 10 }), 10), "adopted");
  assert.equal(model.offer(quiet({ totalMessages: 13, activeUsers: 0 }), 13), "held");
  for (const [seq, messages] of [[11, 11], [12, 12], [13, 13], [14, 14]]) {
    model.apply(event(seq));
    assert.equal(model.figures.totalMessages, messages);
  }
});

// Goal: nothing is shown before it can be right. Method: a first snapshot ahead of the stream's beginning.
test("there are no figures before the first snapshot is reached", () => {
  const model = new Model(4);
  model.offer(quiet({ totalUsers: 6 }), 6);
  assert.equal(model.figures, null);
  model.apply(event(5));
  assert.equal(model.figures, null);
  model.apply(event(6));
  assert.equal(model.figures.totalUsers, 6);
});

// Goal: who became active or inactive without an event shows too. Method: a newer answer at the same position.
test("a snapshot at the same position replaces the figures", () => {
  const model = new Model(1);
  model.offer(quiet({ totalUsers: 5, activeUsers: 1, inactiveUsers: 4 }), 1);
  assert.equal(model.offer(quiet({ totalUsers: 5, activeUsers: 2, inactiveUsers: 3 }), 1), "adopted");
  assert.equal(model.figures.activeUsers, 2);
  model.apply(event(2, "user_created"));
  assert.deepEqual([model.figures.totalUsers, model.figures.activeUsers, model.figures.inactiveUsers], [6, 3, 3]);
});

// Goal: an answer older than the events that are kept does no harm. Method: more events than are kept before it arrives.
test("memory is bounded, and an answer from before it is left out", () => {
  const model = new Model(0);
  model.offer(quiet({}), 0);
  for (let seq = 1; seq <= 50_000; seq += 1) model.apply(event(seq));
  assert.equal(model.offer(quiet({ totalMessages: 7 }), 7), "outdated");
  assert.equal(model.figures.totalMessages, 50_000);
  assert.equal(model.offer(quiet({ totalMessages: 49_000 }), 49_000), "adopted");
  assert.equal(model.figures.totalMessages, 50_000);
});

// Goal: growth is rounded as the server rounds. Method: its own edge cases.
test("growth has two decimals, half up", () => {
  for (const [part, whole, expected] of [[0, 0, 0], [1, 3, 33.33], [2, 3, 66.67], [1, 8, 12.5], [1, 800, 0.13], [7, 7, 100]]) {
    assert.equal(percent(part, whole), expected, `${part} of ${whole}`);
  }
});
