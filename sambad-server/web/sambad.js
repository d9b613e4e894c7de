/**
 * Sambad's event stream for web pages and Node: one module, no dependencies.
 *
 *     import { connect } from "/sambad.js";
 *     const stream = connect({ onEvent: (event) => console.log(event.seq, event.type) });
 *
 * A stream is a cursor over the server's event log. It survives cuts, restarts, sleep and changes of network: it comes back
 * by itself and goes on after the last event it handed over, so that every event arrives once, in the order of `seq`. Where
 * that cannot be (the log was trimmed or replaced), it says so through `onResync` instead of leaving a silent hole.
 *
 * Types and further words: sambad.d.ts.
 */

/** Time for a transport to say its first word. */
const GREETING_MS = 8_000;
/** Time for an answer to a ping, and for a heartbeat to be late. */
const PATIENCE_MS = 10_000;
/** The same when there is a reason to doubt the connection: the page was hidden, or the network changed. */
const DOUBT_MS = 3_000;
/** How long a poll waits at the server. */
const POLL_WAIT_S = 25;
const POLL_EVENTS = 1_000;
/** Backoff: the ceiling begins here and doubles, up to the cap; the delay is anywhere below the ceiling. */
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 30_000;
/** A stream that was live for so long begins anew with short delays. */
const STABLE_MS = 5_000;
/** Failures of a transport, while plain HTTP works, after which the next one is tried. */
const BLOCKED_AFTER = 2;
/** How long a fallback is kept before the first transport is tried again. */
const CLIMB_AFTER_MS = 600_000;
/** Characters of an event stream's line or message, at most: ours are below 64 KiB. */
const SSE_CHARS_MAX = 1 << 20;
/** A delay that a server may ask for, at most. */
const DELAY_MAX_MS = 3_600_000;

const TRANSPORTS = ["websocket", "sse", "poll"];

/** What the server, or the way to it, refuses. `code` is the server's, or one of sambad.d.ts. */
export class SambadError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "SambadError";
    this.code = code;
  }
}

/** Opens a stream; see sambad.d.ts for the options and for what it returns. */
export function connect(options = {}) {
  return new Stream(options);
}

/* ---- Small parts ------------------------------------------------------------------------------------------------------ */

/** Takes "9f3a01c7-1042" apart; null for anything else. */
function parseCursor(text) {
  const found = /^([0-9a-f]{8})-(0|[1-9][0-9]{0,18})$/.exec(text ?? "");
  return found && { epoch: found[1], seq: Number(found[2]) };
}

/** The base address of the server, ending with a slash. */
function baseAddress(url) {
  const base = new URL(url ?? new URL(".", import.meta.url), globalThis.document?.baseURI);
  base.protocol = { "ws:": "http:", "wss:": "https:" }[base.protocol] ?? base.protocol;
  if (!/^https?:$/.test(base.protocol)) throw new SambadError("invalid_url", `not an http address: ${base}`);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  base.search = base.hash = "";
  return base;
}

function checkedAfter(after) {
  if (after === undefined || after === null) return null;
  if (Number.isSafeInteger(after) && after >= 0) return after;
  if (parseCursor(after)) return after;
  throw new SambadError("invalid_cursor", `neither a cursor such as "9f3a01c7-1042" nor a seq: ${after}`);
}

function checkedFilter({ types, user } = {}) {
  return { types: types?.length ? [...types] : null, user: user ?? null };
}

const isUnfiltered = (filter) => !filter.types && !filter.user;
const sameFilter = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** A delay that somebody else asks for; null if it is none. */
function delay(value, unit = 1) {
  if (value === null || value === undefined || !/^[0-9]{1,12}$/.test(value)) return null;
  return Math.min(Number(value) * unit, DELAY_MAX_MS);
}

/** How an attempt ended. `opened`: the server greeted; `final`: not to be tried again. */
const ended = (fields) => ({ opened: false, final: false, waitMs: null, refused: false, error: null, ...fields });

/** What a response other than 200 means; null for 200. */
async function refusal(response) {
  if (response.ok) return null;
  const body = await response.json().catch(() => null);
  const error = new SambadError(body?.code ?? `http_${response.status}`, body?.error ?? `the server answered ${response.status}`);
  const waitMs = delay(response.headers.get("retry-after"), 1000);
  // Too many requests and timeouts pass; another 4xx stays what it is however often it is asked.
  const final = response.status >= 400 && response.status < 500 && ![408, 410, 425, 429].includes(response.status);
  return { status: response.status, body, ended: ended({ final, waitMs, refused: true, error }) };
}

