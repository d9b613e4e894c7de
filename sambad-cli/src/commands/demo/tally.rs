//! What a demo has done so far.

use std::fmt;

use super::story::Act;
use super::write::Written;

/// Events caused, by type.
#[derive(Debug, Default)]
pub(super) struct Tally {
    users: u64,
    added: u64,
    removed: u64,
    messages: u64,
}

impl Tally {
    pub(super) fn count(&mut self, act: Act, written: &Written) {
        self.users += written.mended;
        if written.seq.is_some() {
            *match act {
                Act::LogIn { .. } => &mut self.users,
                Act::Add { .. } => &mut self.added,
                Act::Remove { .. } => &mut self.removed,
                Act::Say { .. } => &mut self.messages,
            } += 1;
        }
    }

    pub(super) fn events(&self) -> u64 {
        self.users + self.added + self.removed + self.messages
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, added, removed, messages } = self;
        let events = self.events();
        write!(f, "{events} events: {users} users, {added} contacts added, {removed} removed, {messages} messages")
    }
}
