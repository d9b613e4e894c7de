//! What happens next: drawn from a seed and from what happened before, never from what a server answers.

use std::collections::HashSet;

use fastrand::Rng;

use super::cast::person;
use super::lines::{Language, Script};

/// Contacts that a user has on average, at most: beyond it as many are removed as are added.
const CONTACTS_EACH: usize = 6;
/// Users before which newcomers come often.
const HANDFUL: u32 = 12;
/// Conversations under way, at most.
const CHATS_MAX: usize = 40;
/// Draws for two people who suit, before something else happens.
const DRAWS: usize = 8;

/// Something that somebody does; people by their place in the cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Comes for the first time.
    LogIn {
        who: u32,
    },
    Add {
        who: u32,
        whom: u32,
    },
    Remove {
        who: u32,
        whom: u32,
    },
    Say {
        who: u32,
        whom: u32,
        line: &'static str,
    },
}

impl Act {
    /// Who takes part, in one order whoever acts; a newcomer twice. Acts of other pairs may happen in any order.
    pub(super) fn people(self) -> [u32; 2] {
        match self {
            Self::LogIn { who } => [who, who],
            Self::Add { who, whom } | Self::Remove { who, whom } | Self::Say { who, whom, .. } => [who.min(whom), who.max(whom)],
        }
    }
}

/// A conversation under way.
#[derive(Debug)]
struct Chat {
    next: [u32; 2],
    lines: Script,
}

/// A story without end, about at most `users_max` people.
#[derive(Debug)]
pub(super) struct Story {
    random: Rng,
    users: u32,
    users_max: u32,
    contacts: Vec<(u32, u32)>,
    known: HashSet<(u32, u32)>,
    chats: Vec<Chat>,
    told: u32,
}

impl Story {
    /// Goes on with the first `users` of the cast and what contacts they have.
    pub(super) fn new(seed: u64, users_max: u32, users: u32, contacts: Vec<(u32, u32)>) -> Self {
        let known = contacts.iter().copied().collect();
        Self { random: Rng::with_seed(seed), users, users_max, contacts, known, chats: Vec::new(), told: 0 }
    }

    /// What happens next.
    pub(super) fn next(&mut self) -> Act {
        let number = self.told;
        self.told = self.told.saturating_add(1);
        // Two people at least; then one of everything, so that the first seconds show what there is.
        let act = match number {
            _ if self.users < 2 => self.log_in(),
            2 | 5 => self.add(),
            3 | 6 | 8 => None,
            4 => self.log_in(),
            7 => self.remove(),
            _ => self.draw(),
        };
        act.unwrap_or_else(|| self.say())
    }

    /// Something other than a message, which is what happens most.
    fn draw(&mut self) -> Option<Act> {
        let full = self.contacts.len() >= CONTACTS_EACH * self.users as usize;
        let newcomers = if self.users < HANDFUL { 0.25 } else { 0.08 };
        let added = if full { 0.04 } else { 0.16 };
        let removed = if self.contacts.len() > self.users as usize { 0.04 } else { 0.01 };
        let mut chance = self.random.f64();
        for (probability, act) in
            [(newcomers, Self::log_in as fn(&mut Self) -> Option<Act>), (added, Self::add), (removed, Self::remove)]
        {
            if chance < probability {
                return act(self);
            }
            chance -= probability;
        }
        None
    }

    fn log_in(&mut self) -> Option<Act> {
        let who = self.users;
        (who < self.users_max).then(|| {
            self.users += 1;
            Act::LogIn { who }
        })
    }

    fn add(&mut self) -> Option<Act> {
        if self.contacts.len() > CONTACTS_EACH * self.users as usize {
            return None;
        }
        for _ in 0..DRAWS {
            let (who, whom) = self.pair();
            if self.known.insert((who, whom)) {
                self.contacts.push((who, whom));
                return Some(Act::Add { who, whom });
            }
        }
        None
    }

    fn remove(&mut self) -> Option<Act> {
        if self.contacts.is_empty() {
            return None;
        }
        let (who, whom) = self.contacts.swap_remove(self.random.usize(..self.contacts.len()));
        self.known.remove(&(who, whom));
        Some(Act::Remove { who, whom })
    }

    /// The next line of a conversation, or the first of a new one.
    fn say(&mut self) -> Act {
        let chats_max = (2 + self.users as usize / 4).min(CHATS_MAX);
        if self.chats.is_empty() || (self.chats.len() < chats_max && self.random.f64() < 0.2) {
            self.begin_chat()
        } else {
            let index = self.random.usize(..self.chats.len());
            self.go_on(index)
        }
    }