/** Hands a caller's function its arguments; what it throws is the caller's, and does not break the stream. */
function tell(callback, ...values) {
  if (!callback) return;
  try {
    callback(...values);
  } catch (error) {
    if (globalThis.reportError) globalThis.reportError(error);
    else console.error(error);
  }
}

/* ---- Transports ------------------------------------------------------------------------------------------------------- */

// Each takes a link to the stream and resolves with how it ended:
// `link.address(path, query)` with cursor and filter, `link.signal` to give up, `link.heard()` on any sign of life,
// `link.frame(object)` for what /ws and the event stream send alike, `link.moved(cursor)` for a cursor without an event.

function overWebSocket(link) {
  return new Promise((resolve) => {
    const address = link.address("ws");
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    let opened = false;
    const end = (fields) => {
      socket.onmessage = socket.onclose = socket.onerror = null;
      link.signal.removeEventListener("abort", give_up);
      link.send = null;
      // A socket whose other end is gone takes its time to close: nobody waits for it.
      socket.close();
      resolve(ended({ opened, ...fields }));
    };
    const give_up = () => end({ error: link.signal.reason });
    link.signal.addEventListener("abort", give_up);
    socket.onmessage = ({ data }) => {
      link.heard();
      const frame = typeof data === "string" ? parsed(data) : null;
      if (frame?.type === "connected") {
        opened = true;
        link.send = (object) => socket.send(JSON.stringify(object));
      }
      if (frame && opened) link.frame(frame);
    };
    // An error is always followed by a close.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      const [key, ...values] = reason.split(" ");
      const asked = values.map((value) => /^reconnect_after_ms=(.*)$/.exec(value)?.[1]).find(Boolean);
      const error = new SambadError(key || `closed_${code}`, `the server closed the connection: ${code} ${reason}`.trim());
      end({ final: code >= 4500 && code <= 4999, waitMs: delay(asked), refused: code >= 4000, error: code === 1000 ? null : error });
    };
  });
}

/** JSON that may be anything, as the other end may be anybody. */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && typeof value.type === "string" ? value : null;
  } catch {
    return null;
  }
}

async function overSse(link) {
  let opened = false;
  let waitMs = null;
  try {
    const headers = { accept: "text/event-stream" };
    const response = await fetch(link.address("api/events/stream"), { headers, cache: "no-store", signal: link.signal });
    const refused = await refusal(response);
    if (refused) return refused.ended;
    const parser = new SseParser((message) => {
      waitMs = delay(message.retry) ?? waitMs;
      const frame = message.data === null ? null : parsed(message.data);
      if (frame?.type === "connected") opened = true;
      if (frame && opened) link.frame(frame);
      // Of a message that cannot be read the id is not taken: the gap is to be seen.
      if (message.data === null && message.id) link.moved(message.id);
    });
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      // A server that goes ends its stream well, with the time to come back.
      if (done) return ended({ opened, waitMs, refused: waitMs !== null });
      link.heard();
      parser.push(decoder.decode(value, { stream: true }));
    }
  } catch (error) {
    return ended({ opened, waitMs, error: link.signal.aborted ? link.signal.reason : asError(error) });
  }
}

/** Server-Sent Events (HTML Living Standard, 9.2.6), as far as they carry an id, data and a delay. */
class SseParser {
  #onMessage;
  #rest = "";
  #message = { id: null, data: null, retry: null };
  #length = 0;

  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
    if (this.#rest.length + this.#length > SSE_CHARS_MAX) throw new SambadError("message_too_large", "the stream sends no end of a message");
  }

  #line(line) {
    if (line === "") {
      const message = this.#message;
      this.#message = { id: null, data: null, retry: null };
      this.#length = 0;
      this.#onMessage(message);
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    this.#length += line.length;
    if (field === "data") this.#message.data = this.#message.data === null ? value : `${this.#message.data}\n${value}`;
    else if (field === "id" || field === "retry") this.#message[field] = value;
  }
}

