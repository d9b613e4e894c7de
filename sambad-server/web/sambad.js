/**
 * Client for the events of a Sambad server, for web pages and Node: delivers every event once and in order, also across
 * lost connections.
 *
 * One module, no dependencies. `sambad.d.ts` documents the parameters and guarantees of each function; the guide is
 * `docs/reference/sambad-js.md`, and the protocol is `docs/protocol.md`.
 *
 * `EventStream` makes the decisions and has no socket. A `Link` is one connection, over WebSocket, event stream or long poll,
 * and makes no decisions: it delivers frames and, once, a verdict on its end. The rules are those of the Rust client.
 */

/** What is used, best first; each asks less of those between than the one before. */
const TRANSPORTS = ["websocket", "sse", "poll"];
const TIMING = {
  /** The first delay before a reconnect is at most this; it doubles with each failure. */
  backoffMs: 250,
  backoffMaxMs: 30_000,
  /** A connection's time up to the server's first frame. */
  connectTimeoutMs: 6_000,
  /** How long past the heartbeat, or after a ping, silence is borne. */
  graceMs: 10_000,
  /** The same, when there is reason to doubt the connection: the page was asleep, or the network has changed. */
  doubtMs: 3_000,
  /** How long a poll may be held: below the server's own bound, and below a usual proxy's patience. */
  pollWaitMs: 25_000,
  /** How long a lower transport is used before a better one is tried again. */
  climbAfterMs: 600_000,
};
/** A session of this length was of use, and so was one that brought an event: then the backoff begins anew. */
const STABLE_MS = 10_000;
/** A timer that fires this late says that the page was asleep or throttled, and nothing about the server. */
const LATE_MS = 2_000;
/** How often the stream looks whether the machine was suspended. */
const TICK_MS = 5_000;
/** A lead of this size that the time of day gained between two looks is a suspended machine, or a clock that was set forward. */
const LEAP_MS = 10_000;
/** The longest delay that is taken from a server: a mistyped one must not silence a dashboard for a day. */
const ASKED_DELAY_MAX_MS = 60_000;
/** The heartbeat of a server that announces none, and the longest that is taken from one. */
const HEARTBEAT_MS = 25_000;
const HEARTBEAT_MAX_MS = 3_600_000;
/** Characters of a frame or message; the contract's longest event is below 32 KiB. */
const FRAME_CHARS_MAX = 1 << 20;
/** Events of a poll's page, and the bytes that so many of the longest have. */
const PAGE_EVENTS = 500;
const PAGE_BYTES_MAX = 16 << 20;
/** The longest that the contract lets a poll wait. */
const POLL_WAIT_MAX_MS = 30_000;
/** The longest delay that a timer takes; beyond it, it fires at once. */
const DELAY_MAX_MS = 2 ** 31 - 1;
/** So many filters are sent to a server at once, and then one after each such pause: far below what a session may say. */
const FILTERS_AT_ONCE = 10;
const FILTER_PAUSE_MS = 100;
/** The least time from a poll that was answered with nothing to the next: a server that drains answers at once. */
const POLL_PAUSE_MS = 1_000;
/** So many polls in a row that bring nothing and were not held come from a cache, and not from a server. */
const IDLE_POLLS_MAX = 3;
/** So many events in a row that a connection has brought before are no stream. */
const REPEATS_MAX = 16;
/** What the server is told that a WebSocket speaks; beside it stands the token, as a page can set no header. */
const SUBPROTOCOL = "sambad.v1";
const SUBPROTOCOL_TOKEN = "bearer.";
/** The server accepts no longer one. */
const TOKEN_CHARS_MAX = 8 << 10;
/** How long a page may take to say its token. */
const TOKEN_TIMEOUT_MS = 30_000;
/** Tokens that live for less than the server's notice of their end are not renewed without a pause; nor is one waited for longer. */
const RENEW_PAUSE_MS = 30_000;

/**
 * Milliseconds of a clock that is never set. Every age, pause and patience is measured by it: the time of day can go back or leap
 * while the page is open. It may stand still while the machine is suspended; `EventStream` looks for that.
 */
const now = () => performance.now();

