/**
 * How far the server's clock is ahead of this browser's, in milliseconds. Pure.
 *
 * An answer says what the server's clock showed at some moment between sending the request and receiving the answer, so
 * each is an interval in which the difference lies, and their common part is what is known. Answers say it twice: `Date`
 * to the second, and the request's id, a UUID v7, to the millisecond; the id counts only if it agrees with the date, as
 * nothing promises its form.
 *
 * Source: F. Cristian, Probabilistic clock synchronization (1989).
 */

/** Clocks drift and step; what answers said long ago is no longer true. */
const SAMPLES_MAX = 30;

export class Clock {
  /** @type {{low: number, high: number}[]} */
  #samples = [];

  /** @param {{sentAt: number, receivedAt: number, date: string | null, requestId: string | null}} answer */
  add({ sentAt, receivedAt, date, requestId }) {
    const second = Date.parse(date ?? "");
    if (Number.isNaN(second) || receivedAt < sentAt) return;
    const ms = uuidTime(requestId);
    const exact = ms !== null && ms >= second - 1_000 && ms < second + 2_000;
    const [from, to] = exact ? [ms, ms + 1] : [second, second + 1_000];
    const sample = { low: from - receivedAt, high: to - sentAt };
    const { low, high } = common(this.#samples);
    // Nothing in common: one of the clocks was set. Only the newest answer knows.
    if (sample.low > high || sample.high < low) this.#samples = [];
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** `ahead` and how much it may be off either way, or null before the first answer. */
  get estimate() {
    if (this.#samples.length === 0) return null;
    const { low, high } = common(this.#samples);
    return { ahead: (low + high) / 2, error: (high - low) / 2 };
  }

  /** The server's time when this browser's clock shows `now`. */
  serverTime(now) {
    return now + (this.estimate?.ahead ?? 0);
  }
}

function common(samples) {
  return {
    low: Math.max(-Infinity, ...samples.map(({ low }) => low)),
    high: Math.min(Infinity, ...samples.map(({ high }) => high)),
  };
}

/** Milliseconds since 1970 that a UUID v7 begins with. @param {string | null} id */
export function uuidTime(id) {
  const match = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-/.exec(id ?? "");
  return match ? parseInt(match[1] + match[2], 16) : null;
}
