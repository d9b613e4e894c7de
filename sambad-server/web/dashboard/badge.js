/** The connection badge: what the stream is doing, in one word, and a countdown where there is one. */

import { byId, setData, setText } from "./dom.js";

const TRANSPORTS = { websocket: "WebSocket", sse: "SSE", poll: "long poll" };
/** How long a resync is told of. */
const RESYNCED_MS = 8_000;

const RESYNC_REASONS = {
  cursor_expired: "the missed events are no longer in the log",
  epoch_changed: "the database was replaced",
  cursor_ahead: "the database is older than this page",
  loss: "events were missing",
  unknown: "the reason is unknown",
};

const badge = byId("badge");
const text = byId("badge-text");
const transport = byId("badge-transport");
const spoken = byId("badge-spoken");
const reconnect = byId("reconnect");

export class Badge {
  #state = { name: "connecting", transport: null };
  #retryAt = 0;
  #resyncedUntil = 0;
  #resyncReason = "";
  #timer = 0;
  #name = "";
  #wasConnected = false;

  /** @param {{onReconnect: () => void, onChange: (name: string, words: string) => void}} callbacks */
  constructor({ onReconnect, onChange }) {
    this.onChange = onChange;
    reconnect.addEventListener("click", onReconnect);
    for (const change of ["online", "offline"]) addEventListener(change, () => this.#draw());
  }

  /** Whether events come as they happen. */
  get live() {
    return this.#state.name === "live";
  }

  get state() {
    return this.#state;
  }

  set(state) {
    this.#state = state;
    this.#wasConnected ||= state.name === "live" || state.name === "replaying";
    if (state.name === "reconnecting") this.#retryAt = performance.now() + (state.retryInMs ?? 0);
    this.#draw();
  }

  resynced(reason) {
    this.#resyncedUntil = performance.now() + RESYNCED_MS;
    this.#resyncReason = RESYNC_REASONS[reason] ?? reason;
    this.#draw();
  }

  #draw() {
    clearTimeout(this.#timer);
    const { name, words, spoken: said } = this.#words();
    setData(badge, "state", name);
    setText(text, words);
    const by = TRANSPORTS[this.#state.transport] ?? "";
    setText(transport, name === "live" || name === "resynced" || name === "catching-up" ? by : "");
    badge.title = this.#detail(by);
    reconnect.hidden = !["reconnecting", "offline", "closed"].includes(name);
    // Told once a change, not once a second of the countdown.
    if (name !== this.#name) {
      this.#name = name;
      setText(spoken, said ?? words);
    }
    this.onChange(name, words);
    if (name === "reconnecting") this.#timer = setTimeout(() => this.#draw(), 250);
    if (name === "resynced") this.#timer = setTimeout(() => this.#draw(), Math.max(50, this.#resyncedUntil - performance.now()));
  }

  #words() {
    const { name } = this.#state;
    if (name === "closed" && this.#state.reason === "forbidden") {
      return { name, words: "Closed by an admin", spoken: "An admin has closed this page’s session; the page does not reconnect automatically" };
    }
    if (name === "closed") return { name, words: "Closed", spoken: "Closed: the page does not reconnect automatically" };
    if (name === "live" && performance.now() < this.#resyncedUntil) {
      return { name: "resynced", words: "Resynced", spoken: `Resynced, because ${this.#resyncReason}` };
    }
    if (name === "live") return { name, words: "Live" };
    if (navigator.onLine === false) return { name: "offline", words: "Offline", spoken: "This computer is offline" };
    if (name === "replaying") return { name: "catching-up", words: "Catching up" };
    if (name === "reconnecting") {
      const seconds = Math.ceil((this.#retryAt - performance.now()) / 1_000);
      const words = seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting";
      return { name, words, spoken: "Connection lost, reconnecting" };
    }
    // Once a connection was lost, trying again is part of reconnecting.
    return this.#wasConnected ? { name: "reconnecting", words: "Reconnecting" } : { name: "connecting", words: "Connecting" };
  }

  #detail(by) {
    const { cursor, error, reason } = this.#state;
    const why = error?.message ?? reason;
    const resync = performance.now() < this.#resyncedUntil ? `resynced because ${this.#resyncReason}` : null;
    return [by, cursor && `cursor ${cursor}`, why, resync].filter(Boolean).join(" · ");
  }
}
