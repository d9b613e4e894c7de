/**
 * The activity feed: newest first, a bounded number of rows whose elements are used again.
 *
 * Rows are numbered as they come. A row is placed once, by its number, and each new one moves the track that holds them all:
 * however many events come, the rows that are there are not laid out again. A frame fills the rows that can be seen; those
 * below follow a few a frame, once fewer events come.
 *
 * It stands still while it is being read: when paused, when scrolled away from the top, and while a row has the focus. What
 * comes meanwhile is counted, and shown when reading ends.
 */

import { copyOf, setData, setText } from "./dom.js";
import { number, plural } from "./format.js";
import { KEPT_MAX, Recent } from "./recent.js";
import { fill, place } from "./row.js";

/** Rows at first; "Show older" adds as many again. */
const ROWS = 300;
/** Rows that are lit up as new at once, and how long after the last ones: more would only flicker. */
const FRESH_MAX = 4;
const FRESH_APART_MS = 150;
/** Rows that a frame adds below; filling one costs about half a millisecond with its layout and paint. */
const GROW_ROWS = 15;
/** More new events in one frame than this, and it is no time to fill rows that nobody sees. */
const BUSY_ROWS = 12;
/** Closer to the top than this counts as at the top. */
const TOP_PX = 4;
/** Rows are numbered anew from here: far below where pixels of a float stop being exact. */
const NUMBER_MAX = 20_000;

