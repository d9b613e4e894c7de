/** A server that says what it is told to, right or wrong: for what the real one never does. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
export const EPOCH = "0000abcd";

/** Starts it; `play(session, number, after)` is called for each WebSocket or event stream, counted from 0. */
export async function startHostile(t, play) {
  const hostile = new Hostile(play);
  t.after(() => hostile.close());
  await hostile.listen();
  return hostile;
}

class Hostile {
  /** When each session was asked for, and after what. */
  asked = [];
  #server = http.createServer((request, response) => this.#answer(request, response));
  #sockets = new Set();
  #play;

  constructor(play) {
    this.#play = play;
    this.#server.on("upgrade", (request, socket) => this.#upgrade(request, socket));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  close() {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #begin(request, session) {
    const { searchParams } = new URL(request.url, "http://x");
    const [after, types] = [searchParams.get("after"), searchParams.get("types")];
    const number = this.asked.push({ at: Date.now(), after, types }) - 1;
    this.#play(session, number, after);
  }

  #upgrade(request, socket) {
    socket.on("error", () => {});
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n");
    socket.write(`sec-websocket-accept: ${accept}\r\n\r\n`);
    this.#begin(request, {
      websocket: true,
      send: (text) => socket.write(frame(1, Buffer.from(text))),
      bytes: (bytes) => socket.write(frame(2, bytes)),
      end: (code, reason = "") => {
        const head = Buffer.alloc(2);
        head.writeUInt16BE(code);
        socket.end(frame(8, Buffer.concat([head, Buffer.from(reason)])));
      },
      cut: () => socket.destroy(),
    });
  }

  #answer(request, response) {
    const { pathname } = new URL(request.url, "http://x");
    if (pathname === "/api/events") {
      // It is there, as far as anybody asks.
      response.end(JSON.stringify({ events: [], cursor: `${EPOCH}-0`, head: 0, first: 1 }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    this.#begin(request, {
      websocket: false,
      send: (text) => response.write(`data: ${text}\n\n`),
      bytes: (bytes) => response.write(bytes),
      end: (_, reason = "") => response.end(/=([0-9]+)/.test(reason) ? `retry: ${/=([0-9]+)/.exec(reason)[1]}\n\n` : ""),
      cut: () => response.destroy(),
    });
  }
}

/** A frame of a server: whole, not masked. Source: RFC 6455, 5.2. */
function frame(opcode, payload) {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 1 << 16 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (length < 126) head[1] = length;
  else if (length < 1 << 16) head.writeUInt16BE(length, head.writeUInt8(126, 1));
  else head.writeBigUInt64BE(BigInt(length), head.writeUInt8(127, 1));
  return Buffer.concat([head, payload]);
}

export const connected = (seq, heartbeat_s = 25) =>
  JSON.stringify({ type: "connected", data: { session: "x", cursor: `${EPOCH}-${seq}`, head: seq, first: 1, heartbeat_s } });
export const live = (seq) => JSON.stringify({ type: "live", data: { cursor: `${EPOCH}-${seq}` } });
export const event = (seq, type = "user_created") =>
  JSON.stringify({ type, data: { id: String(seq) }, timestamp: "2025-01-15T12:00:00.000000Z", seq });
