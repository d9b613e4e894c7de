/** A real server in a process of its own, a proxy that can be told what to break, and a stream whose callbacks can be awaited. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { connect } from "../sambad.js";

const BINARY = process.env.SAMBAD_TEST_SERVER ?? fileURLToPath(new URL("../../../target/debug/sambad-server", import.meta.url));
/** Longer than anything here takes; only a failure waits for it. */
const PATIENCE_MS = 30_000;
/** How a WebSocket's text frame begins. Source: RFC 6455, 5.2. */
const TEXT_FRAME = 0x81;
const REFUSAL = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
/** Short delays, so that a reconnect takes no time. */
export const QUICK = { backoffMs: 20, backoffMaxMs: 200, connectTimeoutMs: 5_000 };
export const TRANSPORTS = typeof WebSocket === "function" ? ["websocket", "sse", "poll"] : ["sse", "poll"];
export const FIRST = TRANSPORTS[0];

setFlagsFromString("--expose-gc");
/** Has the garbage collected now that would be some time later. */
export const collectGarbage = runInNewContext("gc");

/** Starts a server on a free port and a database of its own; it and they are gone when the test ends. */
export async function startServer(t, ...flags) {
  const directory = await mkdtemp(join(tmpdir(), "sambad-js-"));
  const server = new Server(directory, flags);
  t.after(async () => {
    await server.kill();
    await rm(directory, { recursive: true });
  });
  await server.start();
  return server;
}

/** The same, where everybody has to say who they are; `post` and `users` do. */
export async function startGuardedServer(t) {
  const directory = await mkdtemp(join(tmpdir(), "sambad-js-keys-"));
  t.after(() => rm(directory, { recursive: true }));
  const keys = join(directory, "keys.json");
  await run("key", "generate", keys);
  const server = await startServer(t, "--auth", "token", "--auth-key", keys);
  server.keys = keys;
  server.headers.authorization = `Bearer ${await server.token("service")}`;
  return server;
}

/** What a command of the server's binary prints. */
async function run(...args) {
  const { stdout } = await promisify(execFile)(BINARY, args);
  return stdout.trim();
}

class Server {
  #directory;
  #database = 0;
  #child = null;
  #users = 0;
  port = 0;
  flags;
  /** What every request of this object has. */
  headers = { "content-type": "application/json" };
  keys = null;

  constructor(directory, flags) {
    this.#directory = directory;
    this.flags = flags;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts on the port that it had before, and returns when it listens. */
  async start() {
    const flags = ["--listen", `127.0.0.1:${this.port}`, "--database", this.#address, ...this.flags];
    const child = spawn(BINARY, flags, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let talk = "";
    child.stderr.on("data", (chunk) => (talk += chunk));
    child.stdout.setEncoding("utf8");
    const listens = new Promise((resolve, reject) => {
      child.stdout.on("data", (chunk) => {
        talk += chunk;
        const found = /listening on http:\/\/127\.0\.0\.1:([0-9]+)/.exec(talk);
        if (found) resolve(Number(found[1]));
      });
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`the server has ended: ${talk}`)));
    });
    this.port = await listens;
  }

