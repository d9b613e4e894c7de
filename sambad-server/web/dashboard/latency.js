/** Latencies of the newest live events, and their median. Pure. */

/** Enough for a steady median, few enough that it tells of the last moments. */
const KEPT = 101;

export class Latencies {
  #kept = [];

  add(ms) {
    this.#kept.push(ms);
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  get median() {
    if (this.#kept.length === 0) return null;
    const sorted = [...this.#kept].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }
}
