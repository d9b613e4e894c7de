//! The simulated store against the real one: the same commands, then every page that a reader could ask for.

use tempfile::TempDir;

use super::*;
use crate::command::{Command, IdempotencyKey};
use crate::kind::EventKind;
use crate::limits::Limits;
use crate::store::{self, Store};

const PHONES: [&str; 3] = ["+919876543210", "+919876543211", "+14155550100"];

/// Some of everything, refusals and retries among them.
fn requests(round: usize) -> Vec<Request> {
    let user = |index: usize| UserRef::Phone(PHONES[index % 3].parse().unwrap());
    let key = |text: &str| Some(IdempotencyKey::new(text, [1; 32]).unwrap());
    let message = |length: usize| Command::SendMessage {
        from: user(round),
        to: user(round / 3),
        content: "ü".repeat(length),
        message_type: "text".into(),
    };
    let add = Command::AddContact { user: user(round), contact: user(round / 2), name: None };
    let login = Command::Login { phone: PHONES[round % 3].parse().unwrap(), name: None };
    let nobody = UserRef::Phone("+14155550199".parse().unwrap());
    let refused = Command::AddContact { user: nobody, contact: user(0), name: None };
    vec![
        Request { command: login, key: None },
        Request { command: add, key: key(&format!("add-{}", round % 5)) },
        Request { command: message(1 + 1000 * (round % 4)), key: None },
        Request { command: refused, key: None },
        Request { command: message(1), key: key(&format!("message-{}", round % 7)) },
    ]
}

/// An answer without what two stores cannot agree on: ids and times.
fn outline(result: &Result<crate::command::Receipt, Error>) -> String {
    match result {
        Ok(receipt) => format!("{:?} {} {}", receipt.seq, receipt.cursor.seq, receipt.replayed),
        Err(error) => error.to_string(),
    }
}

fn page_outline(page: &LogPage) -> (Seq, Seq, Seq, Vec<(Seq, EventKind, usize)>) {
    let rows = page.rows.iter().map(|row| (row.seq, row.kind, row.data.len())).collect();
    (page.bounds.first, page.bounds.head, page.through, rows)
}

async fn user_id(store: &Store, phone: &str) -> UserId {
    store.user(&UserRef::Phone(phone.parse().unwrap())).await.unwrap().value.unwrap().id
}

/// Goal: what holds over the simulated store holds over the real one. Method: the same batches in both, answers compared;
/// then pages after every seventh position, for filters of every form and limits on both sides of the other bounds; then
/// the log is trimmed.
#[tokio::test]
async fn reads_and_writes_as_sqlite_does() {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite:{}", directory.path().join("test.db").display());
    let (real, mut real_writer) = store::open(&url, &Limits::default()).await.unwrap();
    let simulated = SimulatedStore::new(Epoch(1), PageBounds::default(), Box::new(|_| Fault::None));
    let (fake, mut fake_writer) = (Store::Simulated(Reader(simulated.clone())), store::Writer::Simulated(Writer::new(simulated)));
    for round in 0..120 {
        let requests = requests(round);
        let (in_real, in_fake) = (real_writer.commit(&requests).await.unwrap(), fake_writer.commit(&requests).await.unwrap());
        let outlines = |results: &[_]| results.iter().map(outline).collect::<Vec<_>>();
        assert_eq!(outlines(&in_real.results), outlines(&in_fake.results), "round {round}");
        assert_eq!(in_real.head, in_fake.head);
    }
    let head = real.bounds().await.unwrap().head.0;
    let kinds = |kinds: &[EventKind]| kinds.iter().copied().collect::<KindSet>();
    let (mut pages, mut cut_by_bytes) = (0, 0);
    for kinds in [KindSet::ALL, kinds(&[EventKind::MessageSent]), kinds(&[EventKind::UserCreated, EventKind::ContactAdded])] {
        for followed in [None, Some(PHONES[0]), Some(PHONES[2])] {
            let (real_user, fake_user) = match followed {
                Some(phone) => (Some(user_id(&real, phone).await), Some(user_id(&fake, phone).await)),
                None => (None, None),
            };
            for after in (0..=head + 1).step_by(7).map(Seq) {
                for limit in [1, 3, 100, 1000] {
                    let in_real = real.log_page(after, &Filter { kinds, user: real_user }, limit).await.unwrap();
                    let in_fake = fake.log_page(after, &Filter { kinds, user: fake_user }, limit).await.unwrap();
                    let context = format!("after {after}, limit {limit}, {kinds:?} of {followed:?}");
                    assert_eq!(page_outline(&in_real), page_outline(&in_fake), "{context}");
                    pages += 1;
                    cut_by_bytes += usize::from(limit == 1000 && in_real.through.0 < head && after.0 < head);
                }
            }
        }
    }
    for retention in [Retention::Events(head), Retention::Bytes(200_000), Retention::Events(30), Retention::Bytes(1)] {
        let (in_real, in_fake) = (real_writer.trim(retention).await.unwrap(), fake_writer.trim(retention).await.unwrap());
        assert_eq!(in_real, in_fake, "{retention}");
        assert_eq!(in_real.is_some(), retention != Retention::Events(head), "{retention}");
        let (in_real, in_fake) = (real.bounds().await.unwrap(), fake.bounds().await.unwrap());
        assert_eq!((in_real.first, in_real.head), (in_fake.first, in_fake.head), "{retention}");
    }
    assert!(pages > 500 && cut_by_bytes > 10, "{pages} pages, {cut_by_bytes} of them cut by bytes");
}
