/**
 * Opens a stream of a server's events: each once, in `seq` order, across cuts, restarts and sleep.
 *
 * It begins after `after` and goes on by itself until `close()`, or until the server refuses what is asked (`closed` with an
 * `error`). Nothing is called before `connect` has returned.
 *
 * @throws {SambadError} An option cannot be meant: `invalid_url`, `invalid_after`, `invalid_types`, `invalid_user`,
 * `invalid_transport`, `invalid_timing`, `invalid_token` or `invalid_callback`.
 */
export function connect(options: ConnectOptions): EventStream;

export interface ConnectOptions extends Filter {
  /**
   * Base address of the server, `http(s)` or `ws(s)`, with a path prefix if there is one; relative to the page.
   * Default: where this module came from. An empty one, port 0, and a user or password in it throw.
   */
  url?: string | URL;
  /**
   * The position to begin after: a cursor (`"9f3a01c7-1042"`, from `EventInfo`, `stream.cursor` or a `Sambad-Cursor` header) or a
   * seq, of which 0 is the whole stored log. `null` or nothing: from now on.
   */
  after?: string | number | null;
  /**
   * Called with each event, in order. The cursor has moved already: an event whose callback throws is not repeated.
   * It is not awaited, and the next event waits only until it returns.
   */
  onEvent: (event: SambadEvent, info: EventInfo) => void;
  /** Called with each change of state. */
  onState?: (state: StreamState) => void;
  /** Called when events between the position and `resync.cursor` are not to be had: reload what was made of them. */
  onResync?: (resync: Resync) => void;
  /**
   * Who asks, where the server wants to know: a token, or a function that gives one, asked anew before each connection, before
   * the token of a connection ends, and when the server has refused one. It travels in a WebSocket's subprotocols and in an
   * `Authorization` header, never in an address. Nothing: the browser's cookie, if there is one.
   */
  token?: string | TokenFunction | null;
  /** How events travel. Default `"auto"`: the first of them that gets through. Any other is kept to. */
  transport?: "auto" | Transport;
  /** Times, for tests and unusual networks. */
  timing?: Partial<Timing>;
}

/**
 * Gives a token that is valid now.
 *
 * Nothing, or an empty string, ends the stream as `unauthorized`. If it throws, rejects, or gives nothing within 30 s, that
 * counts as a connection that failed: it is asked again, later each time. All tokens must be the same principal's.
 */
export type TokenFunction = (asked: {
  /**
   * Why: the first connection, another one, a token that ends within a minute, or one that was refused: then a kept one will
   * not do. One that is refused after `unauthorized` ends the stream.
   */
  reason: "connect" | "reconnect" | "expiring" | "unauthorized";
}) => string | null | undefined | Promise<string | null | undefined>;

/** Which events; nothing given means all. */
export interface Filter {
  /** Only these types; an empty array is as good as none. */
  types?: readonly (EventType | (string & {}))[] | null;
  /** Only events that involve the user with this id. */
  user?: string | null;
}

export interface EventStream {
  /** The position up to which everything was handed over; `null` before the first connection, unless one was given. */
  readonly cursor: string | null;
  /** The state of this moment: `cursor` and `retryInMs` count on after `onState` was called. */
  readonly state: StreamState;
  /**
   * Replaces the filter. On a WebSocket that is connected: from the next event on, and nothing else changes. Otherwise the stream
   * connects from its cursor, and everything after the cursor is by the new filter: also what happened shortly before the call,
   * if the former filter left it out and the cursor had not yet passed it (a heartbeat or a poll at most). A filter that the server refuses ends the stream.
   * Of several calls in one turn the last one counts, and so it does of more than ten a second. A filter that a WebSocket's server
   * does not confirm within `graceMs` ends that connection; the next one has it.
   * @throws {SambadError} `invalid_types` or `invalid_user`
   */
  subscribe(filter?: Filter): void;
  /** Connects anew at once, without waiting; goes on from the cursor. Does nothing on a closed stream. */
  reconnect(): void;
  /** Ends the stream and frees all it holds; `onState` is told `closed` before it returns, and nothing is called after.
   * In Node 20, a WebSocket whose server hangs keeps the process alive until TCP gives it up. */
  close(): void;
}

/** The ways that events can travel; each asks less of proxies than the one before. */
export type Transport = "websocket" | "sse" | "poll";

/** The types that this version knows; a newer server may send others. */
export type EventType = "user_created" | "contact_added" | "contact_removed" | "message_sent";

interface EventOf<Type extends string, Data> {
  type: Type;
  data: Data;
  /** When it was committed: RFC 3339, UTC, microseconds. */
  timestamp: string;
  /** Its place in the log: 1, 2, 3, … in commit order. */
  seq: number;
}

/** A user was made. */
export type UserCreated = EventOf<"user_created", { id: string; username: string; email: string; created_at: string }>;
/** A user added another to their contacts. */
export type ContactAdded = EventOf<"contact_added", ContactData>;
/** A user removed another from their contacts. */
export type ContactRemoved = EventOf<"contact_removed", ContactData>;
/** A user wrote to another. */
export type MessageSent = EventOf<"message_sent", MessageData>;

