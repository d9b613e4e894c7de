/** A list of lines that pages fill from below and events from above. */

import { copyOf } from "./dom.js";

/** Lines that events may add to; beyond, the oldest give way. */
const LINES_MAX = 500;

export class Lines {
  /** By id. @type {Map<string, HTMLElement>} */
  #lines = new Map();
  /** Whether old lines gave way, so that the count is no longer that of what was read. */
  cutOff = false;
  /** What events did since the last drawing, in their order. @type {(() => void)[]} */
  #waiting = [];

  /** @param {HTMLElement} list @param {string} template @param {(line: HTMLElement, item: object) => void} fill */
  constructor(list, template, fill) {
    Object.assign(this, { list, template, fill });
  }

  get size() {
    return this.#lines.size;
  }

  clear() {
    this.#waiting = [];
    this.#lines.clear();
    this.cutOff = false;
    this.list.replaceChildren();
  }

  append(items) {
    for (const item of items) if (!this.#lines.has(item.id)) this.list.append(this.#make(item));
  }

  prepend(item) {
    this.#wait(() => {
      if (this.#lines.has(item.id)) return;
      this.list.prepend(this.#make(item));
      if (this.#lines.size <= LINES_MAX) return;
      this.cutOff = true;
      this.#lines.delete(this.list.lastElementChild.dataset.id);
      this.list.lastElementChild.remove();
    });
  }

  remove(id) {
    this.#wait(() => {
      this.#lines.get(id)?.remove();
      this.#lines.delete(id);
    });
  }

  /** Lays out what came, once a frame. */
  draw() {
    for (const change of this.#waiting.splice(0)) change();
  }

  /** A hidden page draws nothing: what waits is bounded all the same. */
  #wait(change) {
    this.#waiting.push(change);
    if (this.#waiting.length > 2 * LINES_MAX) this.draw();
  }

  #make(item) {
    const line = copyOf(this.template);
    line.dataset.id = item.id;
    this.fill(line, item);
    this.#lines.set(item.id, line);
    return line;
  }
}
