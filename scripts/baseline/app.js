// The REST routes. A write is stored, then broadcast, then answered, in this order and within one turn of the event
// loop: the guide's code flow.
import express from 'express';

import { parsePhone } from './phone.js';

const CONTENT_CHARS_MAX = 4096;

/** A request that is answered with a status of 4xx and this message. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.expose = true;
  }
}

export function createApp(database, broadcaster) {
  const app = express();
  app.use(express.json({ limit: '64kb' }));

  app.get('/', (req, res) => {
    res.type('text').send('Sambad Unified Backend is running!\n');
  });

  app.get('/api/health', (req, res) => {
    try {
      database.ping();
      res.json({ status: 'healthy', database: 'connected' });
    } catch {
      res.status(503).json({ status: 'unhealthy', database: 'disconnected' });
    }
  });

  app.post('/api/users/login', (req, res) => {
    const { mobileNumber, countryCode, phone } = bodyOf(req);
    const parsed = parsePhone(phone ?? mobileNumber, countryCode);
    if (!parsed) throw new Refused(400, 'Invalid phone number: expected + and 8 to 15 digits');
    const { user, created } = database.findOrCreateUser(parsed.e164, `${parsed.national}@sambad.local`);
    if (created) broadcaster.emitUserCreated(user);
    const shown = { ...user, phone: user.username, status: 'active' };
    res.json({ ...shown, created, user: shown });
  });

  app.post('/api/contacts', (req, res) => {
    const { userId, contactUserId } = bodyOf(req);
    const user = userOf(database, userId, 'userId');
    const contactUser = userOf(database, contactUserId, 'contactUserId');
    if (user.id === contactUser.id) throw new Refused(400, 'A user cannot be their own contact');
    const { contact, created } = database.addContact(user, contactUser);
    if (!created) return res.json({ message: 'Contact already exists', contact });
    broadcaster.emitContactAdded(contact);
    res.status(201).json({ message: 'Contact added successfully', contact });
  });

  app.get('/api/contacts', (req, res) => {
    const user = userOf(database, req.query.userId, 'userId');
    res.json(database.contactsOf(user.id, limitOf(req)));
  });

  app.post('/api/messages', (req, res) => {
    const { fromUserId, toUserId, content, type = 'text' } = bodyOf(req);
    const from = userOf(database, fromUserId, 'fromUserId');
    const to = userOf(database, toUserId, 'toUserId');
    if (typeof content !== 'string' || content.length < 1 || content.length > CONTENT_CHARS_MAX) {
      throw new Refused(400, `Invalid content: expected 1 to ${CONTENT_CHARS_MAX} characters`);
    }
    if (typeof type !== 'string' || !/^[a-z][a-z0-9_]{0,31}$/.test(type)) throw new Refused(400, 'Invalid type');
    const message = database.addMessage(from, to, content, type);
    broadcaster.emitMessageSent(message);
    res.status(201).json({ ...message, message: 'Message sent successfully' });
  });

  app.use((req, res) => {
    res.status(404).json({ error: 'Not found' });
  });
  app.use(answerError);
  return app;
}

function bodyOf(req) {
  // Express leaves the body undefined unless it was sent as JSON.
  if (!req.body) throw new Refused(400, 'Expected a JSON body, sent as application/json');
  return req.body;
}

function userOf(database, id, field) {
  if (typeof id !== 'string' || id === '') throw new Refused(400, `Missing or invalid ${field}`);
  const user = database.findUser(id);
  if (!user) throw new Refused(404, `No user has this ${field}`);
  return user;
}

function limitOf(req) {
  const limit = Number(req.query.limit ?? 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > 500) throw new Refused(400, 'Invalid limit: expected 1 to 500');
  return limit;
}

// Express knows an error handler by its four parameters.
function answerError(error, req, res, next) {
  if (res.headersSent) return next(error);
  // Refusals of ours and of Express itself (broken JSON, a body that is too large, a path that cannot be decoded).
  const status = error.status >= 400 && error.status < 500 ? error.status : 500;
  if (status === 500) console.error(error);
  res.status(status).json({ error: status === 500 ? 'Internal error' : error.message });
}