/** The reason why a stream has ended or is disconnected; `code` is stable, `message` is for people. */
export class SambadError extends Error {
  constructor(code, message, { status = null, requestId = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SambadError";
    this.code = code;
    this.status = status;
    this.requestId = requestId;
  }
}

/** Opens a stream of events; see `sambad.d.ts`. */
export function connect(options = {}) {
  return new EventStream(options);
}

// ---------------------------------------------------------------------------------------------------- what the user asks for

/** Reads the server's address. Throws for mistakes that are certain here, which would be retried without end otherwise. */
function readBase(url) {
  const refuse = (message) => new SambadError("invalid_url", message);
  const page = globalThis.location?.href;
  // An empty one is a setting that was forgotten, and would be the page itself.
  if (url !== undefined && url !== null && String(url).trim() === "") throw refuse("expected a URL, not an empty string");
  let base;
  try {
    base = new URL(url ?? new URL(".", import.meta.url), page);
  } catch {
    // Without the text, here and below: there may be a password in it.
    throw refuse("not a URL of the form https://host:port");
  }
  base.protocol = base.protocol.replace(/^ws/, "http");
  if (!/^https?:$/.test(base.protocol)) throw refuse(`expected http or https, not ${base.protocol}`);
  if (base.port === "0") throw refuse("expected a port above 0");
  // Those of the page, or of this module, are the browser's matter: it sends them along by itself.
  const own = url === undefined || url === null ? base : page && new URL(page);
  if ((base.username || base.password) && !(own && own.username === base.username && own.password === base.password)) {
    throw refuse("a browser does not send a user and a password in the URL: use the token option");
  }
  base.username = base.password = "";
  base.search = base.hash = "";
  base.pathname = base.pathname.replace(/\/+$/, "");
  return base;
}

function readAfter(after) {
  if (after === undefined || after === null) return null;
  const seq = typeof after === "number" && Number.isSafeInteger(after) && after >= 0;
  if (seq || parseCursor(after)) return String(after);
  throw new SambadError("invalid_after", "expected a cursor such as 9f3a01c7-1042, or a seq");
}

function readFilter({ types, user }) {
  const list = types ?? [];
  if (!Array.isArray(list) || list.some((type) => typeof type !== "string")) {
    throw new SambadError("invalid_types", "expected types to be an array of strings");
  }
  if (user !== undefined && user !== null && typeof user !== "string") {
    throw new SambadError("invalid_user", "expected user to be a string");
  }
  return { types: [...list], user: user || null };
}

function readTransport(transport = "auto") {
  if (transport !== "auto" && !TRANSPORTS.includes(transport)) {
    throw new SambadError("invalid_transport", `expected auto, ${TRANSPORTS.join(", ")}`);
  }
  if (transport === "websocket" && typeof WebSocket !== "function") {
    throw new SambadError("invalid_transport", "this environment has no WebSocket");
  }
  return transport;
}

/** Gives the token, or null if there is none. What a subprotocol cannot carry is no token of any server's. */
function readToken(token) {
  if (token === undefined || token === null || token === "") return null;
  if (typeof token === "string" && token.length <= TOKEN_CHARS_MAX && /^[\w.~+-]+$/.test(token)) return token;
  // Without the text: it may be a secret all the same.
  throw new SambadError("invalid_token", "expected a token of letters, digits and -._~+, or a function that gives one");
}

/**
 * Whether a token is of one user, who gets what is theirs and nothing else, whatever is asked for. It is read without being verified:
 * the server does that.
 */
function isConfined(token) {
  try {
    const { roles = [], sambad_user: user = null } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return user !== null || roles.includes("user");
  } catch {
    // None, or none that can be read.
    return false;
  }
}

/** Whether a seq may be missing because it was not asked for. */
const mayMiss = ({ types, user }, token) => types.length > 0 || user !== null || isConfined(token);

function readTiming(timing) {
  const times = { ...TIMING };
  for (const name of Object.keys(TIMING)) {
    const ms = timing?.[name];
    if (ms === undefined) continue;
    if (typeof ms !== "number" || !(ms >= 0)) throw new SambadError("invalid_timing", `expected ${name} to be milliseconds, 0 or more`);
    times[name] = Math.min(ms, name === "pollWaitMs" ? POLL_WAIT_MAX_MS : DELAY_MAX_MS);
  }
  return times;
}

// ------------------------------------------------------------------------------------------------------------ what is received

function parseCursor(text) {
  const parts = typeof text === "string" && /^([0-9a-f]{8})-(0|[1-9][0-9]{0,15})$/.exec(text);
  return parts && Number.isSafeInteger(Number(parts[2])) ? { epoch: parts[1], seq: Number(parts[2]) } : null;
}

const formatCursor = (cursor) => cursor && `${cursor.epoch}-${cursor.seq}`;

/** Reads a frame; throws where it is not what the contract says. Types that are unknown pass, with a seq as events. */
function parseFrame(text) {
  if (text.length > FRAME_CHARS_MAX) throw new SambadError("protocol", `the frame is too long: ${text.length} characters`);
  let frame = null;
  try {
    frame = JSON.parse(text);
  } catch {
    // Judged below, like any other value that is no frame.
  }
  return checkFrame(frame);
}

function checkFrame(frame) {
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const broken = (what) => new SambadError("protocol", `the frame is ${what}`);
  if (!isObject(frame) || typeof frame.type !== "string") throw broken("not an object with a type");
  if (frame.seq !== undefined) {
    const { type, data, timestamp, seq } = frame;
    if (!Number.isSafeInteger(seq) || seq < 1 || !isObject(data) || typeof timestamp !== "string") throw broken("not an event");
    return { type: "event", event: { type, data, timestamp, seq } };
  }
  const { type, data } = frame;
  if (type === "closed") return { type, code: Number.isInteger(frame.code) ? frame.code : 0, reason: String(frame.reason ?? "") };
  const text = (value) => (typeof value === "string" ? value : "unknown");
  if (type === "error") return { type, code: text(frame.code), message: text(frame.message) };
  if (type === "token_expiring") return { type, expiresAt: text(data?.expires_at) };
  if (!["connected", "live", "resync", "subscribed", "heartbeat"].includes(type)) return { type: "unknown" };
  const cursor = parseCursor(data?.cursor);
  if (!cursor) throw broken(`\`${type}\` without a cursor`);
  if (type === "heartbeat") return { type: "passed", cursor };
  const heartbeat = typeof data.heartbeat_s === "number" && data.heartbeat_s > 0 ? data.heartbeat_s * 1000 : HEARTBEAT_MS;
  const serverTime = Date.parse(text(frame.timestamp));
  return { type, cursor, reason: text(data.reason), heartbeatMs: Math.min(heartbeat, HEARTBEAT_MAX_MS), serverTime };
}

/**
 * From the bytes of an event stream to its messages, however the network cuts them; holds one incomplete message at most.
 *
 * Source: HTML Living Standard, 9.2.6 "Interpreting an event stream".
 */
class EventStreamDecoder {
  /** How long the server asks to wait before another connection, if it said. */
  retryMs = null;
  #utf8 = new TextDecoder();
  #text = "";
  #searched = 0;
  #afterReturn = false;
  #data = null;
  #id = null;

  /** Adds a chunk and gives the messages that it completes, as `{ id, data }`. */
  *push(chunk) {
    this.#text += this.#utf8.decode(chunk, { stream: true });
    let start = 0;
    for (;;) {
      if (this.#afterReturn && start < this.#text.length) {
        if (this.#text[start] === "\n") start += 1;
        this.#afterReturn = false;
      }
      const end = this.#endOfLine(Math.max(start, this.#searched));
      if (end < 0) break;
      this.#afterReturn = this.#text[end] === "\r";
      const line = this.#text.slice(start, end);
      start = end + 1;
      if (line !== "") {
        this.#field(line);
      } else if (this.#data !== null || this.#id !== null) {
        const message = { id: this.#id, data: this.#data };
        this.#data = this.#id = null;
        yield message;
      }
    }
    this.#text = this.#text.slice(start);
    this.#searched = this.#text.length;
    this.#bounded(this.#text.length);
  }

  #endOfLine(from) {
    const rest = /[\r\n]/g;
    rest.lastIndex = from;
    this.#searched = 0;
    return rest.exec(this.#text)?.index ?? -1;
  }

  #field(line) {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (name === "data") {
      this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
      this.#bounded(0);
    } else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
    } else if (name === "retry" && /^[0-9]+$/.test(value)) {
      this.retryMs = Number(value);
    }
    // The type stands in the data as well.
  }

