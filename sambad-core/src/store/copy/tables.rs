//! What a copy moves: every table but the log's own row, what servers note of themselves, and which phones were asked for, each in
//! the order of its key.
//!
//! Statements are made of these descriptions: of fourteen tables, each would be written six times otherwise.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A table, described as both databases have it.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    /// All of its columns, those of the key first.
    pub(in crate::store) columns: &'static [(&'static str, Kind)],
    /// Columns of the primary key.
    pub(in crate::store) key: usize,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Integer,
    /// In microseconds since 1970, or PostgreSQL's own type.
    Instant,
    /// As text, or PostgreSQL's own type.
    Id,
    Text,
}

use self::Kind::{Id, Instant, Integer, Text};

const fn table(name: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { name, columns, key }
}

/// Those that others refer to come first.
pub(in crate::store) static TABLES: [Table; 14] = [
    table(
        "users",
        1,
        &[
            ("id", Id),
            ("phone", Text),
            ("email", Text),
            ("name", Text),
            ("created_at", Instant),
            ("last_active_at", Instant),
            ("seq", Integer),
        ],
    ),
    table(
        "contacts",
        1,
        &[("id", Id), ("user_id", Id), ("contact_user_id", Id), ("name", Text), ("created_at", Instant), ("seq", Integer)],
    ),
    table(
        "messages",
        1,
        &[
            ("id", Id),
            ("from_user_id", Id),
            ("to_user_id", Id),
            ("content", Text),
            ("type", Text),
            ("created_at", Instant),
            ("seq", Integer),
        ],
    ),
    table(
        "events",
        1,
        &[("seq", Integer), ("kind", Text), ("user_id", Id), ("other_id", Id), ("created_at", Instant), ("data", Text)],
    ),
    table(
        "daily",
        1,
        &[("day", Integer), ("users", Integer), ("contacts", Integer), ("messages", Integer), ("last_active", Integer)],
    ),
    table(
        "idempotency_keys",
        1,
        &[("key", Text), ("fingerprint", Text), ("outcome", Text), ("seq", Integer), ("created_at", Instant)],
    ),
    table("admins", 1, &[("email", Text), ("password_hash", Text), ("created_at", Instant)]),
    table(
        "login_failures",
        2,
        &[("email", Text), ("network", Text), ("failures", Integer), ("locked_until", Instant), ("last_at", Instant)],
    ),
    table("admin_sessions", 1, &[("digest", Text), ("email", Text), ("expires_at", Instant)]),
    table(
        "refresh_tokens",
        1,
        &[
            ("digest", Text),
            ("family", Text),
            ("user_id", Id),
            ("expires_at", Instant),
            ("used_at", Instant),
            ("access_until", Instant),
            ("successor", Text),
            ("by_service", Integer),
        ],
    ),
    table("clock_resets", 1, &[("seq", Integer), ("was_at", Instant), ("at", Instant)]),
    table("revocations", 1, &[("n", Integer), ("id", Text), ("expires_at", Instant)]),
    table(
        "audit",
        1,
        &[
            ("n", Integer),
            ("at", Instant),
            ("actor", Text),
            ("action", Text),
            ("subject", Text),
            ("remote", Text),
            ("hash", Text),
            ("count", Integer),
        ],
    ),
    table(
        "audit_repeats",
        4,
        &[("action", Text), ("subject", Text), ("actor", Text), ("remote", Text), ("since", Instant), ("times", Integer)],
    ),
];

impl Table {
    fn names(&self, columns: usize) -> String {
        self.columns.iter().take(columns).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// All columns, as a statement lists them.
    pub(in crate::store) fn column_names(&self) -> String {
        self.names(self.columns.len())
    }

    /// Reads all rows in the order of the key.
    pub(in crate::store) fn select(&self) -> String {
        format!("select {} from {} order by {}", self.column_names(), self.name, self.names(self.key))
    }

    /// Reads the last row in that order.
    pub(in crate::store) fn select_last(&self) -> String {
        let descending: Vec<_> = self.columns.iter().take(self.key).map(|(name, _)| format!("{name} desc")).collect();
        format!("select {} from {} order by {} limit 1", self.column_names(), self.name, descending.join(", "))
    }

    pub(in crate::store) fn count(&self) -> String {
        format!("select count(*) from {}", self.name)
    }

    pub(in crate::store) fn has_rows(&self) -> String {
        format!("select exists (select 1 from {})", self.name)
    }
}

/// A value, the same whichever database it comes from. Those of one column are in the order in which both sort them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(untagged)]
pub(in crate::store) enum Cell {
    Null,
    Integer(i64),
    Id(Uuid),
    Text(String),
}

/// One row, as [`Table::columns`] says.
pub(in crate::store) type Row = Vec<Cell>;

/// Bytes that a row takes, about.
pub(in crate::store) fn size(row: &Row) -> usize {
    let text = |cell: &Cell| if let Cell::Text(text) = cell { text.len() } else { 0 };
    row.iter().map(text).sum::<usize>() + row.len() * size_of::<Cell>()
}

/// What a table's rows come to, in their order: how many, and a digest over all that is in them.
#[derive(Debug, Clone, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    hash: Sha256,
}

impl Digest {
    pub(super) fn add(&mut self, row: &Row) {
        self.rows += 1;
        for cell in row {
            // Each says what it is and how long, so that no two rows have the same bytes.
            match cell {
                Cell::Null => self.hash.update([0]),
                Cell::Integer(number) => {
                    self.hash.update([1]);
                    self.hash.update(number.to_be_bytes());
                }
                Cell::Id(id) => {
                    self.hash.update([2]);
                    self.hash.update(id.as_bytes());
                }
                Cell::Text(text) => {
                    self.hash.update([3]);
                    self.hash.update((text.len() as u64).to_be_bytes());
                    self.hash.update(text);
                }
            }
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.rows == other.rows && self.hash.clone().finalize() == other.hash.clone().finalize()
    }
}
