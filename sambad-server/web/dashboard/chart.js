/** Bars of 30 days: one series a chart, read out by pointer and by arrow keys, and as a table. */

import { byId, setData, setText } from "./dom.js";
import { day, number } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
/** Part of a day's width that its bar fills. */
const BAR = 0.68;
/** A focused chart is read aloud whenever its text changes: of events, at most this often. */
const SPOKEN_MS = 5_000;

export class Chart {
  #bars = [];
  #daily = [];
  #top = 0;
  /** Index that is read out, or null: then today is. */
  #read = null;
  #spokenAt = -Infinity;

  /** @param {HTMLElement} root @param {"users" | "contacts" | "messages"} series */
  constructor(root, series) {
    this.series = series;
    this.plot = root.querySelector(".plot");
    this.readout = root.querySelector(".readout");
    this.scale = root.querySelector(".scale");
    this.svg = root.querySelector("svg");
    const { plot } = this;
    plot.addEventListener("pointermove", (event) => this.#point(event));
    plot.addEventListener("pointerleave", () => this.#readOut(null));
    plot.addEventListener("blur", () => this.#readOut(null));
    plot.addEventListener("focus", () => this.#readOut(this.#daily.length - 1));
    plot.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {import("./model.js").Day[]} daily */
  draw(daily) {
    const grown = daily.length !== this.#bars.length;
    if (grown) this.#makeBars(daily.length);
    this.#daily = daily.map((counts) => ({ date: counts.date, count: counts[this.series] }));
    const top = roundedUp(Math.max(0, ...this.#daily.map(({ count }) => count)));
    this.#daily.forEach(({ count }, i) => {
      const bar = this.#bars[i];
      if (bar.count === count && top === this.#top) return;
      bar.count = count;
      // A day with anything at all shows a sliver.
      const height = count === 0 ? 0 : Math.max(2, (100 * count) / top);
      bar.element.setAttribute("y", `${100 - height}%`);
      bar.element.setAttribute("height", `${height}%`);
    });
    this.#top = top;
    setText(this.scale, number(top));
    this.#readOut(this.#read, false);
  }

  #makeBars(count) {
    const width = 100 / count;
    this.#bars = Array.from({ length: count }, (_, i) => {
      const element = document.createElementNS(SVG, "rect");
      element.setAttribute("x", `${(i + (1 - BAR) / 2) * width}%`);
      element.setAttribute("width", `${width * BAR}%`);
      element.setAttribute("rx", "1.5");
      return { element, count: -1 };
    });
    this.#bars.at(-1)?.element.classList.add("today");
    this.svg.replaceChildren(...this.#bars.map(({ element }) => element));
  }

  #point({ clientX }) {
    const { left, width } = this.plot.getBoundingClientRect();
    const at = Math.floor(((clientX - left) / width) * this.#daily.length);
    this.#readOut(Math.min(this.#daily.length - 1, Math.max(0, at)));
  }

  #key(event) {
    const last = this.#daily.length - 1;
    const at = this.#read ?? last;
    const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#readOut(Math.min(last, Math.max(0, to)));
  }

  /** @param {number | null} index @param {boolean} asked whether the reader did, and not an event */
  #readOut(index, asked = true) {
    if (this.#read !== null && this.#read !== index) this.#bars[this.#read]?.element.classList.remove("read");
    this.#read = index;
    const last = this.#daily.length - 1;
    const at = index ?? last;
    const shown = this.#daily[at];
    if (!shown) return;
    if (index !== null) this.#bars[index].element.classList.add("read");
    const [count, when] = this.readout.children;
    setText(count, number(shown.count));
    setText(when, at === last ? "today" : day(shown.date));
    setData(this.plot, "value", this.#daily[last].count);
    const { plot } = this;
    const now = performance.now();
    if (!asked && document.activeElement === plot && now - this.#spokenAt < SPOKEN_MS) return;
    this.#spokenAt = now;
    plot.setAttribute("aria-valuemax", String(last));
    plot.setAttribute("aria-valuenow", String(at));
    plot.setAttribute("aria-valuetext", `${day(shown.date)}: ${number(shown.count)}`);
  }
}

/** The next round number, so that the scale moves rarely. */
function roundedUp(value) {
  if (value <= 5) return 5;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

/** The same figures for those who read tables. Rows are made once and written to while the table is open. */
export class DailyTable {
  #body = byId("daily-body");

  /** @param {import("./model.js").Day[]} daily */
  draw(daily) {
    if (!byId("daily-table").open) return;
    const body = this.#body;
    while (body.rows.length < daily.length) {
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      row.append(head);
      for (let i = 0; i < 3; i += 1) row.insertCell();
    }
    [...daily].reverse().forEach(({ date, users, contacts, messages }, i) => {
      const texts = [date, users, contacts, messages];
      [...body.rows[i].cells].forEach((cell, at) => setText(cell, at === 0 ? day(date) : number(texts[at])));
    });
  }
}
