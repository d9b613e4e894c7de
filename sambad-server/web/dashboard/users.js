/** The users list with its search. */

import { get } from "./api.js";
import { byId, copyOf, setPhone, setText, setTime } from "./dom.js";
import { ago, number, plural } from "./format.js";
import { looksLikePhone } from "./filter.js";
import { parties } from "./phone.js";
import { Pages } from "./pages.js";

const PAGE = 50;
/** As many users as the server hands out at once. */
const LIMIT_MAX = 500;
/** Users that new ones may push the list to; beyond, the oldest shown give way, unless more were asked for. */
const ROWS_MAX = 50;
/** Between two drawings: the rows are written over, and many may join in a second. */
const DRAW_MS = 700;
/** The rows stand still under a pointer that moved within this time. */
const HOLD_MS = 3_000;
const TYPING_MS = 150;
/** Events carry no name: at most this often, the newest page is read again for the names of new users. */
const NAMES_MS = 1_500;
/** More events than come while an answer is under way. */
const CAME_MAX = 1_000;
/** The server moves `last_active_at` of a user at most this often. */
const ACTIVE_STEP_MS = 60_000;

export class Users {
  #body = byId("users-body");
  #search = byId("users-search");
  /** In the order of the rows. @type {object[]} */
  #users = [];
  /** The same. @type {Map<string, object>} */
  #byId = new Map();
  #drawnAt = -Infinity;
  #stale = false;
  #total = 0;
  /** Whether the reader asked for what is loading, and whether it is to be drawn at once. */
  #asked = true;
  #forced = false;
  /** The newest events, for answers that were read before them. */
  #came = [];
  #seq = 0;
  #typing = 0;
  #naming = 0;
  #cutOff = false;
  #later = 0;
  #pointedAt = -Infinity;

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
      onLoading: (loading) => {
        byId("users-panel").setAttribute("aria-busy", String(loading));
      },
    });
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.load(), TYPING_MS);
    });
    byId("users-more").addEventListener("click", () => {
      this.#asked = true;
      // Where old rows gave way, the page after them is not the one that follows.
      if (this.#cutOff) this.pages.load(`api/admin/users?limit=${Math.min(LIMIT_MAX, this.#users.length + PAGE)}`);
      else this.pages.more();
    });
    byId("users-retry").addEventListener("click", () => this.load());
    // What somebody is about to click on must not change under the pointer.
    this.#body.addEventListener("pointermove", () => {
      this.#pointedAt = performance.now();
    });
    this.#body.addEventListener("pointerleave", () => onChange());
    this.#body.addEventListener("focusout", () => onChange());
    setInterval(() => {
      this.#stale = true;
      onChange();
    }, 15_000);
  }

  get #q() {
    return this.#search.value.trim();
  }

  /** Something else is shown from now on: what came before may be of another log. */
  reset() {
    this.#came = [];
    this.#seq = 0;
    this.load();
  }

  /** @param {boolean} asked whether the reader did, who then wants to see it at once */
  load(asked = true) {
    clearTimeout(this.#naming);
    this.#naming = 0;
    this.#asked = asked;
    const q = this.#q;
    this.pages.load(`api/admin/users?limit=${PAGE}${q === "" ? "" : `&q=${encodeURIComponent(q)}`}`);
  }

  /** An event that was added to what is shown. */
  push(event) {
    this.#came.push(event);
    if (this.#came.length > 2 * CAME_MAX) this.#came.splice(0, CAME_MAX);
    this.#apply(event);
  }

  #apply({ type, data, timestamp, seq }) {
    if (seq <= this.#seq) return;
    const { whoId } = parties({ type, data });
    if (type === "user_created") this.#join(data);
    else if (type !== "contact_removed") this.#touch(whoId, timestamp);
  }

  #join(data) {
    const q = this.#q;
    const { id, username, created_at } = data;
    if (q === "" && !this.#byId.has(id)) {
      const user = { id, phone: username, name: null, created_at, last_active_at: created_at };
      this.#users.unshift(user);
      this.#byId.set(id, user);
      this.#cut();
    }
    // The name, and whether a search finds the user, only the server knows.
    const fits = q === "" || !looksLikePhone(q) || username.startsWith(`+${q.replace(/\D/g, "")}`);
    if (fits && !this.#naming) this.#naming = setTimeout(() => this.#readAgain(), NAMES_MS);
  }

  #readAgain() {
    this.#naming = 0;
    if (document.hidden || this.pages.loading) this.#naming = setTimeout(() => this.#readAgain(), NAMES_MS);
    else if (this.#q === "" && this.#users.length > PAGE) this.#readNames();
    else this.load(false);
  }

  /** The list is longer than a page: its rows stay, and only the newest get their names. */
  async #readNames() {
    const page = await get(`api/admin/users?limit=${PAGE}`).catch(() => null);
    for (const { id, name } of page?.value ?? []) {
      const user = this.#byId.get(id);
      if (user) user.name = name;
    }
    this.#stale = true;
    this.onChange();
  }

  #touch(id, timestamp) {
    const user = this.#byId.get(id);
    if (!user || Date.parse(timestamp) - Date.parse(user.last_active_at) < ACTIVE_STEP_MS) return;
    user.last_active_at = timestamp;
    this.#stale = true;
  }

  #take({ value, seq }, isFirst) {
    if (isFirst) {
      this.#seq = seq;
      this.#cutOff = false;
      this.#users = [];
      this.#byId.clear();
    }
    for (const user of value) {
      const known = this.#byId.get(user.id);
      if (known) Object.assign(known, user);
      else {
        this.#users.push(user);
        this.#byId.set(user.id, user);
      }
    }
    // What came while the answer was under way is not in it.
    if (isFirst) for (const event of this.#came) this.#apply(event);
    byId("users-panel").removeAttribute("data-loading");
    this.#drawnAt = -Infinity;
    this.#stale = true;
    this.#forced ||= this.#asked;
    // Only what was searched for is told aloud, not each user that joins.
    setText(byId("users-found"), this.#q === "" ? "" : this.#countInWords(0) || "no users found");
    this.onChange();
  }

  #cut() {
    this.#stale = true;
    if (this.#users.length <= Math.max(ROWS_MAX, this.#body.rows.length)) return;
    this.#byId.delete(this.#users.pop().id);
    this.#cutOff = true;
  }

  #fill(row, user) {
    const [who, joined, active] = row.children;
    const link = who.firstElementChild;
    if (row.dataset.id !== user.id) {
      row.dataset.id = user.id;
      link.href = `#/users/${user.id}`;
    }
    const [phone, name] = link.children;
    setPhone(phone, user.phone);
    setText(name, user.name ?? "");
    const now = this.now();
    for (const [cell, iso] of [[joined, user.created_at], [active, user.last_active_at]]) {
      setTime(cell.firstElementChild, iso, ago(new Date(iso), now), iso);
    }
  }

  #countInWords(total) {
    const size = this.#users.length;
    if (size === 0) return "";
    if (this.#q !== "") return this.pages.next ? `the first ${number(size)} found` : `${number(size)} found`;
    return total > size ? `the newest ${number(size)} of ${number(total)}` : plural(size, "user");
  }

  /**
   * Writes the users into the rows; the rows themselves stay where they are.
   * @param {number} total users there are
   */
  draw(total) {
    const now = performance.now();
    setText(byId("users-count"), this.#countInWords(total));
    if (!this.#stale && total === this.#total) return;
    const pointed = this.#body.matches(":hover") ? this.#pointedAt + HOLD_MS - now : 0;
    if (!this.#forced && this.#body.querySelector(":focus-visible")) return;
    const wait = this.#forced ? 0 : Math.max(pointed, this.#drawnAt + DRAW_MS - now);
    if (wait > 0) {
      this.#later ||= setTimeout(() => {
        this.#later = 0;
        this.onChange();
      }, wait);
      return;
    }
    this.#drawnAt = now;
    this.#forced = false;
    this.#stale = false;
    this.#total = total;
    const body = this.#body;
    while (body.rows.length > this.#users.length) body.lastElementChild.remove();
    while (body.rows.length < this.#users.length) body.append(copyOf("user-template"));
    this.#users.forEach((user, i) => this.#fill(body.rows[i], user));
    const q = this.#q;
    const empty = byId("users-empty");
    empty.hidden = this.#users.length > 0;
    setText(empty, q === "" ? "There are no users yet. A user appears here with the first login." : `No user has a phone number or name that begins with “${q}”.`);
    byId("users-more").hidden = this.pages.next === null && !(this.#cutOff && this.#users.length < LIMIT_MAX);
  }
}
