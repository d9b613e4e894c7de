/** The cards. */

import { byId, setData, setText } from "./dom.js";
import { number } from "./format.js";

/** Characters from which a figure is written smaller: 1,000,000 and more. */
const LONG = 9;
/** A figure that moves is marked for this long, and marked again only then. */
const MOVED_MS = 900;

const CARDS = [
  ["card-total-users", (f) => f.totalUsers],
  ["card-new-users", (f) => f.newUsers],
  ["card-growth", (f) => f.growth],
  ["card-active-users", (f) => f.activeUsers],
  ["card-inactive-users", (f) => f.inactiveUsers],
  ["card-contacts", (f) => f.totalContacts],
  ["card-messages", (f) => f.totalMessages],
];

const drawn = CARDS.map(([id, valueOf]) => ({ element: byId(id), valueOf, value: null, markedAt: 0 }));
const share = byId("active-share");
const notes = { contacts: byId("note-contacts"), messages: byId("note-messages") };

/** @param {import("./model.js").Figures} figures */
export function drawFigures(figures) {
  const now = performance.now();
  for (const card of drawn) {
    const value = card.valueOf(figures);
    if (value === card.value) continue;
    setText(card.element, card.element.id === "card-growth" ? `${value.toFixed(2)} %` : number(value));
    setData(card.element, "value", value);
    setData(card.element, "long", card.element.textContent.length >= LONG);
    if (card.value !== null && now - card.markedAt > MOVED_MS) mark(card, now);
    card.value = value;
  }
  share.setAttribute("width", `${(100 * figures.activeUsers) / Math.max(1, figures.totalUsers)}%`);
  const today = figures.daily.at(-1);
  setText(notes.contacts, `${number(today?.contacts ?? 0)} added today`);
  setText(notes.messages, `${number(today?.messages ?? 0)} sent today`);
  delete byId("figures").dataset.loading;
}

function mark(card, now) {
  card.markedAt = now;
  card.element.classList.remove("moved");
  requestAnimationFrame(() => card.element.classList.add("moved"));
}
