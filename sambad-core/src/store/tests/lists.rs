//! Lists and pages of the log.

use super::*;
use crate::limits::SLICE_BYTES_MAX;

on_every_database!(
    pages_joined_are_the_list,
    messages_are_listed_by_user_and_pair,
    filtered_log_pages_equal_a_filtered_scan,
    names_fold_ascii_letters_alone,
    a_slice_of_the_log_is_bounded,
    a_slice_of_the_log_tells_how_far_it_goes,
    reads_that_are_given_up_leave_nothing_behind,
);

/// Walks all pages of one row each and returns what they held.
async fn walk<T>(mut page: impl AsyncFnMut(Option<String>) -> Page<T>) -> Vec<T> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let Page { items: mut found, next } = page(after).await;
        assert!(found.len() <= 1);
        items.append(&mut found);
        let Some(next) = next else { return items };
        after = Some(next);
    }
}

/// Goal: pages joined are the list, whichever index serves them. Method: pages of one row, over equal names too.
async fn pages_joined_are_the_list(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    fixture
        .commit(vec![named(A, "asha"), named(B, "Asha"), named(C, "ASHOK"), named("+14155550101", "Zoe"), login("+14155550102")])
        .await;
    let store = &fixture.store;
    let one = |query: UserQuery| async move { store.users(&query, 1).await.unwrap().value };
    let position = |after: Option<String>| after.map(|text| text.parse().unwrap());
    for order in [UserOrder::OldestFirst, UserOrder::NewestFirst] {
        let walked = walk(async |after| one(UserQuery::All { order, after: position(after) }).await).await;
        let whole = store.users(&UserQuery::All { order, after: None }, 500).await.unwrap().value;
        assert_eq!((walked.len(), &walked, whole.next), (5, &whole.items, None));
    }
    let by_name = walk(async |after| {
        let after = after.map(|text| text.parse().unwrap());
        one(UserQuery::NamePrefix { prefix: "ash".into(), after }).await
    });
    let by_name = by_name.await;
    assert_eq!(by_name.iter().filter_map(|user| user.name.as_deref()).collect::<Vec<_>>(), ["asha", "Asha", "ASHOK"]);
    let by_phone = walk(async |after| {
        let after = after.map(|text| text.parse().unwrap());
        one(UserQuery::PhonePrefix { prefixes: ["+1415".into(), "+1415".into()], after }).await
    });
    assert_eq!(by_phone.await.iter().map(|user| user.phone.as_str()).collect::<Vec<_>>(), [C, "+14155550101", "+14155550102"]);
}

/// Goal: each list of messages holds what it should, newest first, each once. Method: all directions among three, and a note to oneself.
async fn messages_are_listed_by_user_and_pair(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let (a, b) = (fixture.user(A).await.id, fixture.user(B).await.id);
    fixture.user(C).await;
    fixture
        .commit(vec![message(A, B, "1"), message(B, A, "2"), message(A, C, "3"), message(C, B, "4"), message(A, A, "5")])
        .await;
    let store = &fixture.store;
    for (user, with, expected) in [
        (None, None, vec!["5", "4", "3", "2", "1"]),
        (Some(a), None, vec!["5", "3", "2", "1"]),
        (Some(a), Some(b), vec!["2", "1"]),
        (Some(b), Some(a), vec!["2", "1"]),
        (Some(a), Some(a), vec!["5"]),
    ] {
        let listed = walk(async |after| {
            let after = after.map(|text| text.parse().unwrap());
            store.messages(&MessageQuery { user, with, after }, 1).await.unwrap().value
        });
        assert_eq!(listed.await.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), expected);
    }
}

