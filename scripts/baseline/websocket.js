// The guide's WebSocket server: every event goes to every client that is connected at that moment.
import { WebSocket, WebSocketServer } from 'ws';

// Clients have nothing to say here; without a bound of our own ws would accept frames of 100 MiB.
const FRAME_BYTES_MAX = 16 * 1024;

export class WebSocketBroadcaster {
  #server;

  /** Serves `/ws` on an HTTP server. */
  constructor(httpServer) {
    this.#server = new WebSocketServer({ server: httpServer, path: '/ws', maxPayload: FRAME_BYTES_MAX });
    // ws repeats the HTTP server's errors here; they are handled there, but without a listener they would be thrown.
    this.#server.on('error', () => {});
    this.#server.on('connection', (client) => {
      // A reset connection or a broken frame ends this client; without a listener it would end the process.
      client.on('error', () => {});
      client.send(JSON.stringify({ type: 'connected', message: 'WebSocket connected successfully' }));
    });
  }

  emitUserCreated({ id, username, email, created_at }) {
    this.#broadcast('user_created', { id, username, email, created_at });
  }

  emitContactAdded(contact) {
    this.#broadcast('contact_added', contact);
  }

  emitMessageSent(message) {
    this.#broadcast('message_sent', message);
  }

  /** Takes no new clients and asks those that are connected to leave. */
  close() {
    this.#server.close();
    for (const client of this.#server.clients) client.close(1001, 'server is stopping');
  }

  /** Cuts off the clients that did not leave. */
  terminate() {
    for (const client of this.#server.clients) client.terminate();
  }

  #broadcast(type, data) {
    // Encoded once, however many clients there are.
    const event = JSON.stringify({ type, data, timestamp: data.created_at });
    for (const client of this.#server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(event);
    }
  }
}