    /// Friends chat most, strangers now and then; about one thing at a time.
    fn begin_chat(&mut self) -> Act {
        let friends = (!self.contacts.is_empty() && self.random.f64() < 0.9)
            .then(|| self.contacts[self.random.usize(..self.contacts.len())]);
        let (who, whom) = friends.unwrap_or_else(|| self.pair());
        let index = self.chats.iter().position(|chat| chat.next == [who, whom] || chat.next == [whom, who]);
        let index = index.unwrap_or_else(|| {
            let scripts = language(who, whom).scripts();
            self.chats.push(Chat { next: [who, whom], lines: scripts[self.random.usize(..scripts.len())] });
            self.chats.len() - 1
        });
        self.go_on(index)
    }

    fn go_on(&mut self, index: usize) -> Act {
        let chat = &mut self.chats[index];
        let [who, whom] = chat.next;
        let (line, rest) = chat.lines.split_first().expect("a conversation ends with its last line");
        chat.next = [whom, who];
        chat.lines = rest;
        if rest.is_empty() {
            self.chats.swap_remove(index);
        }
        Act::Say { who, whom, line }
    }

    /// Two people, of one country more often than chance has it.
    fn pair(&mut self) -> (u32, u32) {
        let who = self.random.u32(..self.users);
        let mut whom = who;
        for _ in 0..DRAWS {
            whom = (who + self.random.u32(1..self.users)) % self.users;
            if person(who).language == person(whom).language || self.random.f64() < 0.25 {
                break;
            }
        }
        (who, whom)
    }
}

/// What two people speak with each other.
fn language(one: u32, other: u32) -> Language {
    let (one, other) = (person(one).language, person(other).language);
    if one == other { one } else { Language::English }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(seed: u64, users_max: u32) -> Story {
        Story::new(seed, users_max, 0, Vec::new())
    }

    /// Goal: however long the story, users, contacts and conversations stay bounded, and nobody deals with themselves or with
    /// who is not there yet. Method: 20,000 acts for the smallest and for usual casts, checked one by one.
    #[test]
    fn a_long_story_stays_bounded() {
        for users_max in [2, 3, 200] {
            let mut story = story(7, users_max);
            let mut contacts = HashSet::new();
            for _ in 0..20_000 {
                let users = story.users;
                match story.next() {
                    Act::LogIn { who } => assert_eq!(who, users, "newcomers come in the order of the cast"),
                    act => assert!(act.people()[0] != act.people()[1] && act.people().iter().all(|who| *who < users), "{act:?}"),
                }
                assert!(story.contacts.len() <= CONTACTS_EACH * users_max as usize + 1 && story.chats.len() <= CHATS_MAX);
                contacts.insert(story.contacts.len());
            }
            assert_eq!(story.users, users_max);
            assert!(contacts.len() > 2, "contacts come and go");
        }
    }

    /// Goal: the first seconds show everything. Method: the first ten acts of many seeds.
    #[test]
    fn the_beginning_shows_everything() {
        for seed in 0..100 {
            let mut story = story(seed, 200);
            let acts: Vec<_> = (0..10).map(|_| story.next()).collect();
            assert!(acts.iter().any(|act| matches!(act, Act::LogIn { .. })), "{acts:?}");
            assert!(acts.iter().any(|act| matches!(act, Act::Add { .. })), "{acts:?}");
            assert!(acts.iter().any(|act| matches!(act, Act::Remove { .. })), "{acts:?}");
            assert!(acts.iter().any(|act| matches!(act, Act::Say { .. })), "{acts:?}");
        }
    }

    /// Goal: a seed is a story. Method: the same seed twice, and another.
    #[test]
    fn a_seed_is_a_story() {
        let acts = |seed| {
            let mut story = story(seed, 50);
            (0..1000).map(|_| story.next()).collect::<Vec<_>>()
        };
        assert_eq!(acts(1), acts(1));
        assert_ne!(acts(1), acts(2));
    }

    /// Goal: a reply follows a message. Method: among two people, who speaks after whom, by the lines of the scripts.
    #[test]
    fn replies_follow() {
        let mut story = story(3, 2);
        let mut replies = 0;
        let mut last = None;
        for _ in 0..500 {
            let Act::Say { who, line, .. } = story.next() else { continue };
            let follows = |before: &&str| {
                let scripts = language(0, 1).scripts();
                scripts.iter().any(|script| script.windows(2).any(|pair| pair == [*before, line]))
            };
            if let Some((before, speaker)) = last
                && follows(&before)
            {
                assert_ne!(who, speaker, "nobody answers themselves");
                replies += 1;
            }
            last = Some((line, who));
        }
        assert!(replies > 100, "{replies}");
    }
}
