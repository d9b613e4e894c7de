/** Sambad's event stream for web pages and Node. Example and recipes: docs/sambad-js.md. */

export type EventType = "user_created" | "contact_added" | "contact_removed" | "message_sent";
export type Transport = "websocket" | "sse" | "poll";

/** An event of the log, as the server sends it. */
export interface SambadEvent<Data = Record<string, unknown>> {
  type: EventType;
  data: Data;
  /** When it was committed: RFC 3339, UTC, microseconds. */
  timestamp: string;
  /** Its place in the log: 1, 2, 3, … without holes. */
  seq: number;
}

export interface EventInfo {
  /** The position after this event: store it to go on from here, `connect({ after: cursor })`. Null only before the server has told the log's epoch. */
  cursor: string | null;
  /** False while the stream catches up with what happened before it came. */
  live: boolean;
  /** `Date.now()` when it arrived. */
  receivedAt: number;
}

export interface Filter {
  /** Types to receive; none or an empty list: all. */
  types?: EventType[];
  /** Events that involve this user (a UUID). */
  user?: string;
}

export interface State {
  name: "connecting" | "replaying" | "live" | "reconnecting" | "closed";
  /** Absent only when a stream was closed before it began. */
  transport?: Transport;
  cursor: string | null;
  /** With `connecting` and `reconnecting`: attempts since the stream was last stable. */
  attempt?: number;
  /** With `reconnecting`: the time until the next attempt, in milliseconds. */
  retryInMs?: number;
  /** With `live` after a resync: its reason. */
  reason?: ResyncReason;
  /**
   * Why the stream is not live, or what the server refused. Codes are the server's (docs/protocol.md), or: `unreachable`,
   * `offline`, `silent` (nothing was heard, not even an answer to a ping), `no_greeting`, `gap` (a seq was missing; the stream
   * goes on from its cursor), `message_too_large`, `invalid_answer`, `closed_<code>`, `http_<status>`.
   */
  error?: SambadError | null;
}

export type ResyncReason = "cursor_expired" | "epoch_changed" | "cursor_ahead";

export interface Options extends Filter {
  /** Base address of the server, http(s) or ws(s). Default: where this module came from. */
  url?: string | URL;
  /** Go on after this cursor or seq; 0 is the whole stored log. Default: from now on. */
  after?: string | number;
  /** Called for each event, once, in order, synchronously; what it throws is reported and does not break the stream. */
  onEvent?: (event: SambadEvent, info: EventInfo) => void;
  onState?: (state: State) => void;
  /** The position asked for cannot be served: whoever keeps state loads it anew. The stream goes on from `cursor`. */
  onResync?: (resync: { reason: ResyncReason; cursor: string }) => void;
  /** Transports to use, in this order. Default: all, where Node without a global WebSocket begins with "sse". */
  transports?: Transport[];
  /** How long a fallback is kept before the first transport is tried again. Default: 600000 (ten minutes). */
  climbAfterMs?: number;
}

export interface Stream {
  /** The position reached; null until the server has told one. */
  readonly cursor: string | null;
  /** The latest state; null until the stream begins, which is after the current task. */
  readonly state: State | null;
  /** Replaces the filter, from the next event on. Without arguments: everything. */
  subscribe(filter?: Filter): void;
  /** Connects anew now, without waiting for a backoff. */
  reconnect(): void;
  /** Ends the stream and frees all that it holds. No callback follows but the state `closed`. */
  close(): void;
}

/**
 * Opens a stream. It connects after the current task and lives until `close()`, or until the server refuses it for good: then
 * its state is `closed` with an error.
 *
 * @throws {SambadError} `invalid_url`, `invalid_cursor` or `invalid_transport`, at once.
 */
export function connect(options?: Options): Stream;

/** What the server, or the way to it, refuses. */
export class SambadError extends Error {
  readonly code: string;
  constructor(code: string, message: string);
}
