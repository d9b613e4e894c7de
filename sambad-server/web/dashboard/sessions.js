/** The sessions panel: asked for every two seconds, and only while it can be seen. */

import { get, inWords, send, unauthorized } from "./api.js";
import { byId, copyOf, setData, setText } from "./dom.js";
import { number, plural, span } from "./format.js";

const EVERY_MS = 2_000;
const ROWS = 50;
/** A session began when this page connected, give or take what clocks and the handshake leave open. */
const OWN_WITHIN_MS = 1_500;
const TRANSPORTS = { websocket: "WebSocket", sse: "SSE", poll: "Long poll" };
const TYPE_NAMES = { user_created: "joined", contact_added: "added", contact_removed: "removed", message_sent: "messages" };

export class Sessions {
  #panel = byId("sessions-panel");
  #body = byId("sessions-body");
  #inView = false;
  #timer = 0;
  #asking = false;
  #dialog = byId("close-session");
  /** The session that the dialog is about. */
  #doomed = null;

  /** @param {{now: () => number, own: () => {since: number, transport: string} | null}} options */
  constructor({ now, own }) {
    this.now = now;
    this.own = own;
    new IntersectionObserver(([entry]) => {
      this.#inView = entry.isIntersecting;
      this.#poll();
    }).observe(this.#panel);
    document.addEventListener("visibilitychange", () => this.#poll());
    byId("sessions-retry").addEventListener("click", () => this.#poll());
    this.#body.addEventListener("click", ({ target }) => {
      const row = target.closest(".session-close")?.closest("tr");
      if (row) this.#confirm(row);
    });
    byId("close-session-no").addEventListener("click", () => this.#dialog.close());
    byId("close-session-yes").addEventListener("click", () => this.#close());
    // The button that had the focus may belong to another session by now.
    this.#dialog.addEventListener("close", () => this.#body.closest(".scroll").focus({ preventScroll: true }));
  }

  async #poll() {
    clearTimeout(this.#timer);
    if (document.hidden || !this.#inView || this.#asking) return;
    this.#asking = true;
    try {
      const { value } = await get(`api/admin/sessions?limit=${ROWS}`);
      this.#fail(null);
      this.#draw(value);
    } catch (error) {
      this.#fail(inWords(error));
    }
    this.#asking = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), EVERY_MS);
  }

  #confirm({ dataset, children: [who] }) {
    this.#doomed = dataset.session;
    const [transport, , , remote] = who.children;
    const own = dataset.own === "true" ? " It is the session of this page: the page stays disconnected until you reconnect." : "";
    const words = `${transport.textContent} from ${remote.textContent}. Its client must not reconnect.${own}`;
    setText(byId("close-session-text"), words);
    this.#failToClose("");
    this.#dialog.showModal();
  }

  async #close() {
    try {
      await send("DELETE", `api/admin/sessions/${this.#doomed}`);
    } catch (error) {
      if (error.status === 401) return unauthorized();
      // Not there: it has ended by itself.
      if (error.status !== 404) return this.#failToClose(inWords(error));
    }
    this.#dialog.close();
    this.#poll();
  }

  #failToClose(words) {
    byId("close-session-failure").hidden = words === "";
    setText(byId("close-session-failure"), words);
  }

  #fail(words) {
    byId("sessions-failure").hidden = words === null;
    setText(byId("sessions-failure-text"), words ?? "");
    if (words !== null) this.#panel.removeAttribute("data-loading");
  }

  #draw({ total, sessions }) {
    this.#panel.removeAttribute("data-loading");
    const body = this.#body;
    while (body.rows.length > sessions.length) body.lastElementChild.remove();
    while (body.rows.length < sessions.length) body.append(copyOf("session-template"));
    const mine = this.#find(sessions);
    sessions.forEach((session, i) => this.#fill(body.rows[i], session, session.session === mine));
    byId("sessions-empty").hidden = sessions.length > 0;
    const more = total > sessions.length ? `, showing the ${number(sessions.length)} with the most lag` : "";
    setText(byId("sessions-count"), `${plural(total, "session")}${more}`);
  }

  /** Nothing on the wire names this page's session: it is marked only if just one can be it. */
  #find(sessions) {
    const own = this.own();
    if (!own) return null;
    const fits = sessions.filter(
      ({ since, transport, user }) =>
        transport === own.transport && user === null && Math.abs(Date.parse(since) - own.since) < OWN_WITHIN_MS,
    );
    return fits.length === 1 ? fits[0].session : null;
  }

  #fill(row, session, mine) {
    const [who, since, filter, lag, close] = row.children;
    setData(row, "session", session.session);
    setData(row, "own", mine);
    const [transport, mark, replaying, remote] = who.children;
    setText(transport, TRANSPORTS[session.transport] ?? session.transport);
    setText(remote, session.remote ?? "");
    setLabel(close.firstElementChild, `Close the session from ${session.remote}`);
    mark.hidden = !mine;
    replaying.hidden = !session.replaying;
    setText(since, span(this.now() - Date.parse(session.since)));
    since.title = session.since;
    setText(filter, filterOf(session));
    filter.title = session.user ?? "";
    setText(lag, number(session.lag));
    setData(lag, "behind", session.lag > 0);
  }
}

function setLabel(element, label) {
  if (element.ariaLabel !== label) element.ariaLabel = label;
}

function filterOf({ types, user }) {
  const all = !types || types.length >= Object.keys(TYPE_NAMES).length;
  const words = all ? "all events" : types.map((type) => TYPE_NAMES[type] ?? type).join(", ");
  return user ? `${words} of one user` : words;
}