/// Goal: an event has the instant of its row, in its data, in the answer and on another server, whatever the clocks of two servers
/// say. Method: two writers of one database, the second an hour behind; every kind of event by turns.
#[tokio::test]
async fn an_event_has_the_instant_of_its_row() {
    let database = TestDatabase::postgres().await;
    let (_, mut behind) = open(&database.url(), &Limits::default()).await.unwrap();
    let mut fixture = Fixture::on(database).await;
    fixture.commit(vec![login(A), login(B)]).await;
    let hour_ago = fixture.clock.minus(std::time::Duration::from_secs(3600));
    for (number, phone) in (0..4).map(|number| (number, format!("+1415555010{number}"))) {
        let is_behind = number % 2 == 1;
        let (writer, clock) = if is_behind { (&mut behind, hour_ago) } else { (&mut fixture.writer, fixture.clock) };
        let commands = [login(&phone), add(A, &phone), message(A, B, "hello")];
        let requests: Vec<_> = commands.into_iter().map(|command| Request { command, key: None }).collect();
        writer.set_clock(Clock::fixed(clock));
        let committed = writer.commit(&requests).await.unwrap();
        let stored = fixture.store.newest_events(3).await.unwrap().value;
        for ((event, row), result) in committed.events.iter().zip(stored.iter().rev()).zip(&committed.results) {
            let created_at = match &result.as_ref().unwrap().outcome {
                Outcome::LoggedIn { user, .. } => user.created_at,
                Outcome::ContactAdded { contact, .. } => contact.created_at,
                Outcome::MessageSent { message } => message.created_at,
                other => panic!("{other:?}"),
            };
            assert_eq!((row.seq, row.created_at, created_at), (event.seq, clock, clock));
            let json = String::from_utf8(event.json().to_vec()).unwrap();
            assert_eq!(json.matches(&clock.to_string()).count(), 2, "{json}");
        }
    }
    behind.close().await.unwrap();
}

/// Goal: lists are in the order of the log, whatever the clocks of two servers say. Method: two writers of one database, the second
/// an hour behind; each message of either is the newest, on every list, and pages follow.
#[tokio::test]
async fn lists_are_in_the_order_of_the_log() {
    let database = TestDatabase::postgres().await;
    let (_, mut behind) = open(&database.url(), &Limits::default()).await.unwrap();
    let mut fixture = Fixture::on(database).await;
    let (a, b) = (fixture.user(A).await.id, fixture.user(B).await.id);
    let hour_ago = fixture.clock.minus(std::time::Duration::from_secs(3600));
    let lists = [(None, None), (Some(a), None), (Some(a), Some(b))];
    for number in 0..6 {
        let (writer, clock) = if number % 2 == 0 { (&mut fixture.writer, fixture.clock) } else { (&mut behind, hour_ago) };
        let request = Request { command: message(A, B, &number.to_string()), key: None };
        writer.set_clock(Clock::fixed(clock));
        let committed = writer.commit(&[request]).await.unwrap();
        let Outcome::MessageSent { message } = &committed.results[0].as_ref().unwrap().outcome else { panic!("{committed:?}") };
        for (user, with) in lists {
            let found = fixture.store.messages(&MessageQuery { user, with, after: None }, 1).await.unwrap();
            assert_eq!((&found.value.items[0], found.cursor.seq), (message, committed.head));
        }
    }
    for (user, with) in lists {
        let walked = walk(async |after| {
            let after = after.map(|text| text.parse().unwrap());
            fixture.store.messages(&MessageQuery { user, with, after }, 1).await.unwrap().value
        });
        assert_eq!(walked.await.iter().map(|message| message.content.as_str()).collect::<String>(), "543210");
    }
    behind.close().await.unwrap();
}