  #bounded(more) {
    if ((this.#data?.length ?? 0) + more > FRAME_CHARS_MAX) throw new SambadError("protocol", "the message is too long");
  }
}

// ------------------------------------------------------------------------------------------------------ how a connection ended

/**
 * What the end of a connection means:
 * - `retry`: another attempt by the same way, after `delayMs` if the server gave one (`exact`: to this session alone);
 * - `silent`: nothing was answered, be it for the server or for what is between;
 * - `blocked`: something else than the server answered, or the server says that it cannot be asked this way;
 * - `refused`: another attempt would end the same way;
 * - `unauthorized`: so would it by the same token;
 * - `forbidden`: so would it by any of the same person;
 * - `done`: the server has nothing more to say.
 */
const verdict = (kind, error, delayMs = null, exact = false) => ({ kind, error, delayMs, exact });
const broken = (error) =>
  verdict("blocked", error instanceof SambadError ? error : new SambadError("protocol", error.message, { cause: error }));
const unanswered = (cause) => verdict("silent", new SambadError("unreachable", cause?.message || "no connection", { cause }));
const late = (ms) => verdict("silent", new SambadError("timeout", `no response within ${ms} ms`));
const draining = (ms) =>
  verdict("retry", new SambadError("drain", "the server is shutting down"), Math.min(ms, ASKED_DELAY_MAX_MS), true);

/**
 * Reads a close code as the contract has it. The server begins no close with a code below 4000: such a code comes from
 * something on the way, and says nothing about another attempt.
 */
function judgeClose({ code, reason }, greeted) {
  const [key] = reason.split(" ");
  const error = new SambadError(key || "connection_lost", `the connection was closed with ${code}${reason && `: ${reason}`}`);
  if (code === 4501) return verdict("unauthorized", error);
  if (code === 4503) return verdict("forbidden", error);
  if (code >= 4500) return verdict("refused", error);
  const asked = code >= 4000 ? /(?:^| )reconnect_after_ms=([0-9]+)(?: |$)/.exec(reason)?.[1] : undefined;
  if (asked !== undefined) return verdict("retry", error, Math.min(Number(asked), ASKED_DELAY_MAX_MS), true);
  if (code === 1000 && key === "done" && greeted) return verdict("done", error);
  return verdict(code >= 4000 || greeted ? "retry" : "silent", error);
}

/** Reads an HTTP answer that is none of those hoped for: whether it is about the transport, or any other would meet it too. */
async function judgeAnswer(response) {
  const { status, headers } = response;
  let body = null;
  try {
    body = JSON.parse(await readText(response, 1 << 16));
  } catch {
    // Not the server's own words.
  }
  const code = typeof body?.code === "string" ? body.code : "";
  const requestId = headers.get("x-request-id");
  const error = new SambadError(code || "http", String(body?.error ?? `HTTP status ${status}`), { status, requestId });
  if (status === 501 || status === 505) return broken(error);
  if (status >= 500 || status === 408 || status === 407 || status === 429) {
    return verdict("retry", error, readRetryAfter(headers));
  }
  if (status === 401) return verdict("unauthorized", error);
  // Without this code it is not from the server, but from something on the way.
  if (status === 403 && code === "forbidden") return verdict("forbidden", error);
  const aboutTheTransport = ["", "upgrade_required", "not_found", "method_not_allowed"].includes(code);
  return { ...(aboutTheTransport ? broken(error) : verdict("refused", error)), body };
}

/** Reads seconds, or a date. A date counts from when its sender says that it was sent: this machine's clock may be wrong. */
function readRetryAfter(headers) {
  const text = headers.get("retry-after");
  if (!text) return null;
  const sentAt = Date.parse(headers.get("date") ?? "") || Date.now();
  const ms = /^\s*[0-9]+\s*$/.test(text) ? Number(text) * 1000 : Date.parse(text) - sentAt;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), ASKED_DELAY_MAX_MS) : null;
}

/** Reads a body of at most `bytesMax`; calls `heard` with each part of it. */
async function readText(response, bytesMax, heard) {
  const utf8 = new TextDecoder();
  let [text, bytes] = ["", 0];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + utf8.decode();
    heard?.();
    bytes += value.length;
    if (bytes > bytesMax) {
      await reader.cancel();
      throw new SambadError("protocol", "the response is too long");
    }
    text += utf8.decode(value, { stream: true });
  }
}

/** The headers of a request. A token never stands in an address, which ends up in logs. */
const headersOf = (accept, token) => ({ accept, ...(token && { authorization: `Bearer ${token}` }) });

/**
 * A signal that follows `signal`, and aborts by itself once nothing was `heard` for `timeoutMs`; whoever took it says `end`.
 *
 * Not `AbortSignal.any` with `AbortSignal.timeout`: Node loses their time when it collects garbage.
 */
function patience(signal, timeoutMs) {
  const abort = new AbortController();
  const give = () => abort.abort();
  signal.addEventListener("abort", give);
  let timer = setTimeout(give, timeoutMs);
  return {
    signal: abort.signal,
    heard: () => {
      clearTimeout(timer);
      timer = setTimeout(give, timeoutMs);
    },
    end: () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", give);
    },
  };
}

/** Asks for a page of the log; gives `{ page }`, `{ resync }` or `{ end }`, a verdict. Bears silence for `timeoutMs`. */
async function askPage(url, signal, timeoutMs, token) {
  const wait = patience(signal, timeoutMs);
  try {
    const headers = headersOf("application/json", token);
    const response = await fetch(url, { signal: wait.signal, cache: "no-store", headers });
    // A page that takes long is none that does not come: the network may be slow.
    if (response.status === 200) {
      return readPage(response.headers, JSON.parse(await readText(response, PAGE_BYTES_MAX, wait.heard)));
    }
    if (response.status !== 410) return { end: await judgeAnswer(response) };
    const gone = await judgeAnswer(response);
    // Without a code, something on the way has replaced the body.
    if (!["cursor_gone", "http"].includes(gone.error.code)) return { end: gone };
    const reason = String(gone.body?.reason ?? "unknown");
    const cursor = parseCursor(response.headers.get("sambad-cursor")) ?? parseCursor(gone.body?.cursor);
    if (cursor) return { resync: { type: "resync", cursor, reason } };
    // Nothing is left of where the log ends: the server is asked, once.
    if (url === headOf(url)) return { end: broken(gone.error) };
    const head = await askPage(headOf(url), signal, timeoutMs, token);
    if (!head.page) return head;
    return { resync: { type: "resync", cursor: { epoch: head.page.cursor.epoch, seq: head.page.head }, reason } };
  } catch (error) {
    if (error instanceof SambadError) return { end: broken(error) };
    // What says 200 and is no page is not the server: a portal that wants a login.
    if (error instanceof SyntaxError) return { end: broken(new SambadError("protocol", "the response is not a page of events")) };
    return { end: wait.signal.aborted ? late(timeoutMs) : unanswered(error.cause ?? error) };
  } finally {
    wait.end();
  }
}

/** The address of a page that says where the log ends, whatever it has. */
function headOf(url) {
  const head = new URL(url);
  head.searchParams.set("after", "0");
  head.searchParams.set("limit", "1");
  head.searchParams.delete("wait");
  return head.href;
}

/** Asks a server that was full whether it still is: by the event stream's head, which takes no place and reads no log. */
async function askPlace(url, signal, timeoutMs, token, full) {
  const wait = patience(signal, timeoutMs);
  try {
    const request = { method: "HEAD", signal: wait.signal, cache: "no-store", headers: headersOf("text/event-stream", token) };
    const { status, headers } = await fetch(url, request);
    if (status === 401) return { end: verdict("unauthorized", new SambadError("unauthorized", "HTTP status 401", { status })) };
    const isFull = status === 503 || status === 429;
    return isFull ? { end: verdict("retry", full, readRetryAfter(headers)) } : {};
  } catch (error) {
    return { end: wait.signal.aborted ? late(timeoutMs) : unanswered(error.cause ?? error) };
  } finally {
    wait.end();
  }
}

function readPage(headers, body) {
  const cursor = parseCursor(body?.cursor);
  if (!cursor || !Array.isArray(body.events) || !Number.isSafeInteger(body.head) || !Number.isSafeInteger(body.first)) {
    throw new SambadError("protocol", "the response is not a page of events");
  }
  const frames = body.events.map((event) => checkFrame(event));
  if (frames.some((frame) => frame.type !== "event")) throw new SambadError("protocol", "the page has a frame that is not an event");
  const asked = headers.get("sambad-reconnect-after-ms");
  if (frames.length === 0 && asked !== null && /^[0-9]+$/.test(asked)) return { end: draining(Number(asked)) };
  return { page: { frames, cursor, head: body.head, first: body.first } };
}

/** Throws unless a page follows `after`: nothing of one that does not, as a cache would repeat it, may be handed on. */
function checkFollows({ frames, cursor }, after) {
  const seqs = [after.seq, ...frames.map(({ event }) => event.seq)];
  const rises = seqs.every((seq, at) => at === 0 || seq > seqs[at - 1]);
  if (rises && cursor.epoch === after.epoch && cursor.seq >= seqs.at(-1)) return;
  throw new SambadError("protocol", `the page does not start after ${formatCursor(after)}`);
}

