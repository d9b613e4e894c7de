import assert from "node:assert/strict";
import { test } from "node:test";

import { Clock, uuidTime } from "../dashboard/clock.js";
import { fromQuery, predicate, toHash, TYPES } from "../dashboard/filter.js";
import { Latencies } from "../dashboard/latency.js";
import { countryCode, parties } from "../dashboard/phone.js";
import { Rate, SECONDS } from "../dashboard/rate.js";
import { KEPT_MAX, Recent } from "../dashboard/recent.js";

// Goal: a number's country is found without a list of countries. Method: codes of one, two and three digits.
test("country codes", () => {
  const cases = {
    "+919876543210": "+91",
    "+14155550100": "+1",
    "+79161234567": "+7",
    "+447946000000": "+44",
    "+9715012345678": "+971",
    "+35312345678": "+353",
    "+886912345678": "+886",
  };
  for (const [phone, code] of Object.entries(cases)) assert.equal(countryCode(phone), code, phone);
});

// Goal: a link keeps its filter. Method: there and back, with a plus, with what an address turns it into, and with nonsense.
test("a filter survives the address", () => {
  const filters = [
    { types: [], user: "", country: "" },
    { types: ["contact_added", "message_sent"], user: "+919876543210", country: "+91" },
    { types: ["user_created"], user: "Asha & Söhne #1?", country: "+971" },
  ];
  for (const filter of filters) assert.deepEqual(fromQuery(toHash(filter).split("?").slice(1).join("?")), filter);
  assert.equal(toHash(filters[0]), "#/");
  assert.deepEqual(fromQuery("user=+9198&country=+91&types=nonsense,user_created"), {
    types: ["user_created"],
    user: "+9198",
    country: "+91",
  });
});

const message = {
  type: "message_sent",
  data: { from_username: "+919876543210", from_user_id: "a", to_username: "+447946000000", to_user_id: "b", content: "+1" },
};
const joined = { type: "user_created", data: { username: "+14155550100", id: "c" } };

// Goal: a filter lets through what it says. Method: a table over an event with two users and one with one.
test("what passes a filter", () => {
  const none = { types: [], user: "", country: "" };
  const cases = [
    [{}, true, true],
    [{ types: ["user_created"] }, false, true],
    [{ types: TYPES }, true, true],
    [{ country: "+91" }, true, false],
    [{ country: "+44" }, true, false],
    [{ country: "+4" }, true, false],
    [{ country: "+1" }, false, true],
    [{ user: "98765" }, true, false],
    [{ user: "+98765" }, false, false],
    [{ user: "+44 7946-000000" }, true, false],
    [{ user: "Asha" }, true, false],
    [{ user: "Asha", types: ["user_created"] }, false, false],
    [{ user: "+1415", country: "+91" }, false, false],
  ];
  const named = new Set(["b"]);
  for (const [filter, ofMessage, ofJoined] of cases) {
    const passes = predicate({ ...none, ...filter }, named);
    assert.deepEqual([passes(message), passes(joined)], [ofMessage, ofJoined], JSON.stringify(filter));
  }
});

// Goal: what is kept is bounded, in order and free of repetitions. Method: many events, some twice.
test("recent events", () => {
  const recent = new Recent();
  for (let seq = 1; seq <= 10_000; seq += 1) {
    assert.ok(recent.push({ seq }));
    assert.ok(!recent.push({ seq }));
    assert.ok(recent.length <= 2 * KEPT_MAX);
  }
  assert.ok(recent.length >= KEPT_MAX);
  const even = ({ seq }) => seq % 2 === 0;
  assert.deepEqual(recent.newest(even, 3).map(({ seq }) => seq), [10_000, 9_998, 9_996]);
  assert.deepEqual(recent.newest(even, 9, { after: 9_995, before: 9_999 }).map(({ seq }) => seq), [9_998, 9_996]);
  const copy = recent.copy();
  recent.push({ seq: 10_001 });
  assert.equal(copy.newest(() => true, 1)[0].seq, 10_000);
});

