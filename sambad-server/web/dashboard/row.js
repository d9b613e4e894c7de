/** One row of a feed: an event in words. */

import { byId, setPhone, setText, setTime } from "./dom.js";
import { EVERYTHING, TYPES, toHash } from "./filter.js";
import { clockTime, latency } from "./format.js";
import { parties } from "./phone.js";

/** As much of a message as any row has room for. */
const EXCERPT_LENGTH = 240;
/** Shapes of the page's icons by type: written into a row, they cost less than a `use` that is pointed elsewhere. */
const ICONS = Object.fromEntries(
  TYPES.map((type) => [type, byId(`icon-${type}`).firstElementChild.getAttribute("d")]),
);
const VERBS = { user_created: "joined", contact_added: "added", contact_removed: "removed", message_sent: "to" };
const LATE = {
  live: "Time from the commit to this page",
  replay: "Arrived during catch-up, so it has no latency",
  snapshot: "Happened before this page was opened",
};

/** Places an element `number` rows above where it would stand, or below if it is negative. */
export function place(element, number) {
  element.style.transform = `translateY(calc(${-number} * var(--row-height)))`;
}

/** Puts an event into a row. @param {HTMLElement} row */
export function fill(row, entry, fresh) {
  const [seq, icon, what, time, late] = row.children;
  const [who, verb, whom, excerpt] = what.children;
  const { type, data } = entry;
  const names = parties(entry);
  row.dataset.seq = entry.seq;
  row.dataset.type = type;
  row.classList.toggle("fresh", fresh);
  setText(seq, String(entry.seq));
  const shape = ICONS[type] ?? "";
  if (icon.firstElementChild.getAttribute("d") !== shape) icon.firstElementChild.setAttribute("d", shape);
  who.hidden = names.who === null;
  if (names.who !== null) nameLink(who, names.who);
  setText(verb, VERBS[type] ?? type);
  whom.hidden = names.whom === null;
  if (names.whom !== null) nameLink(whom, names.whom);
  const text = type === "message_sent" ? String(data.content).slice(0, EXCERPT_LENGTH) : "";
  setText(excerpt, text);
  const at = new Date(entry.timestamp);
  setTime(time, entry.timestamp, clockTime(at), entry.timestamp);
  setText(late, entry.origin === "live" && entry.latency !== null ? latency(entry.latency) : "–");
  if (late.dataset.origin === entry.origin) return;
  late.dataset.origin = entry.origin;
  late.title = LATE[entry.origin];
}

function nameLink(link, phone) {
  setPhone(link, phone);
  link.href = toHash({ ...EVERYTHING, user: phone });
}
