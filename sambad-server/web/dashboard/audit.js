/** The audit log: who came in, and what was done about that; the newest first, page by page. */

import { byId, copyOf, setText, setTime } from "./dom.js";
import { ago, full, plural } from "./format.js";
import { Pages } from "./pages.js";

const PAGE = 50;
/** What a newer server tells of keeps its own name. */
const WORDS = {
  admin_added: "created an account or a new password for",
  admin_removed: "deleted the account of",
  admin_logged_in: "logged in",
  admin_logged_out: "logged out",
  login_failed: "failed to log in as",
  user_logged_in: "logged in the user",
  user_logged_out: "logged out the user",
  login_evicted: "revoked an older login, because of a newer one, of",
  refresh_token_reused: "reused a refresh token of",
  token_created: "created a token for",
  token_revoked: "revoked",
  messages_read: "read messages of",
  events_read: "read the events of",
  users_read: "read",
  contacts_read: "read the contacts of",
  sessions_read: "read",
  audit_read: "read the",
  session_closed: "closed the session",
};

export class AuditPage {
  #body = byId("audit-body");
  #pages;

  /** @param {{now: () => number}} options */
  constructor({ now }) {
    this.now = now;
    this.#pages = new Pages({
      onPage: ({ value }, isFirst) => this.#show(value, isFirst),
      onFailure: (words) => {
        byId("audit-failure").hidden = words === null;
        setText(byId("audit-failure-text"), words ?? "");
      },
      onLoading: (loading) => byId("audit-panel").setAttribute("aria-busy", String(loading)),
    });
    for (const id of ["audit-reload", "audit-retry"]) byId(id).addEventListener("click", () => this.open());
    byId("audit-more").addEventListener("click", () => this.#pages.more());
  }

  /** Whether anything is shown. */
  get shown() {
    return this.#body.rows.length > 0;
  }

  open() {
    this.#pages.load(`api/admin/audit?limit=${PAGE}`);
  }

  close() {
    this.#pages.abort();
    this.#body.replaceChildren();
  }

  #show(entries, isFirst) {
    const rows = entries.map((entry) => this.#row(entry));
    if (isFirst) this.#body.replaceChildren(...rows);
    else this.#body.append(...rows);
    const { length } = this.#body.rows;
    byId("audit-empty").hidden = length > 0;
    byId("audit-more").hidden = this.#pages.next === null;
    setText(byId("audit-count"), this.#pages.next ? `the newest ${plural(length, "entry", "entries")}` : plural(length, "entry", "entries"));
  }

  #row({ n, time, actor, action, subject, remote, count = 1, hash }) {
    const row = copyOf("audit-template");
    row.dataset.n = n;
    row.title = `entry ${n}, hash ${hash}`;
    const [when, what, from] = row.children;
    const at = new Date(time);
    setTime(when.firstElementChild, time, ago(at, this.now()), full(at));
    const [who, verb, whom] = what.children;
    setText(who, actor);
    const word = WORDS[action] ?? action;
    // Repetitions within an hour, after the entry of the first.
    setText(verb, count > 1 ? `${word} (${count} more times)` : word);
    // Of somebody who does something to themselves, one name is enough.
    setText(whom, subject === actor ? "" : subject);
    setText(from, remote || "command line");
    return row;
  }
}
