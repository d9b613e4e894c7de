/** The users list with its search. */

import { byId, copyOf, setPhone, setText, setTime } from "./dom.js";
import { ago, full, number, plural } from "./format.js";
import { looksLikePhone } from "./filter.js";
import { parties } from "./phone.js";
import { Pages } from "./pages.js";

const PAGE = 50;
/** Rows that new users may push the list to; beyond, the oldest shown give way. */
const ROWS_MAX = 300;
const TYPING_MS = 150;
/** Events carry no name: at most this often, the newest page is read again for the names of new users. */
const NAMES_MS = 1_500;
/** The server moves `last_active_at` of a user at most this often. */
const ACTIVE_STEP_MS = 60_000;
/** Names kept for the feed's search. */
const NAMES_MAX = 5_000;

export class Users {
  #body = byId("users-body");
  #search = byId("users-search");
  /** By id, in the order of the rows. @type {Map<string, {user: object, row: HTMLTableRowElement}>} */
  #rows = new Map();
  #seq = 0;
  #typing = 0;
  #naming = 0;
  #cutOff = false;
  /** Names by id. @type {Map<string, string>} */
  names = new Map();

  /** @param {{onChange: () => void, now: () => number}} options */
  constructor({ onChange, now }) {
    this.onChange = onChange;
    this.now = now;
    this.pages = new Pages({
      onPage: (page, isFirst) => this.#take(page, isFirst),
      onFailure: (words) => {
        byId("users-failure").hidden = words === null;
        setText(byId("users-failure-text"), words ?? "");
      },
      onLoading: (loading) => byId("users-panel").toggleAttribute("aria-busy", loading),
    });
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.load(), TYPING_MS);
    });
    byId("users-more").addEventListener("click", () => this.pages.more());
    byId("users-retry").addEventListener("click", () => this.load());
    setInterval(() => !document.hidden && this.#drawTimes(), 15_000);
  }

  get #q() {
    return this.#search.value.trim();
  }

  load() {
    clearTimeout(this.#naming);
    this.#naming = 0;
    const q = this.#q;
    this.pages.load(`api/admin/users?limit=${PAGE}${q === "" ? "" : `&q=${encodeURIComponent(q)}`}`);
  }

  /** An event that was added to what is shown. */
  push({ type, data, timestamp, seq }) {
    if (seq <= this.#seq) return;
    const { whoId } = parties({ type, data });
    if (type === "user_created") this.#join(data);
    else if (type !== "contact_removed") this.#touch(whoId, timestamp);
  }

  #join(data) {
    const q = this.#q;
    if (q === "" && !this.#rows.has(data.id)) {
      const { id, username, created_at } = data;
      const user = { id, phone: username, name: null, created_at, last_active_at: created_at };
      this.#rows = new Map([[id, { user, row: this.#makeRow(user) }], ...this.#rows]);
      this.#cut();
      this.onChange();
    }
    // The name, and whether a search finds the user, only the server knows.
    const fits = q === "" || !looksLikePhone(q) || data.username.startsWith(`+${q.replace(/\D/g, "")}`);
    if (fits && !this.#naming) this.#naming = setTimeout(() => this.#readAgain(), NAMES_MS);
  }

  #readAgain() {
    this.#naming = 0;
    if (document.hidden || this.pages.loading) this.#naming = setTimeout(() => this.#readAgain(), NAMES_MS);
    else if (this.#q === "" && this.#rows.size > PAGE) this.#readNames();
    else this.load();
  }

  /** The list is longer than a page: its rows stay, and only the newest are written over. */
  #readNames() {
    const { next } = this.pages;
    const cutOff = this.#cutOff;
    this.pages.load(`api/admin/users?limit=${PAGE}`, false).then(() => {
      this.pages.next = next;
      this.#cutOff = cutOff;
      this.draw();
    });
  }

  #touch(id, timestamp) {
    const held = this.#rows.get(id);
    if (!held || Date.parse(timestamp) - Date.parse(held.user.last_active_at) < ACTIVE_STEP_MS) return;
    held.user.last_active_at = timestamp;
    this.#fill(held);
  }

  #take({ value, seq }, isFirst) {
    if (isFirst) {
      this.#seq = seq;
      this.#cutOff = false;
      const before = this.#rows;
      this.#rows = new Map();
      for (const user of value) this.#rows.set(user.id, { user, row: before.get(user.id)?.row ?? this.#makeRow(user) });
    } else {
      for (const user of value) {
        const held = this.#rows.get(user.id);
        if (held) held.user = user;
        else this.#rows.set(user.id, { user, row: this.#makeRow(user) });
      }
    }
    for (const user of value) if (user.name) this.names.set(user.id, user.name);
    while (this.names.size > NAMES_MAX) this.names.delete(this.names.keys().next().value);
    for (const held of this.#rows.values()) this.#fill(held);
    byId("users-panel").removeAttribute("data-loading");
    this.draw();
  }

  #cut() {
    if (this.#rows.size <= ROWS_MAX) return;
    const last = [...this.#rows.keys()].at(-1);
    this.#rows.get(last).row.remove();
    this.#rows.delete(last);
    this.#cutOff = true;
  }

  #makeRow(user) {
    const row = copyOf("user-template");
    row.dataset.id = user.id;
    this.#fill({ user, row });
    return row;
  }

  #fill({ user, row }) {
    const [who, joined, active] = row.children;
    const link = who.firstElementChild;
    link.href = `#/users/${user.id}`;
    const [phone, name] = link.children;
    setPhone(phone, user.phone);
    setText(name, user.name ?? "");
    const now = this.now();
    for (const [cell, iso] of [[joined, user.created_at], [active, user.last_active_at]]) {
      const at = new Date(iso);
      setTime(cell.firstElementChild, iso, ago(at, now), full(at));
    }
  }

  #drawTimes() {
    for (const held of this.#rows.values()) this.#fill(held);
  }

  /** Puts rows where they belong; those that stand right already are not touched. */
  draw() {
    let at = this.#body.firstElementChild;
    for (const { row } of this.#rows.values()) {
      if (row === at) at = at.nextElementSibling;
      else this.#body.insertBefore(row, at);
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
    }
    const q = this.#q;
    const empty = byId("users-empty");
    empty.hidden = this.#rows.size > 0;
    setText(empty, q === "" ? "No users yet. They appear here with their first login." : `No user’s phone or name begins with “${q}”.`);
    byId("users-more").hidden = this.pages.next === null || this.#cutOff;
    const count = this.#cutOff ? `The newest ${number(this.#rows.size)}; the search finds the others` : plural(this.#rows.size, "user");
    setText(byId("users-count"), this.#rows.size === 0 ? "" : this.pages.next && !this.#cutOff ? `${count}, more on the server` : count);
  }
}
