/**
 * Who looks at the page: the form to log in, where the server wants to know, and the way out.
 *
 * What was shown must not stay readable once the session has ended. The page is loaded anew then, so that nothing of it is left
 * in the document or in memory; the address says where it was.
 */

import { inWords, send } from "./api.js";
import { byId, setText } from "./dom.js";

/** The address and the end of the session that this browser began: the cookie itself no script can see. */
const KEPT_AS = "sambad-admin";
/** Why the page was loaded anew, for the page that comes next. */
const LEFT_AS = "sambad-left";
const LEFT = { ended: "Your session has ended. Log in to continue.", out: "You are logged out." };
/** A login that is followed by a refusal this soon was not kept by the browser. */
const LOST_WITHIN_MS = 5_000;

export class Login {
  /** Whether nothing may be shown. */
  locked = false;
  #form = byId("login-form");
  #email = byId("login-email");
  #password = byId("login-password");
  #button = byId("login-submit");
  #busy = false;
  /** Before this, the server wants no other attempt. */
  #notBefore = 0;
  #timer = 0;
  #loggedInAt = -Infinity;
  /** Why the page would be loaded anew. */
  #why = "ended";

  /**
   * @param {object} callbacks
   * @param {() => boolean} callbacks.shown whether anything of the server's is shown
   * @param {() => void} callbacks.onIn somebody has logged in
   * @param {(words: string) => void} callbacks.onFailure logging out failed
   */
  constructor({ shown, onIn, onFailure }) {
    Object.assign(this, { shown, onIn, onFailure });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("logout").addEventListener("click", () => this.#logOut());
    const kept = recall(localStorage, KEPT_AS);
    if (Date.parse(kept?.expiresAt) > Date.now()) this.#offerLogout(kept.email);
  }

  /** The server wants to know who asks. */
  ask() {
    if (this.locked) return;
    if (this.shown()) {
      this.#leave();
      return;
    }
    this.#lock();
    this.#offerLogout(null);
    byId("login").hidden = false;
    document.title = "Log in · Sambad";
    const left = recall(sessionStorage, LEFT_AS);
    keep(sessionStorage, LEFT_AS, null);
    setText(byId("login-note"), LEFT[left] ?? "");
    if (performance.now() - this.#loggedInAt < LOST_WITHIN_MS) {
      const secure = location.protocol === "https:" ? "allow cookies for this site" : "open this page over https";
      this.#fail(`The password is correct, but the browser did not store the session cookie: ${secure}.`);
    }
    this.#email.focus();
  }

  async #submit() {
    if (this.#busy || performance.now() < this.#notBefore) return;
    this.#busy = true;
    this.#fail("");
    this.#drawButton();
    try {
      const { value } = await send("POST", "api/admin/login", { email: this.#email.value, password: this.#password.value });
      this.#in(value);
    } catch (error) {
      this.#refused(error);
    }
    this.#busy = false;
    this.#drawButton();
  }

  #in({ email, expires_at: expiresAt }) {
    this.#loggedInAt = performance.now();
    this.#password.value = "";
    keep(localStorage, KEPT_AS, { email, expiresAt });
    this.#offerLogout(email);
    this.locked = false;
    delete document.body.dataset.locked;
    byId("login").hidden = true;
    byId("main").focus({ preventScroll: true });
    this.onIn();
  }

  #refused(error) {
    if (error.retryAfterMs) {
      this.#notBefore = performance.now() + error.retryAfterMs;
      this.#countDown();
    }
    const words = error.status === 429 ? `The rate limit is exceeded (429: ${error.message})` : inWords(error);
    const text = words[0].toUpperCase() + words.slice(1);
    this.#fail(text.endsWith(".") ? text : `${text}.`);
    const wrong = error.status === 401;
    for (const input of [this.#email, this.#password]) input.setAttribute("aria-invalid", String(wrong));
    if (wrong) {
      this.#password.select();
      this.#password.focus();
    }
  }

  #fail(words) {
    byId("login-failure").hidden = words === "";
    setText(byId("login-failure"), words);
    if (words !== "") return;
    for (const input of [this.#email, this.#password]) input.removeAttribute("aria-invalid");
  }

  #countDown() {
    clearTimeout(this.#timer);
    this.#drawButton();
    if (performance.now() < this.#notBefore) this.#timer = setTimeout(() => this.#countDown(), 250);
  }

  /** It can be reached by the keyboard also while it does nothing: who has the focus there keeps it. */
  #drawButton() {
    const seconds = Math.ceil((this.#notBefore - performance.now()) / 1_000);
    const idle = !this.#busy && seconds <= 0;
    this.#button.setAttribute("aria-disabled", String(!idle));
    setText(this.#button, this.#busy ? "Logging in …" : seconds > 0 ? `Retry in ${seconds} s` : "Log in");
  }

  /** Where nobody need log in there is no way out, and the audit log is empty. @param {string | null} email */
  #offerLogout(email) {
    for (const id of ["logout", "audit-open"]) byId(id).hidden = email === null;
    byId("logout").title = email ?? "";
  }

  async #logOut() {
    // The stream may hear of it before this does.
    this.#why = "out";
    try {
      await send("POST", "api/admin/logout");
    } catch (error) {
      // A server that asks nobody who they are knows no way out either.
      if (error.status === 404) {
        keep(localStorage, KEPT_AS, null);
        this.#offerLogout(null);
        return;
      }
      if (error.status !== 401) {
        this.#why = "ended";
        this.onFailure(`Logging out failed. ${inWords(error)}`);
        return;
      }
    }
    if (!this.locked) this.#leave();
  }

  #lock() {
    this.locked = true;
    document.body.dataset.locked = "true";
    keep(localStorage, KEPT_AS, null);
  }

  #leave() {
    this.#lock();
    keep(sessionStorage, LEFT_AS, this.#why);
    location.reload();
  }
}

/** A browser may forbid a page to keep anything. */
function recall(storage, name) {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}

function keep(storage, name, value) {
  try {
    if (value === null) storage.removeItem(name);
    else storage.setItem(name, JSON.stringify(value));
  } catch {
    // It holds for this visit, then.
  }
}
