/** The newest events, bounded: what the feed can show and what a filter looks through. Pure. */

/** Events kept; a filter finds what is among them. */
export const KEPT_MAX = 2_000;
/** Room to grow before the front is dropped, so that an event does not cost a copy of the array. */
const SLACK = 500;

/**
 * @typedef {{type: string, data: any, timestamp: string, seq: number}} SambadEvent
 * @typedef {SambadEvent & {latency: number | null, origin: "snapshot" | "replay" | "live"}} Entry
 *   `latency`: milliseconds from the commit to this page, for events that came live
 */

export class Recent {
  /** Oldest first. @type {Entry[]} */
  #entries = [];

  /** @param {Entry} entry newer than all others; repeated ones are left out */
  push(entry) {
    const last = this.#entries.at(-1);
    if (last && entry.seq <= last.seq) return false;
    this.#entries.push(entry);
    if (this.#entries.length > KEPT_MAX + SLACK) this.#entries.splice(0, SLACK);
    return true;
  }

  /** The newest that pass, newest first. @param {(entry: Entry) => boolean} passes @param {number} limit */
  newest(passes, limit, { after = -Infinity, before = Infinity } = {}) {
    const found = [];
    for (let i = this.#entries.length - 1; i >= 0 && found.length < limit; i -= 1) {
      const entry = this.#entries[i];
      if (entry.seq <= after) break;
      if (entry.seq < before && passes(entry)) found.push(entry);
    }
    return found;
  }

  /** The same events, unmoved by what comes. */
  copy() {
    const copy = new Recent();
    copy.#entries = [...this.#entries];
    return copy;
  }

  get length() {
    return this.#entries.length;
  }

  /** Seq of the oldest event kept, or null. */
  get oldest() {
    return this.#entries[0]?.seq ?? null;
  }
}
