// The guide's backend: Express answers, SQLite stores, ws tells every client. One process, one database file.
//
//   node server.js [--port 4000] [--host 127.0.0.1] [--db baseline.db]      or PORT, HOST, DB in the environment
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { createApp } from './app.js';
import { openDatabase } from './database.js';
import { WebSocketBroadcaster } from './websocket.js';

// How long clients may take to answer the close frame, and requests to end, before SIGTERM cuts them off.
const SHUTDOWN_GRACE_MS = 1_000;

function fail(message) {
  console.error(`baseline: ${message}`);
  process.exit(1);
}

function readSettings() {
  const options = { port: { type: 'string' }, host: { type: 'string' }, db: { type: 'string' } };
  const { values } = parseArgs({ options });
  const port = values.port ?? process.env.PORT ?? '4000';
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) throw new Error(`not a port: ${port}`);
  return {
    port: Number(port),
    // Nobody is authenticated, so only this machine is served unless told otherwise.
    host: values.host ?? process.env.HOST ?? '127.0.0.1',
    file: values.db ?? process.env.DB ?? 'baseline.db',
  };
}

function start({ port, host, file }) {
  const database = openDatabase(file);
  const server = createServer();
  const broadcaster = new WebSocketBroadcaster(server);
  server.on('request', createApp(database, broadcaster));
  // Node closes idle connections after 5 s, in which a client's next request can get lost: longer than clients pool.
  server.keepAliveTimeout = 65_000;
  server.on('error', (error) => fail(error.message));
  server.listen(port, host, () => {
    const { address, family, port: bound } = server.address();
    const shown = family === 'IPv6' ? `[${address}]` : address;
    console.log(`Express baseline listening on http://${shown}:${bound}`);
  });

  const stop = () => {
    broadcaster.close();
    server.close(() => database.close());
    setTimeout(() => {
      broadcaster.terminate();
      server.closeAllConnections();
    }, SHUTDOWN_GRACE_MS).unref();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

try {
  start(readSettings());
} catch (error) {
  fail(error.message);
}
