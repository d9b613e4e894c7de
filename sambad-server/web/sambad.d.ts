/**
 * Opens a stream of a server's events. It delivers each event once, in `seq` order, across lost connections, restarts of the
 * server and sleep of the machine.
 *
 * The stream starts after the position `after`. It reconnects automatically until `close()` is called or the server rejects
 * it (state `closed` with an `error`). It calls no callback before `connect` has returned.
 *
 * @throws {SambadError} An option is invalid: `invalid_url`, `invalid_after`, `invalid_types`, `invalid_user`,
 * `invalid_transport`, `invalid_timing`, `invalid_token` or `invalid_callback`.
 */
export function connect(options: ConnectOptions): EventStream;

export interface ConnectOptions extends Filter {
  /**
   * Base URL of the server: `http(s)` or `ws(s)`, with the path prefix if there is one; relative to the page.
   * Default: the server that this module was loaded from. `connect` throws for an empty URL, port 0, and a user or password
   * in the URL.
   */
  url?: string | URL;
  /**
   * The position after which the stream starts: a cursor (`"9f3a01c7-1042"`, from `EventInfo`, `stream.cursor` or a
   * `Sambad-Cursor` header) or a seq; seq 0 gives the whole stored log. Default (`null` or omitted): new events only.
   */
  after?: string | number | null;
  /**
   * Called with each event, in order. The cursor has already moved: if the callback throws, the event is not repeated.
   * A returned promise is not awaited: the next event waits only until the callback returns.
   */
  onEvent: (event: SambadEvent, info: EventInfo) => void;
  /** Called with each change of state. */
  onState?: (state: StreamState) => void;
  /** Called when the events between the position and `resync.cursor` are not available: reload the state that depends on them. */
  onResync?: (resync: Resync) => void;
  /**
   * The token to authenticate with, if the server requires authentication; or a function that returns a token. The function is
   * called before each connection, before the token of a connection expires, and after the server has rejected a token.
   * The token is sent in a WebSocket's subprotocols or in an `Authorization` header, never in a URL.
   * Default: the browser's cookie, if there is one.
   */
  token?: string | TokenFunction | null;
  /** The transport. Default `"auto"`: the first one that works. With any other value, the stream uses only that transport. */
  transport?: "auto" | Transport;
  /** Times, for tests and unusual networks. */
  timing?: Partial<Timing>;
}

/**
 * Returns a token that is valid now.
 *
 * If the function returns nothing or an empty string, the stream closes as `unauthorized`. If it throws, rejects or does not
 * settle within 30 s, this counts as a failed connection: the function is called again, after a growing delay. All tokens must
 * belong to the same principal.
 */
export type TokenFunction = (request: {
  /**
   * The reason for the call: the first connection, a reconnect, a token that expires within a minute, or a rejected token. For
   * `unauthorized`, return a new token instead of a cached one: if the server rejects it too, the stream closes.
   */
  reason: "connect" | "reconnect" | "expiring" | "unauthorized";
}) => string | null | undefined | Promise<string | null | undefined>;

/** Selects events; an empty filter selects all. */
export interface Filter {
  /** Only these types; an empty array means all types. */
  types?: readonly (EventType | (string & {}))[] | null;
  /** Only events that involve the user with this id. */
  user?: string | null;
}

export interface EventStream {
  /** The position up to which all events were delivered; `null` before the first connection, unless `after` is a cursor. */
  readonly cursor: string | null;
  /** The current state. Its `cursor` and `retryInMs` continue to change after the call of `onState`. */
  readonly state: StreamState;
  /**
   * Replaces the filter.
   * - On a connected WebSocket, the new filter applies from the next event on. The connection stays open.
   * - Otherwise the stream reconnects from its cursor, and the new filter applies to all events after the cursor. These can
   *   include events from shortly before the call (at most one heartbeat or one poll), which the old filter excluded and the
   *   cursor had not yet passed.
   * - If the server rejects the filter, the stream closes.
   * - If there are several calls in one turn, or more than ten per second, the last one counts.
   * - If the server does not confirm a filter within `graceMs`, the stream drops that WebSocket; the next connection uses the
   *   new filter.
   * @throws {SambadError} `invalid_types` or `invalid_user`
   */
  subscribe(filter?: Filter): void;
  /** Reconnects immediately and resumes from the cursor. Does nothing on a closed stream. */
  reconnect(): void;
  /**
   * Closes the stream and frees its resources. `onState` receives `closed` before `close` returns; after that, no callback is
   * called. In Node 20, a WebSocket to a server that hangs keeps the process alive until TCP times out.
   */
  close(): void;
}

/** The transports, in the order of fallback; each one works with more proxies than the one before. */
export type Transport = "websocket" | "sse" | "poll";

/** The event types that this version knows; a newer server can send others. */
export type EventType = "user_created" | "contact_added" | "contact_removed" | "message_sent";

interface EventOf<Type extends string, Data> {
  type: Type;
  data: Data;
  /** Time of the commit: RFC 3339, UTC, microseconds. */
  timestamp: string;
  /** Position in the log: 1, 2, 3, … in commit order. */
  seq: number;
}