// ------------------------------------------------------------------------------------------------------------- one connection

/**
 * One connection. Calls `on.heard` with anything that arrives, `on.frame` for each, and unless closed `on.end` once. What had
 * arrived when it was closed may still be told: the stream knows which connection it listens to.
 */
class Link {
  greeted = false;
  over = false;
  #on;
  #timer;
  /** The seq beyond which the next event must lie: that which was asked for, then the last that this connection has told. */
  #floor = 0;
  /** Events in a row that did not. */
  #repeats = 0;

  constructor(request, on) {
    this.transport = request.transport;
    this.request = request;
    /** Whether a seq may be missing because it was not asked for. */
    this.filtered = mayMiss(request.filter, request.token);
    this.abort = new AbortController();
    this.#on = on;
    // Each request of a poll has a time of its own.
    if (request.transport === "poll") return;
    this.#timer = setTimeout(() => this.end(late(request.timeoutMs)), request.timeoutMs);
  }

  heard() {
    this.#on.heard(this);
  }

  take(frame) {
    if (!this.greeted) {
      if (frame.type !== "connected") throw new SambadError("protocol", "the first frame is not `connected`");
      this.greeted = true;
      clearTimeout(this.#timer);
    }
    if (this.#isNews(frame)) this.#on.frame(this, frame);
  }

  /** Whether a frame is to be handed on. A connection that goes back is none to a server: something repeats what it kept. */
  #isNews({ type, cursor, event }) {
    const { after } = this.request;
    if (type === "connected") {
      this.#floor = after === null ? cursor.seq : (parseCursor(after)?.seq ?? Number(after));
    } else if (type === "resync") {
      if (formatCursor(cursor) === after) throw new SambadError("protocol", `a resync to ${after}, the requested position`);
      this.#floor = cursor.seq;
    } else if (event) {
      this.#repeats = event.seq > this.#floor ? 0 : this.#repeats + 1;
      if (this.#repeats > REPEATS_MAX) throw new SambadError("protocol", `${this.#repeats} repeated events`);
      if (this.#repeats > 0) return false;
      this.#floor = event.seq;
    } else if (cursor) {
      if (cursor.seq < this.#floor) throw new SambadError("protocol", `the position is before seq ${this.#floor}`);
      this.#floor = cursor.seq;
    }
    return true;
  }

  end(end) {
    if (this.over) return;
    this.close();
    const { error } = end;
    const lost = this.greeted && error.code === "unreachable";
    this.#on.end(this, lost ? { ...end, error: new SambadError("connection_lost", error.message, { cause: error }) } : end);
  }

  close() {
    this.over = true;
    clearTimeout(this.#timer);
    this.abort.abort();
  }
}

class SocketLink extends Link {
  #socket = null;

  constructor(request, on) {
    super(request, on);
    const url = new URL(request.url("/ws"));
    url.protocol = url.protocol.replace("http", "ws");
    try {
      const { token } = request;
      this.#socket = new WebSocket(url, token ? [SUBPROTOCOL, SUBPROTOCOL_TOKEN + token] : []);
    } catch (error) {
      // The page may not: mixed content, or its security policy.
      queueMicrotask(() => this.end(unanswered(error)));
      return;
    }
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = (close) => this.end(judgeClose(close, this.greeted));
    // `close` follows at once and knows more; in Node 20 it does not after a failed handshake.
    this.#socket.onerror = ({ error }) => setTimeout(() => this.end(unanswered(error)));
  }

  send(frame) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  #receive(data) {
    this.heard();
    try {
      if (typeof data !== "string") throw new SambadError("protocol", "the frame is binary");
      this.take(parseFrame(data));
    } catch (error) {
      this.end(broken(error));
    }
  }

  close() {
    super.close();
    try {
      this.#socket?.close(1000);
    } catch {
      // It is closed, then.
    }
  }
}

class SseLink extends Link {
  constructor(request, on) {
    super(request, on);
    this.#run().then((end) => this.end(end), (error) => {
      this.end(error instanceof SambadError ? broken(error) : unanswered(error.cause ?? error));
    });
  }

  async #run() {
    const headers = headersOf("text/event-stream", this.request.token);
    const url = this.request.url("/api/events/stream");
    const response = await fetch(url, { signal: this.abort.signal, cache: "no-store", headers });
    if (response.status !== 200) return judgeAnswer(response);
    if (!/^text\/event-stream\s*(;|$)/i.test(response.headers.get("content-type") ?? "")) {
      return broken(new SambadError("protocol", "the response is not an event stream"));
    }
    const decoder = new EventStreamDecoder();
    const reader = response.body.getReader();
    try {
      for (let chunk = await reader.read(); !chunk.done && !this.over; chunk = await reader.read()) {
        this.heard();
        for (const message of decoder.push(chunk.value)) {
          this.#receive(message);
          if (this.over) break;
        }
      }
    } catch (error) {
      if (error instanceof SambadError || decoder.retryMs === null) throw error;
    }
    return decoder.retryMs === null ? unanswered(new Error("the event stream has ended")) : draining(decoder.retryMs);
  }

  #receive({ id, data }) {
    const cursor = parseCursor(id);
    const frame = data === null ? null : parseFrame(data);
    // In place of a close frame, which an event stream has not.
    if (frame?.type === "closed") this.end(judgeClose(frame, this.greeted));
    else if (frame) this.take(frame);
    else if (cursor && this.greeted) this.take({ type: "passed", cursor });
  }
}

/** Requests one after the other, told as if they were one connection. */
class PollLink extends Link {
  constructor(request, on) {
    super(request, on);
    // Only what is thrown here can be thrown: `askPage` gives verdicts.
    this.#run().then((end) => this.end(end), (error) => this.end(broken(error)));
  }