  get #address() {
    return `sqlite:${this.#directory}/${this.#database}.db`;
  }

  /** A new token. */
  async token(role, ttl = "1h") {
    const args = ["--role", role, "--subject", "test", "--ttl", ttl, "--auth-key", this.keys, "--database", this.#address];
    return (await run("token", "create", ...args)).split("\n").at(-1);
  }

  revoke(token) {
    return run("token", "revoke", token, "--auth-key", this.keys, "--database", this.#address);
  }

  kill() {
    return this.#signal("SIGKILL");
  }

  terminate() {
    return this.#signal("SIGTERM");
  }

  pause() {
    this.#child.kill("SIGSTOP");
  }

  /** The next start is on a database that is new. */
  forget() {
    this.#database += 1;
  }

  async #signal(signal) {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  async post(path, body) {
    const request = { method: "POST", headers: this.headers, body: JSON.stringify(body) };
    const response = await fetch(this.url + path, request);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Makes `count` users: as many events. Returns the last one. */
  async users(count = 1) {
    let user;
    for (let made = 0; made < count; made += 1) {
      this.#users += 1;
      user = await this.post("/api/users/login", { phone: `+9198${String(this.#users).padStart(8, "0")}` });
    }
    return user;
  }

  /** Waits until somebody listens: between two polls nobody does. */
  async listened() {
    for (;;) {
      const { sessions } = await (await fetch(`${this.url}/api/health`)).json();
      if (sessions > 0) return;
      await new Promise((resume) => setTimeout(resume, 5));
    }
  }

  async cursor() {
    const response = await fetch(`${this.url}/api/admin/analytics`);
    await response.text();
    return response.headers.get("sambad-cursor");
  }
}

/** A TCP proxy in front of `server`. */
export async function startProxy(t, server) {
  const proxy = new Proxy(server);
  t.after(() => proxy.close());
  await proxy.listen();
  return proxy;
}

class Proxy {
  #server;
  #listener = net.createServer((socket) => this.#accept(socket));
  #pairs = new Set();
  #waiting = [];
  #stalled = false;
  /** What is done to a request: `pass`, `refuse` (an answer of its own), `hold` (no byte comes back), `trickle`, by kind. */
  rules = { websocket: "pass", sse: "pass", poll: "pass" };
  /** Called before a text frame of a client is passed on. */
  onText = () => {};
  /** Requests so far: `{ kind, path, at }`. */
  requests = [];

  constructor(server) {
    this.#server = server;
  }

  async listen() {
    this.#listener.listen(0, "127.0.0.1");
    await once(this.#listener, "listening");
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  close() {
    this.cut();
    this.#listener.close();
  }

  cut() {
    for (const { client, upstream } of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
  }

  /** From now on nothing passes, in either direction, and nobody is told; new connections are accepted, and that is all. */
  stall() {
    this.#stalled = true;
  }

  /** New connections pass again; what was stalled stays so. */
  recover() {
    this.#stalled = false;
    for (const pair of this.#pairs) pair.dead = true;
  }

  /** Resolves with the next request, of this kind if one is given. */
  next(kind) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`never: a request by ${kind}`)), PATIENCE_MS);
      this.#waiting.push({ kind, resolve: (request) => resolve(request, clearTimeout(timer)) });
    });
  }

  count(kind) {
    return this.requests.filter((request) => request.kind === kind).length;
  }

  #accept(client) {
    const pair = { client, upstream: net.connect(this.#server.port, "127.0.0.1"), dead: false, held: false };
    this.#pairs.add(pair);
    const { upstream } = pair;
    const blocked = () => pair.dead || this.#stalled;
    client.on("data", (chunk) => {
      if (blocked()) return;
      if (chunk[0] === TEXT_FRAME) this.onText();
      const rule = this.#rule(chunk.toString("latin1"));
      if (rule === "refuse") client.end(REFUSAL);
      else upstream.write(rule === "trickle" ? withoutEncodings(chunk) : chunk);
      pair.held ||= rule === "hold";
      pair.trickles = rule === "trickle";
    });
    upstream.on("data", (chunk) => {
      if (blocked() || pair.held) return;
      if (pair.trickles) trickle(upstream, client, chunk);
      else client.write(chunk);
    });
    for (const socket of [client, upstream]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        // Who is stalled does not hear of it.
        if (blocked() && socket === upstream) return;
        this.#pairs.delete(pair);
        client.destroy();
        upstream.destroy();
      });
    }
  }

  #rule(text) {
    const path = /^GET (\S+) HTTP/.exec(text)?.[1];
    if (!path) return "pass";
    const kind = /\/ws(\?|$)/.test(path) ? "websocket" : path.includes("/api/events/stream") ? "sse" : "poll";
    const request = { kind, path, at: Date.now() };
    this.requests.push(request);
    this.#waiting = this.#waiting.filter((waiter) => {
      const meant = waiter.kind === undefined || waiter.kind === kind;
      if (meant) waiter.resolve(request);
      return !meant;
    });
    return this.rules[kind];
  }
}

/** A request that takes no compressed answer: what is slow has to be long. */
function withoutEncodings(chunk) {
  return Buffer.from(chunk.toString("latin1").replace(/^accept-encoding:.*\r\n/im, ""), "latin1");
}

/** Passes a chunk on in pieces, and takes no other meanwhile: a network of some 12 kB/s. */
async function trickle(upstream, client, chunk) {
  upstream.pause();
  for (let at = 0; at < chunk.length && client.writable; at += 256) {
    client.write(chunk.subarray(at, at + 256));
    await new Promise((resume) => setTimeout(resume, 20));
  }
  upstream.resume();
}

/** Opens a stream that remembers what it was told; it is closed when the test ends. */
export function watch(t, options) {
  const watcher = new Watcher(options);
  t.after(() => watcher.stream.close());
  return watcher;
}

class Watcher {
  events = [];
  infos = [];
  states = [];
  resyncs = [];
  /** Everything in the order it was told. */
  log = [];
  stream;
  #waiting = new Set();

  constructor({ onEvent, timing, ...options }) {
    this.stream = connect({
      ...options,
      timing: { ...QUICK, ...timing },
      onEvent: (event, info) => {
        this.events.push(event);
        this.infos.push(info);
        this.#told(`event ${event.seq}`);
        onEvent?.(event, info);
      },
      onState: (state) => {
        this.states.push({ ...state, at: Date.now() });
        this.#told(`${state.name} ${state.transport}${state.error ? ` ${state.error.code}` : ""}`);
      },
      onResync: (resync) => {
        this.resyncs.push(resync);
        this.#told(`resync ${resync.reason}`);
      },
    });
  }

  get seqs() {
    return this.events.map((event) => event.seq);
  }

  get names() {
    return this.states.map((state) => state.name);
  }

  /** Resolves when `condition` holds after something was told; fails with all that was. */
  until(condition) {
    return new Promise((resolve, reject) => {
      const never = () => reject(new Error(`never: ${condition}; told:\n${this.log.slice(-40).join("\n")}`));
      const timer = setTimeout(never, PATIENCE_MS);
      const look = () => {
        if (!condition(this)) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  live() {
    return this.until(({ stream }) => stream.state.name === "live");
  }

  event(seq) {
    return this.until(({ events }) => events.at(-1)?.seq >= seq);
  }

  #told(line) {
    this.log.push(line);
    for (const look of this.#waiting) look();
  }
}

/** 1, 2, … as far as `last`, from `first`. */
export const range = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => first + at);