async function overPoll(link) {
  let opened = false;
  try {
    if (!link.hasPosition()) {
      // From now on: the head, as any answer tells it.
      const response = await fetch(link.plain("api/health"), { cache: "no-store", signal: link.signal });
      const refused = await refusal(response);
      if (refused) return refused.ended;
      link.moved(response.headers.get("sambad-cursor"));
    }
    for (let wait = 0; ; ) {
      const address = link.address("api/events", { limit: POLL_EVENTS, wait });
      const response = await fetch(address, { cache: "no-store", signal: link.signal });
      link.heard();
      const refused = await refusal(response);
      const head = response.headers.get("sambad-cursor");
      if (refused?.status === 410) {
        opened = true;
        link.frame({ type: "resync", data: { reason: refused.body?.reason ?? "cursor_expired", cursor: head } });
        continue;
      }
      if (refused) return { ...refused.ended, opened };
      const page = await response.json();
      opened = true;
      const cursor = parseCursor(page.cursor);
      if (!cursor || !Array.isArray(page.events)) throw new SambadError("invalid_answer", "the server's page of events cannot be read");
      link.began(cursor.epoch);
      for (const event of page.events) link.frame(event);
      link.moved(page.cursor);
      const waitMs = delay(response.headers.get("sambad-reconnect-after-ms"));
      if (waitMs !== null) return ended({ opened, waitMs, refused: true });
      if (cursor.seq >= page.head) link.frame({ type: "live", data: { cursor: page.cursor } });
      wait = cursor.seq >= page.head ? POLL_WAIT_S : 0;
    }
  } catch (error) {
    return ended({ opened, error: link.signal.aborted ? link.signal.reason : asError(error) });
  }
}

function asError(error) {
  return error instanceof SambadError ? error : new SambadError("unreachable", `the server cannot be reached: ${error?.message ?? error}`);
}

const OVER = { websocket: overWebSocket, sse: overSse, poll: overPoll };

/* ---- The stream ------------------------------------------------------------------------------------------------------- */

/** Why an attempt is given up when nothing is wrong with it. */
const AGAIN = new SambadError("again", "the stream connects anew");

class Stream {
  #base;
  #filter;
  #options;
  #transports;
  /** After which event the stream goes on: `epoch` is null until the server has told it, `exact` says that seq + 1 follows. */
  #position = null;
  #state = null;
  /** The running attempt: what `#watch` and the callbacks of a transport work on. */
  #link = null;
  #wake = null;
  #gone = new AbortController();

  constructor(options) {
    this.#options = options;
    this.#base = baseAddress(options.url);
    this.#filter = checkedFilter(options);
    this.#transports = options.transports ?? TRANSPORTS.filter((name) => name !== "websocket" || globalThis.WebSocket);
    if (!this.#transports.length || !this.#transports.every((name) => name in OVER)) {
      throw new SambadError("invalid_transport", `transports are ${TRANSPORTS.join(", ")}: ${this.#transports}`);
    }
    const after = checkedAfter(options.after);
    if (after !== null) {
      const { epoch, seq } = parseCursor(after) ?? { epoch: null, seq: after };
      this.#position = { epoch, seq, exact: seq > 0 };
    }
    this.#listen();
    // Not at once: the caller has no stream yet that a callback could use.
    queueMicrotask(() => this.#run());
  }

  get cursor() {
    return this.#position?.epoch ? `${this.#position.epoch}-${this.#position.seq}` : null;
  }

  get state() {
    return this.#state;
  }

  close() {
    this.#end({});
  }

  reconnect() {
    if (this.#wake) this.#wake();
    else this.#link?.controller.abort(AGAIN);
  }

  subscribe(filter = {}) {
    this.#filter = checkedFilter(filter);
    this.#refilter();
  }

  /* -- Connecting, again and again -- */

  async #run() {
    let [index, attempt, failures] = [0, 0, 0];
    while (!this.#gone.signal.aborted) {
      const transport = this.#transports[index];
      this.#enter("connecting", { transport, attempt });
      const link = this.#open(transport);
      const end = await OVER[transport](link.face).catch((error) => ended({ error: asError(error) }));
      this.#link = null;
      clearTimeout(link.timer);
      clearTimeout(link.climb);
      if (this.#gone.signal.aborted) return;
      if (end.final) return this.#end({ transport, error: end.error });
      if (link.liveAt !== null && Date.now() - link.liveAt >= STABLE_MS) attempt = 0;
      if (end.error === AGAIN) {
        if (link.climbing) [index, failures] = [0, 0];
        continue;
      }
      if (end.opened) failures = 0;
      else if (end.refused) index = 0;
      else failures = (await this.#httpWorks()) ? failures + 1 : 0;
      if (failures >= BLOCKED_AFTER && index + 1 < this.#transports.length) {
        // Something on the way denies this transport, and lets others through.
        [index, failures] = [index + 1, 0];
        continue;
      }
      const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempt, 20));
      const retryInMs = Math.round(end.waitMs ?? Math.random() * ceiling);
      attempt += 1;
      await this.#pause(retryInMs, { transport, attempt, error: end.error });
    }
  }

  /** Whether plain HTTP reaches the server, and it takes traffic. */
  async #httpWorks() {
    const timeout = AbortSignal.timeout(GREETING_MS);
    try {
      const signal = AbortSignal.any ? AbortSignal.any([timeout, this.#gone.signal]) : timeout;
      return (await fetch(new URL("readyz", this.#base), { cache: "no-store", signal })).ok;
    } catch {
      return false;
    }
  }

  /** Waits until it is time, or somebody has a reason to try at once. */
  #pause(retryInMs, fields) {
    const offline = globalThis.navigator?.onLine === false;
    const error = offline ? new SambadError("offline", "this device is offline") : fields.error;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), retryInMs);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
      this.#enter("reconnecting", { ...fields, error, retryInMs });
    });
  }