  async #run() {
    const { after, timeoutMs, graceMs, pollWaitMs } = this.request;
    // Who begins now only asks where "now" is.
    const first = await this.#ask(after === null ? { after: "0", limit: 1 } : { after, limit: PAGE_EVENTS }, timeoutMs);
    if (first.end) return first.end;
    const { resync, page } = first;
    const head = resync?.cursor ?? { epoch: page.cursor.epoch, seq: page.head };
    const asked = () => parseCursor(after) ?? { epoch: page.cursor.epoch, seq: Math.max(Number(after), page.first - 1) };
    const start = resync || after === null ? head : asked();
    // Before it counts as a connection.
    if (after !== null && page) checkFollows(page, start);
    this.take({ type: "connected", cursor: start, heartbeatMs: pollWaitMs });
    let at = after === null ? { cursor: head, live: true } : this.#pass(first, { cursor: resync ? parseCursor(after) : start });
    // Polls in a row that brought nothing and were not held.
    let idle = 0;
    while (!this.over) {
      const begun = now();
      const wait = at.live ? Math.ceil(pollWaitMs / 1000) : null;
      const query = { after: formatCursor(at.cursor), limit: PAGE_EVENTS, wait };
      const answer = await this.#ask(query, Math.min((at.live ? pollWaitMs : 0) + graceMs, DELAY_MAX_MS));
      if (answer.end) return answer.end;
      const tookMs = now() - begun;
      const next = this.#pass(answer, at);
      const stands = formatCursor(next.cursor) === formatCursor(at.cursor);
      const held = next.live && (!at.live || tookMs >= pollWaitMs / 2);
      idle = stands && !held ? idle + 1 : 0;
      if (idle >= IDLE_POLLS_MAX) throw new SambadError("protocol", `${idle} empty responses in a row, each without waiting`);
      if (stands || (at.live && answer.page?.frames.length === 0)) await this.#pause(POLL_PAUSE_MS - tookMs);
      at = next;
    }
    return unanswered();
  }

  async #ask(query, timeoutMs) {
    const answer = await askPage(this.request.url("/api/events", query), this.abort.signal, timeoutMs, this.request.token);
    this.heard();
    return answer;
  }

  /** Hands on the answer to what was asked at `at`, and says where the next one begins. */
  #pass({ resync, page }, at) {
    if (resync) {
      // A server whose log began anew says so once, and has what follows the position that it names.
      const again = at.resynced || formatCursor(resync.cursor) === formatCursor(at.cursor);
      if (again) throw new SambadError("protocol", `a second resync, right after ${formatCursor(at.cursor)}`);
      this.take(resync);
      return { cursor: resync.cursor, live: true, resynced: true };
    }
    checkFollows(page, at.cursor);
    for (const frame of page.frames) this.take(frame);
    this.take({ type: "passed", cursor: page.cursor });
    const live = at.live || page.cursor.seq >= page.head;
    if (live && !at.live) this.take({ type: "live", cursor: page.cursor });
    return { cursor: page.cursor, live };
  }

  #pause(ms) {
    return new Promise((resume) => {
      const { signal } = this.abort;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resume();
      };
      const timer = setTimeout(done, Math.max(ms, 0));
      signal.addEventListener("abort", done);
    });
  }
}

const LINKS = { websocket: SocketLink, sse: SseLink, poll: PollLink };

// ------------------------------------------------------------------------------------------------------------------ the stream

class EventStream {
  #base;
  #after;
  #filter;
  #asked;
  /** Gives a token, or null if none is to be asked for. */
  #askToken;
  /** What the server is told of who asks; null if a cookie says it, or nobody has to. */
  #token;
  /** Why the next token is asked for. */
  #tokenFor = "connect";
  /** Whether the token was asked for because the server had refused another, and let nobody in since. */
  #askedAfresh = false;
  /** When the last token was sent to a session that goes on by it. */
  #renewedAt = -Infinity;
  #timing;
  #callbacks;
  /** Everything up to here was handed over, or was before the stream; null until it is known. */
  #position;
  /** What is used: that which worked last, or is to be tried next. */
  #transport;
  #works = null;
  /** When a transport was last found not to get through. */
  #steppedDownAt = null;
  /** The connection, or the question whether there could be one. */
  #link = null;
  /** A connection by a better transport, beside the one that works, or the question for its token. */
  #trial = null;
  /** The question for a token by which the session may go on. */
  #renewing = null;
  /** When as many filters may be told at once again as ever, by whatever transport. */
  #filtersFreeAt = -Infinity;
  /** Runs while a filter waits to be told. */
  #filterTimer = null;
  #session = null;
  /** Subscriptions that were sent and not confirmed. */
  #unconfirmed = 0;
  #confirmTimer;
  /** Whether plain HTTP is known to reach the server; where it may not, for want of CORS, it must not stop a WebSocket. */
  #httpWorks;
  /** Whether the last connection did not come about, and HTTP is to be asked first: it tells why, a WebSocket does not. */
  #askFirst = false;
  /** What a server said that has no place left. */
  #full = null;
  #failures = 0;
  #attempt = 0;
  #retryAt = null;
  #retryExact = false;
  #retryTimer;
  #climbTimer;
  #watchTimer;
  #renewTimer;
  #watchDue = 0;
  #heardAt = 0;
  #tickTimer;
  /** How far the time of day was ahead of the clock at the last look. */
  #lead = Infinity;
  /** Pings without an answer. */
  #pings = 0;
  /** The cursor before a hole that made the stream reconnect once. */
  #hole = null;
  #state;
  /** What ends each listening to the page. */
  #listening = [];