export interface ContactData {
  id: string;
  user_id: string;
  user_username: string;
  contact_user_id: string;
  contact_user_username: string;
  created_at: string;
}

export interface MessageData {
  id: string;
  from_user_id: string;
  from_username: string;
  to_user_id: string;
  to_username: string;
  content: string;
  type: string;
  created_at: string;
}

/** One event of the log. Whoever switches over `type` should pass over those that they do not know, as a newer server's. */
export type SambadEvent = UserCreated | ContactAdded | ContactRemoved | MessageSent;

/** What is known of an event beside itself. */
export interface EventInfo {
  /** The position after this event: what to keep, and to give as `after` another time. */
  cursor: string;
  /** Whether the stream had caught up; `false` for what happened before. */
  live: boolean;
  /** When it arrived: milliseconds since 1970, by this machine's clock. */
  receivedAt: number;
}

/**
 * Events were skipped, and the stream goes on from `cursor`.
 * - `cursor_expired`: the log was trimmed beyond the position.
 * - `epoch_changed`: it is another log: the database was made anew or restored.
 * - `cursor_ahead`: the log ends before the position.
 * - `loss`: a seq is missing and stayed so after a reconnect, which no server that keeps its contract causes.
 * - `unknown`: something between this client and the server has removed the reason from the response.
 */
export interface Resync {
  reason: "cursor_expired" | "epoch_changed" | "cursor_ahead" | "loss" | "unknown" | (string & {});
  cursor: string;
}

interface StateOf<Name extends string> {
  name: Name;
  /** What is used or tried. */
  transport: Transport;
  /** As `stream.cursor`. */
  cursor: string | null;
  /** Connections tried since one stood; 0 once it does. */
  attempt: number;
  /**
   * When the session's token ends, RFC 3339: told by a WebSocket's server a minute before, once, as another call with the same
   * `name`. Only where `token` is no function, which would have been asked.
   */
  tokenExpiresAt?: string;
}

/** A connection is on its way; with an `error` if a better transport has just been given up. */
export interface Connecting extends StateOf<"connecting"> {
  error?: SambadError;
}
/** Connected; what happened since the cursor is arriving. */
export interface Replaying extends StateOf<"replaying"> {
  cursor: string | null;
}
/** Caught up: what is committed arrives at once. */
export interface Live extends StateOf<"live"> {
  cursor: string;
}
/** The connection was lost, and there will be another in `retryInMs`. */
export interface Reconnecting extends StateOf<"reconnecting"> {
  /** Milliseconds until the next attempt. */
  retryInMs: number;
  /**
   * Why. Codes of this library: `unreachable`, `timeout`, `connection_lost`, `silent`, `offline`, `gap`, `protocol`, `http`;
   * `token` (the function gave none); others are the server's, of its closes (`drain`, `idle`, `stalled`, `unauthorized`) and
   * refusals (`overloaded`, `unavailable`, `rate_limited`).
   */
  error: SambadError;
}
/** The end. */
export interface Closed extends StateOf<"closed"> {
  /**
   * `close`: by `close()`. `done`: by the server, with nothing wrong and nothing more to come (1000 `done`, which is reserved). `refused`: by the server, and `error` says why.
   * `unauthorized`: the token or cookie is not, or no longer, valid, and there is no other: log in, then connect anew from
   * `cursor`. `forbidden`: it does not allow this, or an operator has closed the session.
   */
  reason: "close" | "done" | "refused" | "unauthorized" | "forbidden";
  error?: SambadError;
}

export type StreamState = Connecting | Replaying | Live | Reconnecting | Closed;

/** Milliseconds each, 0 or more; what is undefined keeps its default, and the longest is 2^31 − 1, some 25 days. */
export interface Timing {
  /** The first delay before a reconnect is at most this, and doubles with each failure; each is drawn from 0 up. Default 250. */
  backoffMs: number;
  /** The longest such delay. Default 30,000. */
  backoffMaxMs: number;
  /** A connection's time up to the server's first frame. Default 6,000. */
  connectTimeoutMs: number;
  /** How long past the server's heartbeat silence is borne. Default 10,000. */
  graceMs: number;
  /** The same where there is reason to doubt: after sleep, or when the network has changed. Default 3,000. */
  doubtMs: number;
  /** How long the server may hold a poll that finds nothing: whole seconds, at most 30. Default 25,000. */
  pollWaitMs: number;
  /** How long a lower transport is used before a better one is tried, beside it. Default 600,000. */
  climbAfterMs: number;
}

/** Why a stream does not go on, or not at the moment. */
export class SambadError extends Error {
  constructor(code: string, message: string, more?: { status?: number | null; requestId?: string | null; cause?: unknown });
  /** Stable, for programs; `message` is for people. */
  readonly code: string;
  /** The status of an HTTP answer, if it was one. */
  readonly status: number | null;
  /** The server's id of the request, if it gave one. */
  readonly requestId: string | null;
}
