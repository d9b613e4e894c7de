/**
 * The figures of the dashboard at one position of the event log: pure, without DOM, network or clock.
 *
 * A snapshot is an answer of `/api/admin/analytics` together with the seq it was read at. Events move the position on,
 * one seq at a time. Snapshots may come at any moment, older or newer than the position:
 *
 * - one at or before the position becomes the base, and the events seen after it are counted again on top of it;
 * - one ahead of the position waits until the position has reached it, because the feed has not shown those events yet.
 *
 * **Invariant:** `figures` always speaks of exactly the events up to `position`. The one exception is who counts as active:
 * an event does not say whether its author had been inactive, so a return shows with the next snapshot; active and inactive
 * always add up to the total.
 */

/** Days in `daily`, as the server sends them. */
const DAYS = 30;
/** Events kept to be counted again: at 500 a second, an answer that takes 40 s; one that is older still is not used. */
const DELTAS_MAX = 20_000;
/** Dropping single elements off the front of an array costs a copy each; this many at once do not. */
const DELTAS_SLACK = 1_000;
const DAY_MS = 86_400_000;

/**
 * @typedef {{date: string, users: number, contacts: number, messages: number}} Day
 * @typedef {{totalUsers: number, newUsers: number, activeUsers: number, inactiveUsers: number, growth: number,
 *   totalContacts: number, totalMessages: number, daily: Day[]}} Figures
 * @typedef {{seq: number, type: string, day: string}} Delta
 */

export class Model {
  /** Seq of the last event counted. */
  position;
  /** @type {Figures | null} */
  #figures = null;
  #baseSeq = -1;
  /** @type {{seq: number, value: Figures} | null} */
  #ahead = null;
  /** Events after the base, oldest first. @type {Delta[]} */
  #deltas = [];
  /** Every event after this seq and up to the position is in `#deltas`. */
  #deltasAfter;

  /** @param {number} position seq that the stream of events starts after */
  constructor(position) {
    this.position = position;
    this.#deltasAfter = position;
  }

  /** The figures at `position`, or null as long as no snapshot speaks of it. Belongs to the model: read, don't write. */
  get figures() {
    return this.#figures;
  }

  /**
   * Counts the next event.
   * @param {{seq: number, type: string, timestamp: string}} event
   * @returns {"applied" | "repeated" | "lost"} `lost`: events are missing before this one, and nothing was counted
   */
  apply({ seq, type, timestamp }) {
    if (seq <= this.position) return "repeated";
    if (seq !== this.position + 1) return "lost";
    const delta = { seq, type, day: timestamp.slice(0, 10) };
    this.position = seq;
    this.#deltas.push(delta);
    if (this.#deltas.length > DELTAS_MAX + DELTAS_SLACK) {
      this.#deltasAfter = this.#deltas.splice(0, DELTAS_SLACK).at(-1).seq;
    }
    if (this.#ahead?.seq === seq) {
      const { value } = this.#ahead;
      this.#ahead = null;
      this.#rebase(value, seq);
    } else if (this.#figures) {
      count(this.#figures, delta);
    }
    return "applied";
  }

  /**
   * Takes a snapshot.
   * @param {Figures} value
   * @param {number} seq what it was read at
   * @returns {"adopted" | "held" | "outdated"}
   */
  offer(value, seq) {
    if (seq > this.position) {
      if (!this.#ahead || this.#ahead.seq <= seq) this.#ahead = { seq, value };
      return "held";
    }
    if (seq < this.#baseSeq || seq < this.#deltasAfter) return "outdated";
    this.#rebase(value, seq);
    return "adopted";
  }

  #rebase(value, seq) {
    this.#figures = structuredClone(value);
    this.#baseSeq = seq;
    const kept = this.#deltas.findIndex((delta) => delta.seq > seq);
    this.#deltas = kept < 0 ? [] : this.#deltas.slice(kept);
    this.#deltasAfter = seq;
    for (const delta of this.#deltas) count(this.#figures, delta);
  }
}

/** @param {Figures} figures @param {Delta} delta */
function count(figures, { type, day }) {
  turnTo(figures, day);
  const counts = figures.daily.find(({ date }) => date === day);
  switch (type) {
    case "user_created":
      figures.totalUsers += 1;
      figures.activeUsers += 1;
      if (counts) counts.users += 1;
      break;
    case "contact_added":
      figures.totalContacts += 1;
      if (counts) counts.contacts += 1;
      break;
    case "contact_removed":
      figures.totalContacts -= 1;
      break;
    case "message_sent":
      figures.totalMessages += 1;
      if (counts) counts.messages += 1;
      break;
  }
  figures.newUsers = figures.daily.at(-1)?.users ?? 0;
  figures.inactiveUsers = Math.max(0, figures.totalUsers - figures.activeUsers);
  figures.growth = percent(figures.newUsers, figures.totalUsers);
}

/** Begins the days after the newest one, up to `day`: the first event after midnight is the page's midnight. */
function turnTo({ daily }, day) {
  let newest = daily.at(-1)?.date;
  if (newest === undefined || day <= newest) return;
  const missing = Math.min(DAYS, Math.round((Date.parse(day) - Date.parse(newest)) / DAY_MS));
  for (let back = missing - 1; back >= 0; back -= 1) {
    newest = new Date(Date.parse(day) - back * DAY_MS).toISOString().slice(0, 10);
    daily.push({ date: newest, users: 0, contacts: 0, messages: 0 });
  }
  daily.splice(0, daily.length - DAYS);
}

/** `part` of `whole` in percent with two decimals, rounded as the server rounds. */
export function percent(part, whole) {
  return whole === 0 ? 0 : Math.floor((part * 20_000 + whole) / (2 * whole)) / 100;
}
