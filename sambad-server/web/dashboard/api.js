/** The server's REST interface; every answer to a read comes with the cursor it is true at. */

/** The server's root: the page also works behind a path prefix. */
export const BASE = new URL("../", import.meta.url);

const TIMEOUT_MS = 10_000;

export class ApiError extends Error {
  /** @param {string} message @param {{status?: number, code?: string, retryAfterMs?: number | null}} facts */
  constructor(message, { status = 0, code = "", retryAfterMs = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Called with what each answer says of the server's clock. @type {(sample: object) => void} */
let onClockSample = () => {};
export function watchClock(callback) {
  onClockSample = callback;
}

/** Called when the server wants to know who asks, or no longer takes the answer. @type {() => void} */
let onUnauthorized = () => {};
export function watchRights(callback) {
  onUnauthorized = callback;
}

/** The server refused whoever looks at the page. */
export const unauthorized = () => onUnauthorized();

/**
 * @param {string} path relative to the server's root, or the address of a next page
 * @returns {Promise<{value: any, epoch: string, seq: number, next: string | null}>}
 * @throws {ApiError} unless `signal` aborted it, which throws its reason
 */
export async function get(path, { signal = null } = {}) {
  try {
    return await request(path, { method: "GET" }, signal);
  } catch (error) {
    if (error.status === 401) unauthorized();
    throw error;
  }
}

/**
 * Asks for a change. A 401 is the caller's matter.
 * @param {"POST" | "DELETE"} method @param {string} path @param {object} [body]
 * @throws {ApiError}
 */
export function send(method, path, body) {
  const json = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return request(path, { method, ...json }, null);
}

async function request(path, init, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const url = new URL(path, BASE);
  const sentAt = Date.now();
  let response;
  try {
    response = await fetch(url, { ...init, signal: signal ? AbortSignal.any([signal, timeout]) : timeout, cache: "no-store" });
    const receivedAt = Date.now();
    const { headers } = response;
    onClockSample({ sentAt, receivedAt, date: headers.get("date"), requestId: headers.get("x-request-id") });
    if (!response.ok) throw await refused(response);
    const [epoch, seq] = (headers.get("sambad-cursor") ?? "").split("-");
    return { value: await response.json(), epoch, seq: Number(seq), next: nextPage(headers.get("link"), url) };
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    if (timeout.aborted) throw new ApiError("The server has not responded for 10 seconds.");
    throw new ApiError(response ? "The server’s response is incomplete." : "The server cannot be reached.");
  }
}

async function refused(response) {
  const body = await response.json().catch(() => null);
  const retryAfter = Number(response.headers.get("retry-after"));
  return new ApiError(body?.error ?? `The server responded with status ${response.status}.`, {
    status: response.status,
    code: body?.code ?? "",
    retryAfterMs: retryAfter > 0 ? retryAfter * 1_000 : null,
  });
}

/** The server names the next page from its own root, which a prefix may lie before: only the query is taken. */
function nextPage(link, url) {
  const match = /<[^>?]*\?([^>]*)>;\s*rel="next"/.exec(link ?? "");
  return match ? `${url.origin}${url.pathname}?${match[1]}` : null;
}

/** What went wrong, in words for people. @param {unknown} error */
export function inWords(error) {
  if (!(error instanceof ApiError)) return "There is an error in this page.";
  if (error.status === 503) return `The server is up but cannot handle the request now (503: ${error.message}).`;
  if (error.status >= 500) return `The server failed with an internal error (${error.status}).`;
  if (error.status === 404) return "Not found (404).";
  return error.message;
}