/** A user was created. */
export type UserCreated = EventOf<"user_created", { id: string; username: string; email: string; created_at: string }>;
/** A user added a contact. */
export type ContactAdded = EventOf<"contact_added", ContactData>;
/** A user removed a contact. */
export type ContactRemoved = EventOf<"contact_removed", ContactData>;
/** A user sent a message to another user. */
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

/** One event of the log. Code that switches over `type` should ignore unknown types: a newer server can send them. */
export type SambadEvent = UserCreated | ContactAdded | ContactRemoved | MessageSent;

/** Information about the delivery of an event. */
export interface EventInfo {
  /** The position after this event. Store it, and pass it as `after` later. */
  cursor: string;
  /** `true` if the stream had caught up; `false` for replayed events. */
  live: boolean;
  /** Time of arrival: milliseconds since 1970, by this machine's clock. */
  receivedAt: number;
}

/**
 * Events were skipped, and the stream continues after `cursor`.
 * - `cursor_expired`: the log was trimmed past the position.
 * - `epoch_changed`: the log is a different one, because the database was created again or restored.
 * - `cursor_ahead`: the log ends before the position.
 * - `loss`: a seq is missing, also after a reconnect. A server that follows the contract never causes this.
 * - `unknown`: a proxy removed the reason from the response.
 */
export interface Resync {
  reason: "cursor_expired" | "epoch_changed" | "cursor_ahead" | "loss" | "unknown" | (string & {});
  cursor: string;
}

interface StateOf<Name extends string> {
  name: Name;
  /** The transport in use, or the one that is tried. */
  transport: Transport;
  /** The same as `stream.cursor`. */
  cursor: string | null;
  /** Number of attempts since the last working connection; 0 while connected. */
  attempt: number;
  /**
   * The time when the session's token expires, RFC 3339. On a WebSocket, the server announces it once, a minute before:
   * `onState` is then called again with the same `name`. Only if `token` is not a function; a function is called instead.
   */
  tokenExpiresAt?: string;
}

/** The stream is connecting; with an `error` if it has just fallen back from a better transport. */
export interface Connecting extends StateOf<"connecting"> {
  error?: SambadError;
}
/** Connected; the events since the cursor are arriving. */
export interface Replaying extends StateOf<"replaying"> {
  cursor: string | null;
}
/** Caught up: new events arrive immediately. */
export interface Live extends StateOf<"live"> {
  cursor: string;
}
/** The connection was lost; the stream reconnects in `retryInMs`. */
export interface Reconnecting extends StateOf<"reconnecting"> {
  /** Milliseconds until the next attempt. */
  retryInMs: number;
  /**
   * The reason. Codes of this library: `unreachable`, `timeout`, `connection_lost`, `silent`, `offline`, `gap`, `protocol`,
   * `http`, and `token` (the function returned no token). Other codes come from the server: from a close (`drain`, `idle`,
   * `stalled`, `unauthorized`) or an error response (`overloaded`, `unavailable`, `rate_limited`).
   */
  error: SambadError;
}
/** The stream has ended. */
export interface Closed extends StateOf<"closed"> {
  /**
   * - `close`: `close()` was called.
   * - `done`: the server ended the stream without an error, and has no more events (close code 1000 `done`, which is reserved).
   * - `refused`: the server rejected the stream; `error` has the reason.
   * - `unauthorized`: the token or cookie is invalid or has expired, and there is no other. Log in, then call `connect` again
   *   with `cursor` as `after`.
   * - `forbidden`: the token or cookie does not have permission, or an operator has closed the session.
   */
  reason: "close" | "done" | "refused" | "unauthorized" | "forbidden";
  error?: SambadError;
}

export type StreamState = Connecting | Replaying | Live | Reconnecting | Closed;

/** All values are milliseconds from 0 to 2^31 − 1 (about 25 days); an undefined value keeps its default. */
export interface Timing {
  /** Maximum of the first delay before a reconnect. It doubles with each failure; each delay is random between 0 and the maximum.
   * Default 250. */
  backoffMs: number;
  /** Upper limit of that maximum. Default 30,000. */
  backoffMaxMs: number;
  /** Timeout of a connection until the server's first frame. Default 6,000. */
  connectTimeoutMs: number;
  /** Tolerated silence beyond the server's heartbeat interval. Default 10,000. */
  graceMs: number;
  /** Tolerated silence after sleep or a change of the network. Default 3,000. */
  doubtMs: number;
  /** Time for which the server holds an empty poll: whole seconds, at most 30,000. Default 25,000. */
  pollWaitMs: number;
  /** Time on a fallback transport before the stream tries a better one in parallel. Default 600,000. */
  climbAfterMs: number;
}

/** The reason why a stream has ended or is disconnected. */
export class SambadError extends Error {
  constructor(code: string, message: string, more?: { status?: number | null; requestId?: string | null; cause?: unknown });
  /** Stable code for programs; `message` is for people. */
  readonly code: string;
  /** The status of the HTTP response, if there was one. */
  readonly status: number | null;
  /** The server's id of the request, if it sent one. */
  readonly requestId: string | null;
}
