// Users, contacts and messages in one SQLite file. Every method is one statement or one transaction, and is on disk
// when it returns: better-sqlite3 is synchronous, so the events that follow are in commit order without a lock.
import { randomUUID } from 'node:crypto';

import SQLite from 'better-sqlite3';

const SCHEMA = `
  create table if not exists users (
    id text primary key,
    username text not null unique,
    email text not null,
    created_at text not null
  );
  create table if not exists contacts (
    id text primary key,
    user_id text not null references users (id),
    contact_user_id text not null references users (id),
    created_at text not null,
    unique (user_id, contact_user_id)
  );
  create table if not exists messages (
    id text primary key,
    from_user_id text not null references users (id),
    to_user_id text not null references users (id),
    content text not null,
    type text not null,
    created_at text not null
  );
`;

const CONTACT = `
  select c.id, c.user_id, u.username as user_username,
         c.contact_user_id, t.username as contact_user_username, c.created_at
  from contacts c join users u on u.id = c.user_id join users t on t.id = c.contact_user_id
`;

const now = () => new Date().toISOString();

export function openDatabase(file) {
  const db = new SQLite(file);
  db.pragma('journal_mode = WAL');
  // The log is flushed to the disk at every commit, so what was answered survives a power cut. (In WAL mode
  // better-sqlite3 is built with NORMAL, which flushes at checkpoints only.)
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  db.exec(SCHEMA);
  return new Database(db);
}

class Database {
  #db;
  #sql;

  constructor(db) {
    this.#db = db;
    this.#sql = {
      ping: db.prepare('select 1'),
      userById: db.prepare('select id, username, email, created_at from users where id = ?'),
      userByUsername: db.prepare('select id, username, email, created_at from users where username = ?'),
      addUser: db.prepare(
        'insert into users (id, username, email, created_at) values (@id, @username, @email, @created_at) ' +
          'on conflict (username) do nothing',
      ),
      contactOf: db.prepare(`${CONTACT} where c.user_id = ? and c.contact_user_id = ?`),
      contactsOf: db.prepare(`${CONTACT} where c.user_id = ? order by c.created_at desc, c.rowid desc limit ?`),
      addContact: db.prepare(
        'insert into contacts (id, user_id, contact_user_id, created_at) ' +
          'values (@id, @user_id, @contact_user_id, @created_at) on conflict (user_id, contact_user_id) do nothing',
      ),
      addMessage: db.prepare(
        'insert into messages (id, from_user_id, to_user_id, content, type, created_at) ' +
          'values (@id, @from_user_id, @to_user_id, @content, @type, @created_at)',
      ),
    };
  }

  /** Throws when the database does not answer. */
  ping() {
    this.#sql.ping.get();
  }

  findUser(id) {
    return this.#sql.userById.get(id);
  }

  /** The user of this name, and whether this call created them. */
  findOrCreateUser(username, email) {
    const existing = this.#sql.userByUsername.get(username);
    if (existing) return { user: existing, created: false };
    const user = { id: randomUUID(), username, email, created_at: now() };
    const created = this.#sql.addUser.run(user).changes === 1;
    // Nothing inserted: another process with the same file was faster.
    return { user: created ? user : this.#sql.userByUsername.get(username), created };
  }

  /** The contact of these two users, and whether this call created it. */
  addContact(user, contactUser) {
    const contact = {
      id: randomUUID(),
      user_id: user.id,
      user_username: user.username,
      contact_user_id: contactUser.id,
      contact_user_username: contactUser.username,
      created_at: now(),
    };
    const created = this.#sql.addContact.run(contact).changes === 1;
    return { contact: created ? contact : this.#sql.contactOf.get(user.id, contactUser.id), created };
  }

  /** Newest first. */
  contactsOf(userId, limit) {
    return this.#sql.contactsOf.all(userId, limit);
  }

  addMessage(from, to, content, type) {
    const message = {
      id: randomUUID(),
      from_user_id: from.id,
      from_username: from.username,
      to_user_id: to.id,
      to_username: to.username,
      content,
      type,
      created_at: now(),
    };
    this.#sql.addMessage.run(message);
    return message;
  }

  close() {
    this.#db.close();
  }
}
