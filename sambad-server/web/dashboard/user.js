/** The page of one user: who it is, contacts, messages, and a live feed of its own. */

import { connect } from "../sambad.js";
import { BASE, get, inWords, unauthorized } from "./api.js";
import { byId, setPhone, setText, setTime } from "./dom.js";
import { Feed } from "./feed.js";
import { ago, clockTime, full, plural } from "./format.js";
import { Lines } from "./lines.js";
import { Pages } from "./pages.js";
import { countryCode, parties } from "./phone.js";
import { Recent } from "./recent.js";

const PAGE = 50;
const TEXT_LENGTH = 400;
/** The server moves `last_active_at` of a user at most this often. */
const ACTIVE_STEP_MS = 60_000;
const STREAM_WORDS = {
  connecting: "connecting",
  replaying: "catching up",
  live: "live",
  reconnecting: "reconnecting",
  closed: "closed",
};

export class UserPage {
  #user = null;
  #stream = null;
  #opening = null;
  #recent = new Recent();
  #seqs = { user: 0, contacts: 0, messages: 0 };

  /** @param {{onChange: () => void, now: () => number, latencyOf: Function, viewOf: () => object | null}} options */
  constructor({ onChange, now, latencyOf, viewOf }) {
    Object.assign(this, { onChange, now, latencyOf, viewOf });
    this.feed = new Feed({
      list: byId("user-feed"),
      pill: byId("user-feed-pill"),
      foot: byId("user-feed-foot"),
      older: byId("user-feed-older"),
      empty: byId("user-feed-empty"),
      onEmpty: (empty) => setText(empty, "The newest events do not involve this user. New ones appear here immediately."),
      onChange,
    });
    this.contacts = new Lines(byId("user-contacts"), "contact-template", (line, contact) => this.#fillContact(line, contact));
    this.messages = new Lines(byId("user-messages"), "message-template", (line, message) => this.#fillMessage(line, message));
    this.pages = {};
    for (const name of ["contacts", "messages"]) {
      this.pages[name] = new Pages({
        onPage: ({ value }) => this[name].append(value),
        onFailure: (words) => words && this.#fail(words),
        onLoading: () => this.#drawLists(),
      });
      byId(`user-${name}-more`).addEventListener("click", () => this.pages[name].more());
    }
    byId("user-retry").addEventListener("click", () => this.#user && this.open(this.#user.asked));
    setInterval(() => !document.hidden && this.#user?.id && this.#drawUser(), 15_000);
  }

  /** Whom the page is about, as soon as it is known. */
  get phone() {
    return this.#user?.phone ?? "";
  }

  /** @param {string} asked an id, or a phone @param {boolean} resynced whether older events are not to be had any more */
  async open(asked, resynced = false) {
    this.close();
    const opening = new AbortController();
    this.#opening = opening;
    this.#user = { asked };
    this.#fail(null);
    byId("user-card").dataset.loading = "true";
    try {
      const { signal } = opening;
      const user = await get(`api/users/${encodeURIComponent(asked)}`, { signal });
      const { id } = user.value;
      const [contacts, messages] = await Promise.all([
        get(`api/contacts?userId=${id}&limit=${PAGE}`, { signal }),
        get(`api/messages?userId=${id}&limit=${PAGE}`, { signal }),
      ]);
      this.#show(user, contacts, messages, resynced);
    } catch (error) {
      if (opening.signal.aborted) return;
      this.#fail(error.status === 404 || error.status === 400 ? "There is no such user." : inWords(error));
    }
  }

  #show(user, contacts, messages, resynced) {
    this.#user = { ...user.value, asked: this.#user.asked };
    this.#seqs = { user: user.seq, contacts: contacts.seq, messages: messages.seq };
    this.contacts.append(contacts.value);
    this.messages.append(messages.value);
    this.pages.contacts.next = contacts.next;
    this.pages.messages.next = messages.next;
    const { id } = user.value;
    this.#recent = new Recent();
    // What the page knows already begins the feed. The stream goes on where that ends, or after the oldest of the three answers
    // if the page knows more; what the answers hold already is told by its seq.
    const view = this.viewOf();
    const known = view?.epoch === user.epoch ? view : null;
    const answered = Math.min(user.seq, contacts.seq, messages.seq);
    const from = known && !resynced ? Math.min(answered, known.position) : answered;
    const involves = (entry) => {
      const { whoId, whomId } = parties(entry);
      return entry.seq <= from && (whoId === id || whomId === id);
    };
    for (const entry of known?.recent.newest(involves, Infinity).reverse() ?? []) this.#recent.push(entry);
    this.feed.reset(this.#recent);
    this.#stream = connect({
      url: BASE.href,
      after: `${user.epoch}-${from}`,
      user: id,
      onEvent: (event, info) => this.#take(event, info),
      onState: ({ name, reason }) => {
        setText(byId("user-feed-state"), STREAM_WORDS[name] ?? name);
        if (reason === "unauthorized") unauthorized();
      },
      onResync: () => this.open(id, true),
    });
    delete byId("user-card").dataset.loading;
    this.#drawUser();
    this.#drawLists();
    this.onChange();
  }

  #take(event, info) {
    const { type, data, timestamp, seq } = event;
    const { id } = this.#user;
    const entry = { ...event, latency: this.latencyOf(event, info), origin: info.live ? "live" : "replay" };
    if (!this.#recent.push(entry)) return;
    this.feed.push(entry);
    const { whoId } = parties(event);
    if (seq > this.#seqs.contacts && whoId === id) {
      if (type === "contact_added") this.contacts.prepend(data);
      if (type === "contact_removed") this.contacts.remove(data.id);
    }
    if (seq > this.#seqs.messages && type === "message_sent") this.messages.prepend(data);
    const moves = type !== "contact_removed" && whoId === id && seq > this.#seqs.user;
    if (moves && Date.parse(timestamp) - Date.parse(this.#user.last_active_at) >= ACTIVE_STEP_MS) {
      this.#user.last_active_at = timestamp;
      this.#drawUser();
    }
    this.#listsStale = true;
    this.onChange();
  }

  #listsStale = false;

  draw() {
    this.feed.draw();
    if (this.#listsStale) this.#drawLists();
  }

  close() {
    this.#opening?.abort();
    this.#stream?.close();
    this.#stream = null;
    this.#user = null;
    for (const pages of Object.values(this.pages)) Object.assign(pages, { next: null }).abort();
    this.contacts.clear();
    this.messages.clear();
    this.feed.reset(new Recent());
    this.feed.draw();
    for (const id of ["user-phone", "user-active", "user-joined", "user-country", "user-email"]) setText(byId(id), "–");
    for (const id of ["user-name", "user-feed-state"]) setText(byId(id), "");
  }

  #fail(words) {
    byId("user-failure").hidden = words === null;
    setText(byId("user-failure-text"), words ?? "");
    byId("user-view").toggleAttribute("data-nobody", words !== null && !this.#user?.id);
  }

  #drawUser() {
    const { phone, name, email, created_at, last_active_at } = this.#user;
    setPhone(byId("user-phone"), phone);
    setText(byId("user-name"), name ?? "No name given");
    byId("user-name").toggleAttribute("data-none", !name);
    setText(byId("user-country"), countryCode(phone));
    setText(byId("user-email"), email);
    for (const [id, iso] of [["user-active", last_active_at], ["user-joined", created_at]]) {
      setTime(byId(id), iso, ago(new Date(iso), this.now()), full(new Date(iso)));
    }
  }

  #drawLists() {
    this.#listsStale = false;
    for (const lines of [this.contacts, this.messages]) lines.draw();
    for (const [name, one] of [["contacts", "contact"], ["messages", "message"]]) {
      const { size, cutOff } = this[name];
      const more = this.pages[name].next !== null;
      byId(`user-${name}-empty`).hidden = size > 0 || !this.#user?.id;
      byId(`user-${name}-more`).hidden = !more || cutOff;
      const words = cutOff ? `the newest ${plural(size, one)}` : `${plural(size, one)}${more ? ", more on the server" : ""}`;
      setText(byId(`user-${name}-count`), this.#user?.id ? words : "");
    }
  }

  #fillContact(line, { contact_user_id, contact_user_username, created_at, name }) {
    const [who, time] = line.children;
    who.href = `#/users/${contact_user_id}`;
    setPhone(who.children[0], contact_user_username);
    // A contact without a name is called by its phone, which stands there already; an event has no name.
    setText(who.children[1], name === contact_user_username ? "" : (name ?? ""));
    setTime(time, created_at, ago(new Date(created_at), this.now()), full(new Date(created_at)));
  }

  #fillMessage(line, { from_user_id, from_username, to_user_id, to_username, content, created_at }) {
    const [who, time, text] = line.children;
    const sent = from_user_id === this.#user.id;
    const [direction, other] = who.children;
    line.dataset.direction = sent ? "sent" : "received";
    setText(direction, sent ? "to" : "from");
    setPhone(other, sent ? to_username : from_username);
    other.href = `#/users/${sent ? to_user_id : from_user_id}`;
    const at = new Date(created_at);
    const today = this.now() - at.getTime() < 43_200_000;
    setTime(time, created_at, today ? clockTime(at) : ago(at, this.now()), full(at));
    setText(text, String(content).slice(0, TEXT_LENGTH));
  }
}