/** An answer of a server whose clock is `ahead`, which it read `out` after the request was sent. */
function answer({ sentAt, out, back, ahead, exact }) {
  const at = sentAt + out + ahead;
  const hex = Math.floor(at).toString(16).padStart(12, "0");
  return {
    sentAt,
    receivedAt: sentAt + out + back,
    date: new Date(Math.floor(at / 1_000) * 1_000).toUTCString(),
    requestId: exact ? `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000` : "anything",
  };
}

// Goal: the clocks' difference is bounded rightly. Method: uneven ways there and back, with and without an exact id, and a
// clock that is set in between; the true difference must lie within what is claimed, and the claim be worth something.
test("the difference between clocks", () => {
  for (const exact of [true, false]) {
    for (const ahead of [-7_300, 0, 4, 86_400_000]) {
      const clock = new Clock();
      assert.equal(clock.estimate, null);
      for (let i = 0; i < 25; i += 1) {
        const out = (i * 7) % 40;
        clock.add(answer({ sentAt: 1_750_000_000_000 + i * 2_037, out, back: 40 - out, ahead, exact }));
        const { ahead: guess, error } = clock.estimate;
        assert.ok(Math.abs(guess - ahead) <= error + 1, `${guess} ± ${error} for ${ahead}`);
      }
      assert.ok(clock.estimate.error <= (exact ? 21 : 80), `± ${clock.estimate.error}`);
      clock.add(answer({ sentAt: 1_750_000_090_000, out: 1, back: 1, ahead: ahead + 60_000, exact }));
      assert.ok(Math.abs(clock.estimate.ahead - ahead - 60_000) <= clock.estimate.error + 1, "after the clock was set");
    }
  }
});

// Goal: an id that only looks like one with a time does not spoil the estimate. Method: a time that the date contradicts.
test("a request id counts only if the date agrees", () => {
  const clock = new Clock();
  clock.add({
    ...answer({ sentAt: 1_750_000_000_000, out: 5, back: 5, ahead: 0, exact: false }),
    requestId: "00000000-0000-7000-8000-000000000000",
  });
  assert.equal(uuidTime("00000000-0000-7000-8000-000000000000"), 0);
  assert.ok(Math.abs(clock.estimate.ahead) <= clock.estimate.error);
});

// Goal: seconds without a connection are gaps and not zeros. Method: live, away, live, asleep.
test("events per second", () => {
  const rate = new Rate(0);
  for (const now of [1_000, 1_500, 2_000]) rate.add(now);
  rate.tick(5_000, true);
  assert.deepEqual(rate.series.slice(-5), [2, 1, 0, 0, 0]);
  assert.equal(rate.mean(10), 0.75);
  rate.tick(8_000, false);
  assert.equal(rate.mean(10), null);
  rate.add(9_000);
  assert.deepEqual(rate.series.slice(-4), [null, null, null, 1]);
  rate.tick(9_000 + (SECONDS + 5) * 1_000, true);
  assert.ok(rate.series.every((count) => count === null));
  assert.equal(rate.series.length, SECONDS);
});

// Goal: the median is that of the newest. Method: many small ones after few large ones.
test("median latency", () => {
  const latencies = new Latencies();
  assert.equal(latencies.median, null);
  for (const ms of [9_000, 9_001]) latencies.add(ms);
  assert.equal(latencies.median, 9_000.5);
  for (let i = 0; i < 500; i += 1) latencies.add(i % 3);
  assert.equal(latencies.median, 1);
});

// Goal: a type that a newer server sends does not break the feed. Method: such an event through whatever looks at types.
test("unknown types of events pass", () => {
  const unknown = { type: "user_renamed", seq: 1, timestamp: "2026-02-20T10:00:00.000000Z", data: {} };
  assert.deepEqual(parties(unknown), { who: null, whoId: null, whom: null, whomId: null });
  assert.ok(predicate({ types: [], user: "", country: "" })(unknown));
  assert.ok(!predicate({ types: [], user: "", country: "+91" })(unknown));
  assert.ok(!predicate({ types: [], user: "+91", country: "" })(unknown));
});

// Goal: an event without a name does not break the feed. Method: each known type with nothing in it.
test("events without names pass", () => {
  for (const type of TYPES) {
    const { who, whom } = parties({ type, data: {} });
    assert.deepEqual([who, whom], [null, null], type);
  }
});
