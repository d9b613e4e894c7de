/**
 * What the page knows: the figures and the newest events at one position of the log, kept current by the stream.
 *
 * First the snapshots are read, then the stream is opened after the older of the two; what is shown waits until the stream
 * has reached the newer one. A resync does the same again beside what is still shown, and changes over once it is complete.
 */

import { connect } from "../sambad.js";
import { BASE, get, inWords, unauthorized } from "./api.js";
import { Model } from "./model.js";
import { Recent } from "./recent.js";

/** Events asked for at the start: all that the server hands out at once. */
const ACTIVITY_ROWS = 500;
const RETRY_MS_MAX = 15_000;

/** One consistent view: figures and events end at the same seq. */
class View {
  recent = new Recent();
  /** Seq that has to be reached before any of this may be shown; null until the snapshots are there. */
  #complete = null;

  constructor(epoch, position) {
    this.epoch = epoch;
    this.model = new Model(position);
  }

  get position() {
    return this.model.position;
  }

  get ready() {
    return this.#complete !== null && this.position >= this.#complete && this.model.figures !== null;
  }

  /** Takes both snapshots; events that came meanwhile stay. */
  fill(analytics, activity) {
    this.model.offer(analytics.value, analytics.seq);
    const came = this.recent.newest(() => true, Infinity).reverse();
    const recent = new Recent();
    for (const { type, data, time, seq } of [...activity.value].reverse()) {
      recent.push({ type, data, timestamp: time, seq, latency: null, origin: "snapshot" });
    }
    for (const entry of came) recent.push(entry);
    this.recent = recent;
    this.#complete = Math.max(analytics.seq, activity.seq);
  }
}

/**
 * @param {object} callbacks
 * @param {(entry: object, view: View) => void} callbacks.onEvent an event was added to what is shown
 * @param {(view: View) => void} callbacks.onView something else is shown from now on: draw everything anew
 * @param {(view: View) => void} callbacks.onFigures the figures were corrected
 * @param {(state: object) => void} callbacks.onState the stream's state, or one of the same form before there is a stream
 * @param {(reason: string) => void} callbacks.onResync
 * @param {(failure: {text: string, retryInMs: number} | null) => void} callbacks.onFailure why nothing can be loaded
 * @param {(event: object, info: object) => number | null} callbacks.latencyOf
 */
export function openStore({ onEvent, onView, onFigures, onState, onResync, onFailure, latencyOf }) {
  /** @type {View | null} */
  let shown = null;
  /** What is being filled; events go there and not to what is shown. @type {View | null} */
  let next = null;
  let stream = null;
  /** Tells a load that is under way that another has begun. */
  let round = 0;
  let retryTimer = 0;

  function takeEvent(event, info) {
    const view = next ?? shown;
    const became = view.model.apply(event);
    if (became === "repeated") return;
    if (became === "lost") return startOver(info.cursor, "loss");
    const entry = { ...event, latency: latencyOf(event, info), origin: info.live ? "live" : "replay" };
    view.recent.push(entry);
    if (view === next) changeOver();
    else onEvent(entry, view);
  }

  function changeOver() {
    if (!next?.ready) return;
    shown = next;
    next = null;
    onView(shown);
  }

  function startOver(cursor, reason) {
    const [epoch, seq] = cursor.split("-");
    next = new View(epoch, Number(seq));
    onResync(reason);
    load();
  }

  function follow(epoch, position) {
    return connect({
      url: BASE.href,
      after: `${epoch}-${position}`,
      onEvent: takeEvent,
      onState(state) {
        onState(state);
        if (state.reason === "unauthorized") unauthorized();
      },
      onResync: ({ reason, cursor }) => startOver(cursor, reason),
    });
  }

  async function load(attempt = 0) {
    clearTimeout(retryTimer);
    const mine = (round += 1);
    if (!stream) onState({ name: "connecting", transport: null, cursor: null, attempt });
    try {
      const [analytics, activity] = await Promise.all([
        get("api/admin/analytics"),
        get(`api/admin/activity?limit=${ACTIVITY_ROWS}`),
      ]);
      if (mine !== round) return;
      onFailure(null);
      next ??= new View(analytics.epoch, Math.min(analytics.seq, activity.seq));
      // The database was exchanged in between: what was read last is of another log.
      if (analytics.epoch !== next.epoch || activity.epoch !== next.epoch) {
        if (!stream) next = null;
        throw new Error("the log was replaced");
      }
      next.fill(analytics, activity);
      const { epoch, position } = next;
      changeOver();
      stream ??= follow(epoch, position);
    } catch (error) {
      // It was told already, and who logs in begins anew.
      if (mine !== round || error.status === 401) return;
      const retryInMs = Math.min(RETRY_MS_MAX, error.retryAfterMs ?? 1_000 * 2 ** attempt);
      if (!stream) onState({ name: "reconnecting", transport: null, cursor: null, retryInMs, attempt });
      onFailure({ text: inWords(error), retryInMs });
      retryTimer = setTimeout(load, retryInMs, attempt + 1);
    }
  }

  load();
  return {
    get view() {
      return shown;
    },
    /** Tries again now, whatever is being waited for. */
    reconnect() {
      // A stream that has ended does not come back: another goes on where it stood.
      if (stream?.state.name === "closed") {
        const { epoch, position } = next ?? shown;
        stream = follow(epoch, position);
      } else stream?.reconnect();
      if (!shown || next) load();
    },
    /** Asks for the figures anew. */
    async refresh() {
      const view = shown;
      const { value, seq, epoch } = await get("api/admin/analytics");
      if (view && view === shown && epoch === view.epoch && view.model.offer(value, seq) === "adopted") onFigures(view);
    },
  };
}