  #open(transport) {
    const controller = new AbortController();
    const link = { transport, controller, asked: this.#filter, serving: this.#filter, opened: false, liveAt: null, climbing: false };
    Object.assign(link, { heardAt: Date.now(), heartbeatMs: POLL_WAIT_S * 1000, strikes: 0, doubted: false, greeted: null, climb: null });
    link.face = {
      signal: controller.signal,
      send: null,
      heard: () => Object.assign(link, { heardAt: Date.now(), strikes: 0, doubted: false }),
      address: (path, query) => this.#address(path, query),
      plain: (path) => new URL(path, this.#base),
      hasPosition: () => this.#position !== null,
      frame: (frame) => this.#frame(link, frame),
      moved: (cursor) => this.#moved(cursor),
      began: (epoch) => this.#began(link, epoch),
    };
    if (transport !== this.#transports[0]) {
      link.climb = setTimeout(() => {
        link.climbing = true;
        controller.abort(AGAIN);
      }, this.#options.climbAfterMs ?? CLIMB_AFTER_MS);
    }
    this.#link = link;
    this.#watch(link, GREETING_MS);
    return link;
  }

  #address(path, query = {}) {
    const address = new URL(path, this.#base);
    const position = this.#position;
    if (position) address.searchParams.set("after", this.cursor ?? position.seq);
    if (this.#filter.types) address.searchParams.set("types", this.#filter.types.join(","));
    if (this.#filter.user) address.searchParams.set("user", this.#filter.user);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address;
  }

  /* -- What arrives -- */

  #frame(link, { type, data, code, message, seq, timestamp }) {
    // A transport that was given up may still have something in hand.
    if (this.#link !== link || link.controller.signal.aborted) return;
    if (Number.isSafeInteger(seq)) return this.#event(link, { type, data, timestamp, seq });
    switch (type) {
      case "connected":
        link.heartbeatMs = (data?.heartbeat_s > 0 ? data.heartbeat_s : POLL_WAIT_S) * 1000;
        this.#connected(link, data?.cursor);
        break;
      case "live":
        this.#moved(data?.cursor);
        this.#live(link);
        break;
      case "resync":
        if (!parseCursor(data?.cursor)) return;
        this.#position = null;
        this.#moved(data.cursor);
        this.#opened(link);
        tell(this.#options.onResync, { reason: data.reason, cursor: data.cursor });
        this.#live(link, data.reason);
        break;
      case "subscribed":
        link.serving = checkedFilter({ types: data?.types, user: data?.user });
        // All types there are is no filter, however they are spelled out.
        if (!this.#filter.types && sameFilter(link.asked, this.#filter)) link.serving.types = null;
        this.#moved(data?.cursor);
        break;
      case "error":
        this.#enter(this.#state.name, { ...this.#state, error: new SambadError(code, message) });
        break;
      default: // pong, and what later versions say
    }
  }

  #connected(link, cursor) {
    const told = parseCursor(cursor);
    if (!told) return;
    link.greeted = told;
    this.#opened(link);
    if (this.#position === null) {
      // Where nothing was asked for no resync can follow, and no `live` does.
      this.#moved(cursor);
      this.#live(link);
    } else {
      this.#enter("replaying", { transport: link.transport });
    }
    if (!sameFilter(link.asked, this.#filter)) this.#refilter();
  }

  #began(link, epoch) {
    if (!link.opened) {
      this.#opened(link);
      this.#enter("replaying", { transport: link.transport });
    }
    if (this.#position && this.#position.epoch === null) this.#position = { ...this.#position, epoch };
  }

  #opened(link) {
    link.opened = true;
    clearTimeout(link.timer);
    this.#watch(link, this.#limit(link));
  }

  #live(link, resynced) {
    if (link.liveAt !== null && !resynced) return;
    link.liveAt ??= Date.now();
    this.#enter("live", { transport: link.transport, reason: resynced });
  }

  #moved(text) {
    const cursor = parseCursor(text);
    // Never backwards: a cursor that is told late says nothing new.
    if (!cursor || (this.#position?.epoch === cursor.epoch && cursor.seq <= this.#position.seq)) return;
    this.#position = { ...cursor, exact: true };
  }

  #event(link, event) {
    const position = this.#position;
    if (position && event.seq <= position.seq) return;
    if (position?.exact && isUnfiltered(link.serving) && event.seq !== position.seq + 1) {
      const error = new SambadError("gap", `after ${position.seq} came ${event.seq}: the stream goes on from its cursor`);
      link.controller.abort(error);
      return;
    }
    const epoch = position?.epoch ?? link.greeted?.epoch ?? null;
    this.#position = { epoch, seq: event.seq, exact: true };
    tell(this.#options.onEvent, event, { cursor: this.cursor, live: link.liveAt !== null, receivedAt: Date.now() });
  }

  #refilter() {
    const link = this.#link;
    if (!link?.opened) return;
    if (!link.face.send) {
      link.controller.abort(AGAIN);
      return;
    }
    link.asked = this.#filter;
    const { types, user } = this.#filter;
    link.face.send({ type: "subscribe", ...(types && { types }), ...(user && { user }) });
  }

  /* -- Whether the other end is still there -- */

  /** How long a link may be quiet before something is done about it. */
  #limit(link) {
    return link.transport === "websocket" ? link.heartbeatMs : link.heartbeatMs + PATIENCE_MS;
  }

  /**
   * Looks after a link at times of its own. It judges by the clock: in a page that was hidden or asleep, timers come late, and
   * what has arrived may still wait for its turn; such a link gets a second chance.
   */
  #watch(link, afterMs) {
    const due = Date.now() + afterMs;
    link.timer = setTimeout(() => this.#check(link, Date.now() - due > DOUBT_MS), afterMs);
  }

  #check(link, late) {
    clearTimeout(link.timer);
    const limit = link.opened ? this.#limit(link) : GREETING_MS;
    const quiet = Date.now() - link.heardAt;
    if (link.strikes === 0 && quiet < limit && !link.doubted) return this.#watch(link, limit - quiet);
    // A WebSocket can be asked, and a clock that jumped proves nothing.
    const chances = (link.face.send ? 1 : 0) + (late ? 1 : 0);
    if (link.strikes >= chances) {
      const error = link.opened
        ? new SambadError("silent", `nothing was heard for ${Math.round(quiet / 1000)} s`)
        : new SambadError("no_greeting", "the connection opened and said nothing");
      link.controller.abort(error);
      return;
    }
    link.strikes += 1;
    link.face.send?.({ type: "ping" });
    this.#watch(link, link.doubted ? DOUBT_MS : PATIENCE_MS);
  }

  /** There is a reason to look at once. */
  #doubt() {
    if (this.#wake) return this.#wake();
    if (!this.#link) return;
    this.#link.doubted = this.#link.face.send !== null;
    this.#check(this.#link, true);
  }

  #listen() {
    const { signal } = this.#gone;
    const look = () => this.#doubt();
    // Where there is no page, as in Node, nobody sleeps.
    globalThis.window?.addEventListener("online", look, { signal });
    globalThis.window?.addEventListener("pageshow", (event) => event.persisted && this.reconnect(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look(), { signal });
  }

  /* -- What the caller is told -- */

  #enter(name, fields) {
    if (this.#gone.signal.aborted && name !== "closed") return;
    this.#state = Object.freeze({ name, ...fields, cursor: this.cursor });
    tell(this.#options.onState, this.#state);
  }

  #end(fields) {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    this.#link?.controller.abort(AGAIN);
    this.#wake?.();
    this.#enter("closed", { transport: this.#link?.transport, ...fields });
  }
}