  constructor(options) {
    const { url, after, onEvent, onState, onResync, transport, timing, token } = options;
    if (typeof onEvent !== "function") throw new SambadError("invalid_callback", "expected onEvent to be a function");
    this.#base = readBase(url);
    this.#after = readAfter(after);
    this.#position = parseCursor(this.#after);
    this.#filter = readFilter(options);
    this.#asked = readTransport(transport);
    this.#askToken = typeof token === "function" ? token : null;
    this.#token = this.#askToken ? null : readToken(token);
    this.#timing = readTiming(timing);
    this.#callbacks = { onEvent, onState, onResync };
    this.#transport = this.#first();
    this.#httpWorks = !globalThis.location || globalThis.location.origin === this.#base.origin;
    this.#state = { name: "connecting", transport: this.#transport, cursor: this.cursor, attempt: 0 };
    this.#listen();
    this.#tick();
    // Later, so that callbacks find the stream that `connect` has returned.
    queueMicrotask(() => this.#state.name !== "closed" && this.#dial());
  }

  get cursor() {
    return formatCursor(this.#position);
  }

  get state() {
    const state = { ...this.#state, cursor: this.cursor };
    return this.#retryAt === null ? state : { ...state, retryInMs: Math.max(0, Math.ceil(this.#retryAt - now())) };
  }

  subscribe(filter = {}) {
    this.#filter = readFilter(filter);
    this.#endTrial();
    if (this.#state.name === "closed" || !this.#link) return;
    // Until it is confirmed, there may be less than everything.
    if (this.#link.greeted) this.#link.filtered = true;
    this.#filterLater();
  }

  /**
   * Tells the server the filter that is asked for by then: once for all that are set in one turn, and no more often than it bears,
   * as a server closes a session that says too much.
   */
  #filterLater() {
    if (this.#filterTimer !== null) return;
    const tell = () => {
      this.#filterTimer = null;
      this.#tellFilter();
    };
    const pause = this.#filtersFreeAt - (FILTERS_AT_ONCE - 1) * FILTER_PAUSE_MS - now();
    this.#filterTimer = pause > 0 ? setTimeout(tell, pause) : (queueMicrotask(tell), 0);
  }

  #tellFilter() {
    const link = this.#link;
    // A connection that came later, or that waits for a token, has it.
    if (!link || link.asksToken || link.request?.filter === this.#filter || this.#state.name === "closed") return;
    this.#filtersFreeAt = Math.max(this.#filtersFreeAt, now()) + FILTER_PAUSE_MS;
    if (link.greeted && link.send) this.#sendFilter();
    else if (this.#state.name === "connecting") this.#begin();
    else this.#dial();
  }

  #sendFilter() {
    const { types, user } = this.#filter;
    const link = this.#link;
    link.filtered = true;
    // What the connection has from here on, should it be confirmed.
    link.request.filter = this.#filter;
    this.#unconfirmed += 1;
    if (this.#unconfirmed === 1) this.#confirmBy(this.#timing.graceMs);
    link.send({ type: "subscribe", ...(types.length > 0 && { types }), ...(user && { user }) });
  }

  /** Gives a connection up whose server does not confirm a filter; a timer that fires late knows nothing yet, and asks once more. */
  #confirmBy(ms, asked = 1) {
    const [link, due] = [this.#link, now() + ms];
    clearTimeout(this.#confirmTimer);
    this.#confirmTimer = setTimeout(() => {
      if (this.#link !== link) return;
      if (now() - due > LATE_MS && asked === 1) this.#confirmBy(this.#timing.doubtMs, asked + 1);
      else link.end(verdict("retry", new SambadError("silent", `the server did not confirm a filter within ${Math.round(ms)} ms`)));
    }, Math.min(ms, DELAY_MAX_MS));
  }

  reconnect() {
    if (this.#state.name !== "closed") this.#dial();
  }

  close() {
    this.#finish("close");
  }

  // ---- connecting

  #first() {
    if (this.#asked !== "auto") return this.#asked;
    return typeof WebSocket === "function" ? "websocket" : "sse";
  }

  #dial() {
    this.#attempt += 1;
    this.#begin();
    this.#tell("connecting");
  }

  #begin() {
    this.#drop();
    if (!this.#askToken) {
      this.#knock();
      return;
    }
    const reason = this.#tokenFor;
    this.#tokenFor = "reconnect";
    const asking = (this.#link = this.#ask(reason, (end) => {
      if (this.#link !== asking) return;
      if (end) this.#stopped(end);
      else this.#knock();
    }));
  }

  #knock() {
    const known = this.#askFirst && this.#httpWorks && this.#transport !== "poll";
    if (known) this.#probe((end) => (end?.kind === "blocked" ? this.#open(false) : this.#lost(end)));
    else this.#open(false);
  }

  /** Asks the page for a token; then calls `then`, with a verdict if there is none. What it returns can be closed. */
  #ask(reason, then) {
    let timer;
    const tooLate = new Promise((_, reject) => {
      const never = new SambadError("token", `no token within ${TOKEN_TIMEOUT_MS} ms`);
      timer = setTimeout(() => reject(never), TOKEN_TIMEOUT_MS);
    });
    const asking = { asksToken: true, close: () => clearTimeout(timer) };
    const given = (async () => readToken(await this.#askToken({ reason })))();
    Promise.race([given, tooLate])
      .then(
        (token) => {
          if (token) this.#token = token;
          return token ? null : verdict("unauthorized", new SambadError("no_token", "there is no token"));
        },
        // A server that gives tokens may be away, too. What is no token will be none another time.
        (cause) => {
          if (cause instanceof SambadError && cause.code === "invalid_token") return verdict("unauthorized", cause);
          const error = cause instanceof SambadError ? cause : new SambadError("token", `no token: ${cause?.message}`, { cause });
          return verdict("retry", error);
        },
      )
      .then((end) => {
        clearTimeout(timer);
        then(end);
      });
    return asking;
  }

  /** Connects; `proven` says that the server has just answered HTTP. */
  #open(proven) {
    this.#link = this.#newLink(this.#transport);
    this.#link.proven = proven;
  }

  #newLink(transport) {
    const { connectTimeoutMs: timeoutMs, graceMs, pollWaitMs } = this.#timing;
    const filter = this.#filter;
    const [after, token] = [this.cursor ?? this.#after, this.#token];
    const url = (path, query) => this.#url(path, filter, query ?? { after });
    return new LINKS[transport]({ transport, filter, after, url, token, timeoutMs, graceMs, pollWaitMs }, {
      heard: (link) => this.#heard(link),
      frame: (link, frame) => this.#frame(link, frame),
      end: (link, end) => this.#ended(link, end),
    });
  }

  #url(path, { types, user }, query) {
    const url = new URL(this.#base);
    url.pathname = url.pathname.replace(/\/$/, "") + path;
    for (const [name, value] of Object.entries({ ...query, types: types.join(","), user })) {
      if (value !== null && value !== "") url.searchParams.set(name, value);
    }
    return url.href;
  }

  /** Asks by plain HTTP whether the server is there, and would take what it is asked. Connects if so, else calls `failed`. */
  #probe(failed) {
    const abort = new AbortController();
    const probe = { close: () => abort.abort() };
    this.#link = probe;
    const after = this.cursor ?? this.#after;
    const { connectTimeoutMs: ms } = this.#timing;
    const answer = this.#full
      ? askPlace(this.#url("/api/events/stream", this.#filter, { after }), abort.signal, ms, this.#token, this.#full)
      : askPage(this.#url("/api/events", this.#filter, { after: after ?? "0", limit: 1 }), abort.signal, ms, this.#token);
    answer.then(({ end }) => {
      if (this.#link !== probe) return;
      if (["refused", "unauthorized", "forbidden"].includes(end?.kind)) {
        this.#stopped(end);
      } else if (end) {
        failed(end);
      } else {
        this.#httpWorks = true;
        this.#open(true);
      }
    });
  }

  /** Decides what the end of a connection means: the next transport, another attempt, or the end. */
  #ended(link, end) {
    if (link === this.#trial) {
      this.#trial = null;
      this.#climbFrom(link.transport);
      return;
    }
    if (link !== this.#link) return;
    const { kind, error } = end;
    if (["refused", "done", "unauthorized", "forbidden"].includes(kind)) {
      this.#stopped(end);
      return;
    }
    const aboutTheTransport = !link.greeted && link.transport !== "poll" && kind !== "retry";
    if (!aboutTheTransport) {
      this.#lost(end);
    } else if (kind === "silent" && !link.proven) {
      // A server that starts again looks the same. It is the transport only if HTTP is answered just before.
      this.#probe((answer) => this.#lost(answer));
    } else if (this.#asked !== "auto") {
      this.#lost(end);
    } else {
      this.#transport = TRANSPORTS[TRANSPORTS.indexOf(link.transport) + 1];
      this.#steppedDownAt = now();
      this.#open(true);
      this.#tell("connecting", { error });
    }
  }

  /** Ends the stream, as another attempt would end the same way; unless another token may help. */
  #stopped(end) {
    const { kind, error } = end;
    if (kind === "retry") {
      this.#lost(end);
    } else if (kind !== "unauthorized" || !this.#askToken || ["no_token", "invalid_token"].includes(error.code)) {
      this.#finish(kind, kind === "done" ? undefined : error);
    } else if (this.#session !== null) {
      // It had been let in: the usual delay keeps it from coming back without end by tokens that are soon over.
      [this.#askedAfresh, this.#tokenFor] = [true, "unauthorized"];
      this.#lost(verdict("retry", error));
    } else if (!this.#askedAfresh) {
      [this.#askedAfresh, this.#tokenFor] = [true, "unauthorized"];
      this.#dial();
    } else {
      this.#finish(kind, error);
    }
  }

  #lost({ error, delayMs, exact }) {
    const session = this.#session;
    const useful = session !== null && (session.fruitful || now() - session.since >= STABLE_MS);
    // A transport by which only nonsense came will hardly do better: what is between here and the server may keep another alone.
    if (error?.code === "protocol" && !session?.fruitful) this.#leave(this.#link?.transport);
    this.#drop();
    this.#askFirst = session === null;
    this.#full = ["overloaded", "rate_limited"].includes(error?.code) ? error : null;
    const climb = this.#steppedDownAt !== null && now() - this.#steppedDownAt >= this.#timing.climbAfterMs;
    this.#transport = climb ? this.#first() : (this.#works ?? this.#first());
    // Who asked too much does not begin anew.
    if (useful && error?.code !== "rate_limited") this.#failures = 0;
    const { backoffMs, backoffMaxMs } = this.#timing;
    const backoff = Math.random() * Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(this.#failures, 30));
    // What was asked of this session alone was spread by the server; `Retry-After` is the same for everybody: later by up to a
    // quarter. A server that asks to come back at once and is of no use meanwhile meets the backoff.
    const asked = exact ? delayMs : delayMs * (1 + Math.random() / 4);
    let delay = delayMs === null ? backoff : this.#failures === 0 ? asked : Math.max(asked, backoff);
    this.#failures += 1;
    if (this.#isOffline()) {
      delay = Math.max(delay, backoffMaxMs);
      error = new SambadError("offline", "this machine is offline", { cause: error });
    }
    this.#wait(Math.round(delay), delayMs !== null, error);
  }

  /** Uses another transport next: the one below, or after the last the best. */
  #leave(transport) {
    if (this.#asked !== "auto" || !transport) return;
    this.#works = TRANSPORTS[TRANSPORTS.indexOf(transport) + 1] ?? this.#first();
    this.#steppedDownAt = now();
  }

  #wait(delay, exact, error) {
    clearTimeout(this.#retryTimer);
    this.#retryAt = now() + delay;
    this.#retryExact = exact;
    this.#retryTimer = setTimeout(() => this.#dial(), delay);
    this.#tell("reconnecting", { retryInMs: delay, error });
  }

  /** Lets go of the connection, or of the wait for the next. */
  #drop() {
    const link = this.#link;
    this.#link = this.#session = this.#retryAt = null;
    this.#unconfirmed = 0;
    clearTimeout(this.#confirmTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#watchTimer);
    clearTimeout(this.#climbTimer);
    clearTimeout(this.#renewTimer);
    this.#renewing?.close();
    this.#renewing = null;
    link?.close();
    this.#endTrial();
  }

  #finish(reason, error) {
    if (this.#state.name === "closed") return;
    this.#drop();
    clearTimeout(this.#tickTimer);
    clearTimeout(this.#filterTimer);
    for (const end of this.#listening.splice(0)) end();
    this.#tell("closed", { reason, error });
  }

  // ---- climbing back

  #climbLater() {
    clearTimeout(this.#climbTimer);
    if (this.#steppedDownAt === null) return;
    const { climbAfterMs } = this.#timing;
    const delay = Math.max(0, this.#steppedDownAt + climbAfterMs - now());
    this.#climbTimer = setTimeout(() => this.#climbFrom(null), delay);
  }

  /** Tries the transport after `failed`, from the best to the one in use, beside it: a failure costs nothing. */
  #climbFrom(failed) {
    const next = failed === null ? this.#first() : TRANSPORTS[TRANSPORTS.indexOf(failed) + 1];
    if (next !== this.#link?.transport) {
      this.#try(next);
    } else {
      this.#steppedDownAt = now();
      this.#climbLater();
    }
  }

  #try(transport) {
    if (!this.#askToken) {
      this.#trial = this.#newLink(transport);
      return;
    }
    const asking = (this.#trial = this.#ask("reconnect", (end) => {
      if (this.#trial !== asking) return;
      this.#trial = end ? null : this.#newLink(transport);
      if (end) this.#climbFrom(transport);
    }));
  }

  #endTrial() {
    this.#trial?.close();
    this.#trial = null;
  }

  // ---- receiving

  #frame(link, frame) {
    if (link === this.#trial) {
      // It begins where the other one was when it was dialled; what came meanwhile is passed over by its seq.
      this.#trial = null;
      this.#drop();
      this.#link = link;
    }
    if (link !== this.#link) return;
    if (frame.type === "event") this.#event(link, frame.event);
    else if (frame.type === "connected") this.#connected(link, frame);
    else if (frame.type === "resync") this.#resync(frame.reason, frame.cursor, true);
    else if (frame.type === "live") this.#advance(link, frame.cursor) && this.#live();
    else if (frame.type === "passed") this.#advance(link, frame.cursor);
    else if (frame.type === "subscribed") this.#subscribed(link, frame.cursor);
    else if (frame.type === "token_expiring") this.#expiring(link, frame.expiresAt);
    else if (frame.type === "error") this.#error(frame);
  }

  #error({ code, message }) {
    const error = new SambadError(code, message);
    // A token that is not taken is no end yet: the session is the old one's until that is over. But nobody goes on as another.
    if (code === "unauthorized") return;
    if (code === "forbidden") this.#finish("forbidden", error);
    else if (this.#unconfirmed > 0) this.#finish("refused", error);
  }

  /** Goes on by another token, or tells that the one there is ends. */
  #expiring(link, expiresAt) {
    if (!this.#askToken) {
      this.#tell(this.#state.name, { expiresAt });
      return;
    }
    const renew = () => {
      if (this.#link !== link || this.#renewing) return;
      const renewing = (this.#renewing = this.#ask("expiring", (end) => {
        if (this.#renewing !== renewing) return;
        this.#renewing = null;
        // Without one the session goes on up to its end, and a token is asked for then.
        if (end) return;
        this.#renewedAt = now();
        link.send?.({ type: "auth", token: this.#token });
      }));
    };
    clearTimeout(this.#renewTimer);
    if (now() - this.#renewedAt >= RENEW_PAUSE_MS) {
      renew();
      return;
    }
    // By the server's clock, which also ends the session: this machine's may be wrong by years.
    const { since, serverTime } = this.#session;
    const left = (Date.parse(expiresAt) - serverTime - (now() - since)) / 2;
    this.#renewTimer = setTimeout(renew, Math.min(Math.max(left, 1_000) || RENEW_PAUSE_MS, RENEW_PAUSE_MS));
  }

  #connected(link, { cursor, heartbeatMs, serverTime }) {
    this.#transport = this.#works = link.transport;
    this.#attempt = 0;
    this.#askFirst = this.#askedAfresh = false;
    this.#renewedAt = -Infinity;
    this.#session = { start: cursor, heartbeatMs, since: now(), serverTime, live: false, fruitful: false };
    if (link.transport === this.#first()) this.#steppedDownAt = null;
    this.#climbLater();
    this.#pings = 0;
    this.#heardAt = now();
    this.#check();
    const { after } = link.request;
    // A cursor of ours stays until an event, `live` or `resync` moves it: were the connection cut between a `connected` that
    // starts elsewhere and its `resync`, nobody would hear of the loss.
    if (after === null || Number(after) === 0 || Number(after) === cursor.seq) this.#position ??= cursor;
    if (after === null) this.#live();
    else this.#tell("replaying");
  }

  #live() {
    if (this.#session.live) return;
    this.#session.live = true;
    this.#tell("live");
  }

  #event(link, event) {
    const { seq } = event;
    if (seq <= (this.#position ?? this.#session.start).seq && this.#ofThisEpoch()) return;
    if (!this.#advance(link, { epoch: this.#session.start.epoch, seq }, 1)) return;
    this.#session.fruitful = true;
    this.#call("onEvent", event, { cursor: this.cursor, live: this.#session.live, receivedAt: Date.now() });
  }

  #ofThisEpoch() {
    return this.#position === null || this.#position.epoch === this.#session.start.epoch;
  }

  /** Moves the cursor, never back. `events` is how many stand between; if there must be more, that is a loss: gives false. */
  #advance(link, to, events = 0) {
    if (!this.#ofThisEpoch() || to.epoch !== this.#session.start.epoch) {
      link.end(broken(new SambadError("protocol", "the epoch changed without a resync")));
      return false;
    }
    const from = this.#position ?? this.#session.start;
    if (!link.filtered && to.seq > from.seq + events) {
      const before = formatCursor(from);
      if (this.#hole !== before) {
        this.#hole = before;
        link.end(verdict("retry", new SambadError("gap", `the events between ${before} and seq ${to.seq} are missing`)));
        return false;
      }
      // It is not there for whoever asks again either. Saying so is better than standing still.
      this.#resync("loss", { epoch: to.epoch, seq: to.seq - events }, this.#session.live);
      if (link !== this.#link) return false;
    }
    if (this.#position === null || to.seq > this.#position.seq) this.#position = to;
    return true;
  }

  #resync(reason, cursor, live) {
    this.#position = this.#session.start = cursor;
    this.#call("onResync", { reason, cursor: this.cursor });
    if (live && this.#session) this.#live();
  }

  #subscribed(link, cursor) {
    if (!this.#advance(link, cursor)) return;
    this.#unconfirmed = Math.max(0, this.#unconfirmed - 1);
    if (this.#unconfirmed > 0) this.#confirmBy(this.#timing.graceMs);
    else clearTimeout(this.#confirmTimer);
    // Until the last one that is asked for is confirmed, there may be less than everything.
    if (this.#unconfirmed === 0 && this.#filterTimer === null) link.filtered = mayMiss(this.#filter, link.request.token);
  }

  // ---- noticing that a connection is dead

  #heard(link) {
    if (link !== this.#link) return;
    this.#heardAt = now();
    this.#pings = 0;
  }

  #watch(ms) {
    const delay = Math.min(ms, DELAY_MAX_MS);
    clearTimeout(this.#watchTimer);
    this.#watchDue = now() + delay;
    this.#watchTimer = setTimeout(() => this.#check(), delay);
  }

  /**
   * Judges by the time that has passed. A page cannot see the protocol's pings, and asks with one of its own; an event stream has
   * its heartbeat, and a poll its timeout. A check that comes late, as in a page that slept or is hidden, knows nothing yet, as
   * what has arrived meanwhile may stand behind it in the queue: it asks once more. One that comes early, because timers count
   * the time of a suspended machine and the clock does not, waits for the rest.
   */
  #check() {
    const { heartbeatMs } = this.#session;
    const { graceMs, doubtMs } = this.#timing;
    const lateMs = now() - this.#watchDue;
    const isLate = lateMs > LATE_MS;
    const silentMs = now() - this.#heardAt;
    if (this.#link.transport === "poll") return;
    const quietMs = this.#link.send ? heartbeatMs : heartbeatMs + Math.max(graceMs - doubtMs, 0);
    if (this.#pings === 0 && silentMs < quietMs) this.#watch(quietMs - silentMs);
    else if (this.#pings === 0) this.#ping(this.#link.send && !isLate ? graceMs : doubtMs);
    else if (lateMs < 0) this.#watch(-lateMs);
    else if (isLate && this.#pings === 1) this.#ping(doubtMs);
    else this.#link.end(verdict("retry", new SambadError("silent", `no data from the server for ${Math.round(silentMs)} ms`)));
  }

  #ping(patienceMs) {
    this.#pings += 1;
    // The answer to a subscription says where the stream is, that to a ping does not: a filter's cursor would grow old.
    if (this.#link.send && this.#link.filtered) this.#sendFilter();
    else this.#link.send?.({ type: "ping" });
    this.#watch(patienceMs);
  }

  /** Looks at once when the page or the network comes back. */
  #listen() {
    // Not by a signal: Node loses those of a target but for the last one, as soon as it collects garbage.
    const add = (target, type, listener) => {
      target?.addEventListener?.(type, listener);
      this.#listening.push(() => target?.removeEventListener?.(type, listener));
    };
    const { document } = globalThis;
    const back = (doubtful) => {
      this.#tick();
      this.#back(doubtful);
    };
    add(document, "visibilitychange", () => document.visibilityState === "visible" && back(false));
    add(document, "resume", () => back(false));
    add(globalThis, "pageshow", ({ persisted }) => persisted && back(true));
    add(globalThis, "online", () => back(true));
    add(globalThis, "offline", () => this.#gone());
  }

  /** Looks whether the connection is still good; `sleptMs` is how long the machine may have been suspended until now. */
  #back(doubtful, sleptMs = 0) {
    if (this.#retryAt !== null) {
      // What the server asked for stands.
      if (!this.#retryExact || now() + sleptMs >= this.#retryAt) this.#dial();
    } else if (this.#session === null) {
      // A connection that is on its way has its own, short time.
    } else if (this.#link.send) {
      if (this.#pings === 0) this.#ping(this.#timing.doubtMs);
    } else if (doubtful || now() - this.#heardAt > this.#session.heartbeatMs + this.#timing.graceMs) {
      this.#dial();
    }
  }

  /**
   * Notices that the machine was suspended: the clock may have stood still, the time of day did not. It may also have been set,
   * which looks the same: so it judges nothing, and only makes the stream look.
   */
  #tick() {
    const lead = Date.now() - now();
    const leapMs = lead - this.#lead;
    this.#lead = lead;
    clearTimeout(this.#tickTimer);
    this.#tickTimer = setTimeout(() => this.#tick(), TICK_MS);
    if (leapMs < LEAP_MS) return;
    this.#heardAt -= leapMs;
    if (this.#steppedDownAt !== null) this.#steppedDownAt -= leapMs;
    this.#back(false, leapMs);
  }

  #gone() {
    if (!this.#isOffline()) return;
    if (this.#link) this.#link.end?.(verdict("retry", new SambadError("offline", "this machine is offline")));
    else if (this.#retryAt !== null && !this.#retryExact) this.#lost(verdict("retry", null));
  }

  /** Whether there is no network; a server on this machine does not need one. */
  #isOffline() {
    const { hostname } = this.#base;
    const loopback = /^(127\.[0-9.]+|\[::1\]|(.*\.)?localhost)$/.test(hostname);
    return globalThis.navigator?.onLine === false && !loopback;
  }

  // ---- telling

  #tell(name, { retryInMs, error, reason, expiresAt } = {}) {
    this.#state = {
      name,
      transport: this.#transport,
      cursor: this.cursor,
      attempt: this.#attempt,
      ...(retryInMs !== undefined && { retryInMs }),
      ...(error && { error }),
      ...(reason && { reason }),
      ...(expiresAt && { tokenExpiresAt: expiresAt }),
    };
    this.#call("onState", this.#state);
  }

  /** A callback that throws is its owner's matter, and not the stream's. */
  #call(name, ...values) {
    try {
      this.#callbacks[name]?.(...values);
    } catch (error) {
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    }
  }
}