/// Goal: a filtered page of the stored log is the whole log, filtered. Method: every user and kind against a scan.
async fn filtered_log_pages_equal_a_filtered_scan(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let users = [fixture.user(A).await.id, fixture.user(B).await.id, fixture.user(C).await.id];
    for round in 0..5 {
        let text = round.to_string();
        fixture.commit(vec![message(A, B, &text), add(B, C), message(C, C, &text), add(A, C), message(B, A, &text)]).await;
    }
    let all = fixture.store.log_page(Seq::ZERO, &Filter::default(), 1000).await.unwrap();
    for user in users.map(Some).into_iter().chain([None]) {
        for kinds in
            [vec![EventKind::MessageSent], vec![EventKind::UserCreated, EventKind::ContactAdded], EventKind::ALL.to_vec()]
        {
            let filter = Filter { kinds: kinds.into_iter().collect(), user };
            let (mut found, mut cursor) = (Vec::new(), Seq::ZERO);
            while cursor < all.bounds.head {
                let page = fixture.store.log_page(cursor, &filter, 2).await.unwrap();
                assert!(page.through > cursor, "every page moves on");
                cursor = page.through;
                found.extend(page.rows);
            }
            let expected: Vec<&EventRow> = all.rows.iter().filter(|row| filter.matches(row.kind, row.involved)).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }
}

/// Goal: only ASCII's letters are compared without case, as SQLite does, and nothing else is folded or reordered. Method: names
/// and prefixes of several scripts, and of characters that no text of PostgreSQL holds.
async fn names_fold_ascii_letters_alone(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let names =
        ["Éric", "éric", "ERIC", "eric", "Erić", "Straße", "STRASSE", "Zoë", "zOË", "इंदिरा", "İpek", "_eric", "e\u{10fffe}"];
    let login = |(name, number): (&&str, u64)| named(&format!("+1415555{number:04}"), name);
    fixture.commit(names.iter().zip(0..).map(login).collect()).await;
    for (prefix, expected) in [
        ("é", vec!["éric"]),
        ("É", vec!["Éric"]),
        ("ERI", vec!["ERIC", "eric", "Erić"]),
        ("eric", vec!["ERIC", "eric"]),
        ("E", vec!["ERIC", "eric", "Erić", "e\u{10fffe}"]),
        ("stra", vec!["STRASSE", "Straße"]),
        ("strass", vec!["STRASSE"]),
        ("zoë", vec!["Zoë"]),
        ("ZOË", vec!["zOË"]),
        ("i", vec![]),
        ("इं", vec!["इंदिरा"]),
        ("_", vec!["_eric"]),
        ("%", vec![]),
        ("e\0", vec![]),
        ("\0", vec![]),
    ] {
        let store = &fixture.store;
        let after = |after: Option<String>| after.map(|text| text.parse().unwrap());
        let found = walk(async |page| {
            let query = UserQuery::NamePrefix { prefix: prefix.into(), after: after(page) };
            store.users(&query, 1).await.unwrap().value
        });
        let found = found.await;
        assert_eq!(found.iter().filter_map(|user| user.name.as_deref()).collect::<Vec<_>>(), expected, "{prefix}");
    }
}

/// Goal: one read of the log holds a bounded number of bytes, not of characters, more by one event at most. Method: messages of
/// two bytes a character, read in one page each, with every sort of filter.
async fn a_slice_of_the_log_is_bounded(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let users = [fixture.user(A).await.id, fixture.user(B).await.id];
    let text = |length: usize| "é".repeat(length);
    fixture.commit((0..90).map(|i| message(A, B, &text(2000 + i))).collect()).await;
    let head = fixture.store.bounds().await.unwrap().head;
    let kinds = |kinds: &[EventKind]| Filter { kinds: kinds.iter().copied().collect(), user: None };
    let of = |user| Filter { user: Some(user), ..Filter::default() };
    for filter in [Filter::default(), kinds(&[EventKind::MessageSent]), of(users[0]), of(users[1])] {
        let (mut after, mut count) = (Seq::ZERO, 0);
        while after < head {
            let page = fixture.store.log_page(after, &filter, 1000).await.unwrap();
            let bytes: usize = page.rows.iter().map(|row| row.data.len()).sum();
            let last = page.rows.last().unwrap();
            assert!(bytes - last.data.len() < SLICE_BYTES_MAX, "{filter:?} after {after}");
            assert!(
                bytes >= SLICE_BYTES_MAX - 400 || last.seq == head,
                "{filter:?} after {after}: {bytes} are fewer than need be"
            );
            assert_eq!(page.through, last.seq);
            (after, count) = (page.through, count + page.rows.len());
        }
        let all = fixture.store.newest_events(1000).await.unwrap().value;
        assert_eq!(count, all.iter().filter(|row| filter.matches(row.kind, row.involved)).count(), "{filter:?}");
    }
}

/// Goal: a page says up to where all is told, at every bound. Method: limits and beginnings around the ends of a short log.
async fn a_slice_of_the_log_tells_how_far_it_goes(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let empty = fixture.store.log_page(Seq::ZERO, &Filter::default(), 10).await.unwrap();
    assert_eq!((empty.rows.len(), empty.through, empty.bounds.first), (0, Seq::ZERO, Seq(1)));
    let a = fixture.user(A).await.id;
    fixture.commit(vec![login(B), message(A, A, "to oneself"), message(B, A, "x"), login(C)]).await;
    let of_a = Filter { user: Some(a), ..Filter::default() };
    let created = Filter { kinds: [EventKind::UserCreated].into_iter().collect(), user: None };
    for (filter, after, limit, seqs, through) in [
        (Filter::default(), 0, 4, vec![1, 2, 3, 4], 4),
        (Filter::default(), 0, 5, vec![1, 2, 3, 4, 5], 5),
        (Filter::default(), 0, 6, vec![1, 2, 3, 4, 5], 5),
        (Filter::default(), 4, 1, vec![5], 5),
        (Filter::default(), 5, 1, vec![], 5),
        (Filter::default(), 9, 1, vec![], 9),
        // Whoever asks for a user's events is told that none of them comes after the last.
        (of_a, 0, 2, vec![1, 3], 3),
        (of_a, 0, 3, vec![1, 3, 4], 4),
        (of_a, 0, 4, vec![1, 3, 4], 5),
        (of_a, 4, 1, vec![], 5),
        (created, 0, 1, vec![1], 1),
        (created, 0, 2, vec![1, 2], 2),
        (created, 2, 1, vec![5], 5),
    ] {
        let page = fixture.store.log_page(Seq(after), &filter, limit).await.unwrap();
        let found: Vec<u64> = page.rows.iter().map(|row| row.seq.0).collect();
        assert_eq!((found, page.through), (seqs, Seq(through)), "{filter:?} after {after}, at most {limit}");
    }
}

/// Goal: whoever stops listening for an answer takes nothing from those who come after: no connection, and no snapshot that
/// stays. Method: reads of every sort that are dropped after so many polls, more than there are connections; each followed by a
/// write, which the next read must show.
async fn reads_that_are_given_up_leave_nothing_behind(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    for number in 1..=60_u64 {
        fixture.user(&format!("+1415555{number:04}")).await;
        let store = &fixture.store;
        for _ in 0..2 {
            let page = Box::pin(async { store.log_page(Seq::ZERO, &Filter::default(), 1000).await.map(drop) });
            let analytics = Box::pin(async { store.analytics(fixture.clock).await.map(drop) });
            let mut both = Box::pin(futures_util::future::join(page, analytics));
            for _ in 0..number % 7 {
                if futures_util::FutureExt::now_or_never(both.as_mut()).is_some() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_micros(number * 50)).await;
            }
        }
        let bounds = store.bounds().await.unwrap();
        let page = store.log_page(Seq(number - 1), &Filter::default(), 10).await.unwrap();
        assert_eq!((bounds.head, page.bounds.head, page.rows.len()), (Seq(number), Seq(number), 1));
    }
    let idle = async {
        while fixture.store.readers().busy > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), idle).await.expect("all connections are free again");
}
