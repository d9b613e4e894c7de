/**
 * When the figures are asked for again: soon after something happened, rarely while much happens, and now and then anyway,
 * because a login of a known user makes no event and midnight makes none either.
 */

/** After a lone event; also the least time between two requests, so at most 4 a second. */
const SOON_MS = 250;
/** Between two requests while events keep coming. */
const STEADY_MS = 1_000;
const IDLE_MS = 30_000;
const FAILED_MS = 5_000;
const DAY_MS = 86_400_000;

/** @param {{ask: () => Promise<void>, serverTime: () => number}} options `ask` fetches and hands over; it may fail */
export function createRefresher({ ask, serverTime }) {
  let timer = 0;
  let dueAt = Infinity;
  let asking = false;
  let poked = false;
  let askedAt = -Infinity;
  /** Whether the last two requests followed each other closely. */
  let steady = false;

  function at(time) {
    if (time >= dueAt) return;
    clearTimeout(timer);
    dueAt = time;
    timer = setTimeout(run, Math.max(0, time - performance.now()));
  }

  const soon = (now) => at(Math.max(now + SOON_MS, askedAt + (steady ? STEADY_MS : SOON_MS)));

  async function run() {
    dueAt = Infinity;
    // A hidden page shows nothing; it asks again as soon as it is looked at.
    if (document.hidden || asking) return;
    const now = performance.now();
    steady = now - askedAt < 2 * STEADY_MS;
    askedAt = now;
    asking = true;
    poked = false;
    let failed = false;
    await ask().catch(() => {
      failed = true;
    });
    asking = false;
    const toMidnight = DAY_MS - (serverTime() % DAY_MS) + 500;
    at(performance.now() + (failed ? FAILED_MS : Math.min(IDLE_MS, toMidnight)));
    if (poked && !failed) soon(performance.now());
  }

  document.addEventListener("visibilitychange", () => !document.hidden && at(performance.now()));
  return {
    /** Something happened. */
    poke() {
      poked = true;
      if (!asking && !document.hidden) soon(performance.now());
    },
  };
}
