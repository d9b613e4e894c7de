/** Events per second of the last two minutes, with the seconds in which the page was not live as gaps. Pure. */

export const SECONDS = 120;

export class Rate {
  /** One count a second, null for a gap; index = second modulo length. @type {(number | null)[]} */
  #counts = Array(SECONDS).fill(null);
  #second;

  /** @param {number} now in milliseconds */
  constructor(now) {
    this.#second = Math.floor(now / 1_000);
  }

  /** Moves on to the second of `now`; those in between are empty if the page is live, else gaps. */
  tick(now, live) {
    const second = Math.floor(now / 1_000);
    // A clock that was set, or a night's sleep: nothing of what is kept is of the last two minutes.
    if (second < this.#second || second - this.#second > SECONDS) this.#counts.fill(null);
    else for (let s = this.#second + 1; s <= second; s += 1) this.#counts[s % SECONDS] = live ? 0 : null;
    this.#second = second;
  }

  /** Counts an event that came live. */
  add(now) {
    this.tick(now, true);
    const at = this.#second % SECONDS;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** Oldest first; the last is the second that is still going on. */
  get series() {
    return Array.from(this.#counts, (_, i) => this.#counts[(this.#second + 1 + i) % SECONDS]);
  }

  /** Mean of the whole seconds since the last gap, at most `seconds`; null right after a gap, and in one. */
  mean(seconds) {
    const whole = this.series.slice(-1 - seconds, -1);
    const counts = whole.slice(whole.lastIndexOf(null) + 1);
    return counts.length === 0 ? null : counts.reduce((sum, count) => sum + count, 0) / counts.length;
  }
}
