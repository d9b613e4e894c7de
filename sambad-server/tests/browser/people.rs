//! Users, contacts and messages, made over REST.

use sambad_client::{Client, NewContact, NewMessage, NewUser, UserId};

/// Somebody who was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Somebody {
    pub(crate) id: UserId,
}

/// Makes things, and remembers where the log stands.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) client: Client,
    /// The newest event made here.
    pub(crate) head: u64,
}

impl People {
    pub(crate) fn at(url: &str) -> Self {
        Self { client: Client::new(url).unwrap(), head: 0 }
    }

    pub(crate) async fn user(&mut self, phone: &str, name: &str) -> Somebody {
        let user = NewUser { name: Some(name.into()).filter(|name: &String| !name.is_empty()), ..NewUser::new(phone) };
        let answer = self.client.login(&user).await.unwrap();
        self.head = answer.seq.expect("nobody had the phone").0;
        Somebody { id: answer.value.user.id }
    }

    /// So many, with Indian phones that begin at `from`.
    pub(crate) async fn users(&mut self, from: u64, number: u64) -> Vec<Somebody> {
        let mut users = Vec::new();
        for n in from..from + number {
            users.push(self.user(&format!("+9198765{n:05}"), &format!("User {n}")).await);
        }
        users
    }

    pub(crate) async fn contact(&mut self, one: Somebody, other: Somebody) -> u64 {
        let answer = self.client.add_contact(&NewContact::new(one.id, other.id)).await.unwrap();
        self.head = answer.seq.expect("the contact is new").0;
        self.head
    }

    pub(crate) async fn message(&mut self, one: Somebody, other: Somebody, content: &str) -> u64 {
        let answer = self.client.send_message(&NewMessage::text(one.id, other.id, content)).await.unwrap();
        self.head = answer.seq.expect("a message is an event").0;
        self.head
    }
}
