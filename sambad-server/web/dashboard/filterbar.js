/** The feed's filter as controls; the address is where it is kept, so that a link keeps it. */

import { get } from "./api.js";
import { byId } from "./dom.js";
import { EVERYTHING, fromQuery, isEverything, looksLikePhone, normalCountry, predicate, toHash } from "./filter.js";
import { countryCode } from "./phone.js";

const TYPING_MS = 150;
/** Users whose name fits, asked from the server: as many as a page holds. */
const NAMED_MAX = 500;

const chips = [...document.querySelectorAll(".chip[data-type]")];
const userInput = byId("filter-user");
const countryInput = byId("filter-country");
const clear = byId("filter-clear");
const openUser = byId("filter-open-user");

export class FilterBar {
  filter = EVERYTHING;
  #typing = 0;
  #asking = null;
  /** Country codes offered for choice. */
  #offered = new Set();

  /** @param {{onChange: (passes: (entry: object) => boolean) => void}} callbacks */
  constructor({ onChange }) {
    this.onChange = onChange;
    for (const chip of chips) chip.addEventListener("click", () => this.#toggle(chip.dataset.type));
    userInput.addEventListener("input", () => this.#typed());
    countryInput.addEventListener("input", () => this.#typed());
    clear.addEventListener("click", () => this.clear());
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  clear() {
    if (clear === document.activeElement) userInput.focus();
    this.#go(EVERYTHING);
  }

  #toggle(type) {
    const { types } = this.filter;
    this.#go({ ...this.filter, types: types.includes(type) ? types.filter((other) => other !== type) : [...types, type] });
  }

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      this.#go({ ...this.filter, user: userInput.value.trim(), country: normalCountry(countryInput.value) });
    }, TYPING_MS);
  }

  /** What is typed or clicked does not fill the browser's list of pages to go back to. */
  #go(filter) {
    clearTimeout(this.#typing);
    history.replaceState(null, "", toHash(filter));
    this.#show(filter);
  }

  /** The address has changed. @param {string} query */
  read(query) {
    this.#show(fromQuery(query));
  }

  #show(filter) {
    this.filter = filter;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(filter.types.includes(chip.dataset.type)));
    if (userInput.value.trim() !== filter.user) userInput.value = filter.user;
    if (normalCountry(countryInput.value) !== filter.country) countryInput.value = filter.country;
    clear.hidden = isEverything(filter);
    openUser.hidden = !/^\+\d{8,15}$/.test(filter.user);
    if (!openUser.hidden) openUser.href = `#/users/${encodeURIComponent(filter.user)}`;
    this.#apply();
  }

  async #apply() {
    this.#asking?.abort();
    const { filter } = this;
    if (filter.user === "" || looksLikePhone(filter.user)) return this.onChange(predicate(filter));
    // Events name users by phone only: whose name it is, the server is asked.
    const asking = new AbortController();
    this.#asking = asking;
    let named = new Set();
    try {
      const found = await get(`api/admin/users?limit=${NAMED_MAX}&q=${encodeURIComponent(filter.user)}`, { signal: asking.signal });
      named = new Set(found.value.map(({ id }) => id));
    } catch {
      // Nobody is known by that name then; the empty feed says so.
    }
    if (!asking.signal.aborted) this.onChange(predicate(filter, named));
  }

  /** Offers the country code of a phone that was seen. @param {string | null} phone */
  offer(phone) {
    if (!phone) return;
    const code = countryCode(phone);
    if (this.#offered.has(code)) return;
    this.#offered.add(code);
    const option = document.createElement("option");
    option.value = code;
    byId("countries").append(option);
  }
}
