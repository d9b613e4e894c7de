/** A list that is read page by page: what was asked for last wins, and what it replaced is aborted. */

import { get, inWords } from "./api.js";

export class Pages {
  #asking = null;
  /** Address of the page after those read, or null. */
  next = null;

  /**
   * @param {object} callbacks
   * @param {(page: {value: any[], seq: number}, isFirst: boolean) => void} callbacks.onPage
   * @param {(words: string | null) => void} callbacks.onFailure null: all is well again
   * @param {(loading: boolean) => void} callbacks.onLoading
   */
  constructor(callbacks) {
    this.callbacks = callbacks;
  }

  /** @param {string} path @param {boolean} isFirst whether it replaces what is there */
  async load(path, isFirst = true) {
    this.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const { onPage, onFailure, onLoading } = this.callbacks;
    onLoading(true);
    try {
      const page = await get(path, { signal: asking.signal });
      if (asking.signal.aborted) return;
      this.next = page.next;
      onFailure(null);
      onPage(page, isFirst);
    } catch (error) {
      if (asking.signal.aborted) return;
      onFailure(inWords(error));
    }
    if (this.#asking === asking) this.#asking = null;
    onLoading(false);
  }

  more() {
    if (this.next && !this.#asking) this.load(this.next, false);
  }

  get loading() {
    return this.#asking !== null;
  }

  abort() {
    this.#asking?.abort();
    this.#asking = null;
  }
}