export class Feed {
  #recent = new Recent();
  /** @type {(entry: object) => boolean} */
  #passes = () => true;
  /** Passing events that came since the last drawing, oldest first. */
  #waiting = [];
  /** What is read, as it was when reading began. @type {Recent | null} */
  #held = null;
  /** Seq of the newest event when reading began, or null. */
  #heldAt = null;
  /** Whether the events were read anew while held. */
  #renewed = false;
  #epoch = "";
  /** Events that came and passed while held. */
  #came = 0;
  #paused = false;
  /** Whether the last drawing had more events than a frame should have. */
  busy = false;
  #limit = ROWS;
  #newest = 0;
  /** Rows that can be seen without scrolling, and some. */
  #visible = 40;
  /** When new rows were last drawn. */
  #drawnAt = -Infinity;
  /** Number of the topmost row. */
  #top = 0;
  /** Whether every row that can be there is. */
  #complete = false;
  /** Built anew at the next drawing. */
  #stale = true;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.list what scrolls; its first child holds the rows
   * @param {HTMLButtonElement} parts.pill says how many are waiting, and shows them
   * @param {HTMLElement} parts.foot
   * @param {HTMLButtonElement} parts.older
   * @param {HTMLElement} parts.empty shown instead of rows
   * @param {(empty: HTMLElement, kept: number) => void} parts.onEmpty puts words into `empty`
   * @param {() => void} parts.onChange something is to be drawn
   */
  constructor(parts) {
    this.parts = parts;
    const { list, pill, older } = parts;
    this.track = list.firstElementChild;
    new ResizeObserver(([{ contentRect }]) => {
      const height = this.track.firstElementChild?.offsetHeight;
      if (height) this.#visible = Math.ceil(contentRect.height / height) + 4;
    }).observe(list);
    list.addEventListener("scroll", () => this.#readingMayHaveChanged(), { passive: true });
    list.addEventListener("focusin", () => this.#readingMayHaveChanged());
    list.addEventListener("focusout", () => this.#readingMayHaveChanged());
    list.addEventListener("keydown", (event) => this.#walk(event));
    pill.addEventListener("click", () => this.showNew());
    older.addEventListener("click", () => {
      this.#limit += ROWS;
      this.#complete = false;
      parts.onChange();
    });
  }

  get paused() {
    return this.#paused;
  }

  /** Events waiting to be read. */
  get waiting() {
    return this.#came;
  }

  /** Shows other events from now on. @param {Recent} recent */
  reset(recent) {
    this.#recent = recent;
    this.#newest = recent.newest(() => true, 1)[0]?.seq ?? 0;
    this.#limit = ROWS;
    if (this.#heldAt !== null) this.#hold();
    this.#came = 0;
    this.#stale = true;
  }

  /**
   * The same kind of events, read anew; what is being read stays until reading ends.
   * @param {Recent} recent @param {string} epoch of the log they are from: seqs of another one say nothing
   */
  renew(recent, epoch) {
    const goesOn = epoch === this.#epoch;
    this.#epoch = epoch;
    if (!this.#held?.length) return this.reset(recent);
    this.#recent = recent;
    this.#newest = recent.newest(() => true, 1)[0]?.seq ?? 0;
    if (!goesOn) this.#heldAt = 0;
    this.#came = recent.newest(this.#passes, Infinity, { after: this.#heldAt }).length;
    this.#renewed = true;
  }

  #hold() {
    this.#heldAt = this.#newest;
    this.#held = this.#recent.copy();
  }

  /** @param {(entry: object) => boolean} passes */
  setFilter(passes) {
    this.#passes = passes;
    this.#limit = ROWS;
    this.#stale = true;
    if (this.#heldAt !== null) this.#came = this.#recent.newest(passes, Infinity, { after: this.#heldAt }).length;
    const { list, onChange } = this.parts;
    if (document.activeElement !== list && list.contains(document.activeElement)) list.focus({ preventScroll: true });
    list.scrollTop = 0;
    onChange();
  }

  /** A new event, which `recent` holds already. */
  push(entry) {
    this.#newest = entry.seq;
    if (!this.#passes(entry)) return;
    if (this.#heldAt !== null) this.#came += 1;
    else if (!this.#stale) {
      this.#waiting.push(entry);
      // A hidden page draws nothing: what does not fit the window any more need not wait.
      if (this.#waiting.length > 2 * ROWS) this.#waiting.splice(0, ROWS);
    }
  }

  setPaused(paused) {
    this.#paused = paused;
    this.#readingMayHaveChanged();
    this.parts.onChange();
  }

  /** Goes to the top and shows everything; ends a pause. */
  showNew() {
    const { list } = this.parts;
    this.#paused = false;
    if (list.contains(document.activeElement)) list.focus();
    list.scrollTop = 0;
    this.#readingMayHaveChanged();
    this.parts.onChange();
  }

  #readingMayHaveChanged() {
    const { list } = this.parts;
    const focused = document.activeElement;
    const inRow = focused !== list && list.contains(focused) && focused.matches(":focus-visible");
    const held = this.#paused || list.scrollTop > TOP_PX || inRow;
    if (held === (this.#heldAt !== null)) return;
    if (held) {
      // What was about to be drawn belongs to what is read.
      this.#drawWaiting();
      this.#hold();
    } else {
      this.#heldAt = null;
      this.#held = null;
      this.#stale ||= this.#renewed || this.#came > 0 || this.#limit !== ROWS;
      this.#renewed = false;
      this.#limit = ROWS;
    }
    this.#came = 0;
    this.parts.onChange();
  }

  draw() {
    const busy = this.#waiting.length > BUSY_ROWS;
    this.busy = busy;
    if (this.#stale) this.#rebuild();
    else {
      if (this.#heldAt === null) this.#drawWaiting();
      if (!busy && !this.#complete) this.#grow();
    }
    this.#drawAround();
    if (!this.#complete) this.parts.onChange();
  }

  #rebuild() {
    const { track } = this;
    this.#stale = false;
    this.#waiting = [];
    const entries = this.#source.newest(this.#passes, Math.min(this.#visible, this.#limit));
    this.#trim(entries.length);
    this.#top = entries.length;
    entries.forEach((entry, i) => {
      const row = track.children[i] ?? track.appendChild(copyOf("row-template"));
      fill(row, entry, false);
      place(row, this.#top - i);
    });
    place(track, -this.#top);
    this.#complete = entries.length < Math.min(this.#visible, this.#limit);
  }

  #drawWaiting() {
    const { track } = this;
    if (this.#stale || this.#waiting.length === 0) return;
    if (this.#top > NUMBER_MAX) return this.#rebuild();
    const busy = this.#waiting.length > BUSY_ROWS;
    const limit = busy ? Math.min(this.#visible, this.#limit) : this.#limit;
    const entries = this.#waiting.slice(-limit);
    this.#waiting = [];
    const now = performance.now();
    const fresh = entries.length <= FRESH_MAX && now - this.#drawnAt > FRESH_APART_MS;
    this.#drawnAt = now;
    let { length } = track.children;
    for (const entry of entries) {
      const again = length >= limit;
      const row = again ? track.lastElementChild : copyOf("row-template");
      if (!again) length += 1;
      this.#top += 1;
      fill(row, entry, fresh);
      place(row, this.#top);
      track.prepend(row);
    }
    this.#trim(limit);
    if (busy) this.#complete = false;
    place(track, -this.#top);
  }

  /** Adds some older rows below. */
  #grow() {
    const { track } = this;
    const { length } = track.children;
    const missing = Math.min(GROW_ROWS, this.#limit - length);
    if (missing <= 0 || length === 0) {
      this.#complete = true;
      return;
    }
    const entries = this.#source.newest(this.#passes, missing, { before: Number(track.lastElementChild.dataset.seq) });
    entries.forEach((entry, i) => {
      const row = copyOf("row-template");
      fill(row, entry, false);
      place(row, this.#top - length - i);
      track.append(row);
    });
    this.#complete = entries.length < missing || length + entries.length >= this.#limit;
  }

  #trim(rows) {
    while (this.track.children.length > rows) this.track.lastElementChild.remove();
  }

  get #source() {
    return this.#held ?? this.#recent;
  }

  #drawAround() {
    const { list, pill, foot, older, empty, onEmpty } = this.parts;
    const rows = this.track.children.length;
    setText(pill.firstElementChild, this.#pillText());
    pill.hidden = this.#came === 0;
    setData(list, "rows", rows);
    empty.hidden = rows > 0;
    if (rows === 0) onEmpty(empty, this.#recent.length);
    const kept = Math.min(this.#recent.length, KEPT_MAX);
    setText(foot, rows === 0 ? "" : `${number(rows)} of the last ${plural(kept, "event")}`);
    older.hidden = rows < this.#limit || rows >= this.#source.length;
    if (this.#heldAt === null && rows > 0) document.documentElement.dataset.lastSeq = this.track.firstElementChild.dataset.seq;
  }

  #pillText() {
    const oldest = this.#recent.oldest ?? 0;
    if (this.#heldAt === null || oldest <= this.#heldAt + 1) return `${number(this.#came)} new`;
    const kept = this.#recent.newest(this.#passes, Infinity, { after: this.#heldAt }).length;
    // Another filter counts what is kept, and cannot know of the rest.
    return kept === this.#came ? `${number(kept)}+ new` : `${number(this.#came)} new, the last ${number(kept)} kept`;
  }

  /** Arrow keys go from row to row and from name to name, so that Tab leads past the feed in one step. */
  #walk(event) {
    const { list } = this.parts;
    const row = document.activeElement.closest("li");
    const links = (of) => [...(of?.querySelectorAll("a:not([hidden])") ?? [])];
    const to = {
      ArrowDown: () => (row ? row.nextElementSibling : this.track.firstElementChild),
      ArrowUp: () => row?.previousElementSibling,
      Home: () => this.track.firstElementChild,
      End: () => this.track.lastElementChild,
    }[event.key];
    let target;
    if (to) target = links(to())[0];
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const among = links(row);
      target = among[among.indexOf(document.activeElement) + (event.key === "ArrowRight" ? 1 : -1)];
    } else if (event.key === "Escape" && row) target = list;
    if (!target) return;
    event.preventDefault();
    event.stopPropagation();
    target.focus();
  }
}
