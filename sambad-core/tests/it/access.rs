//! Who may come in: changes take their turn among writes, and each is kept with its entry in the audit log.

use std::time::Duration;

use futures_util::future::{join, join_all};
use sambad_core::access::{AccessChange, AccessOutcome, Actor, AuditAction, FAMILIES_MAX};
use sambad_core::check::Severity;
use sambad_core::{Error, Limits, Timestamp, UserId, maintenance};

use crate::database::{TestDatabase, on_every_database};
use crate::harness::{Core, login, settling_soon, user_id};

fn actor() -> Actor {
    Actor { name: "test".into(), remote: "127.0.0.1".into() }
}

fn note(subject: &str) -> AccessChange {
    AccessChange::Note { action: AuditAction::TokenCreated, subject: subject.into() }
}

fn soon() -> Timestamp {
    Timestamp::now().plus(Duration::from_secs(600))
}

on_every_database!(
    changes_take_their_turn_among_writes,
    a_shutdown_keeps_what_was_accepted,
    a_change_that_fails_leaves_nothing,
    the_command_line_writes_beside_the_server,
    what_has_ended_goes,
    repeated_logins_become_one_entry,
    actors_and_addresses_stay_apart_up_to_a_bound,
    a_logout_revokes_until_the_last_token_expires,
    a_used_token_gets_its_successor_again,
    a_repetition_is_revoked_with_its_family,
    a_login_too_many_revokes_the_first_of_its_kind,
);

/// Goal: changes and writes that come together all take effect, whatever their order, and none waits for the others to end.
/// Method: two hundred of each in turn, in batches of up to three; the audit log has every change once, in a chain that holds.
async fn changes_take_their_turn_among_writes(database: TestDatabase) {
    let core = Core::start(database, Limits { batch_commands_max: 3, ..Limits::default() }).await;
    let pairs = (0..200).map(|i| {
        let subject = i.to_string();
        let sambad = &core.sambad;
        async move { join(sambad.execute(login(i), None), sambad.change_access(note(&subject), actor())).await }
    });
    for (written, changed) in join_all(pairs).await {
        assert!(written.is_ok() && matches!(changed, Ok(AccessOutcome::Done)), "{written:?} {changed:?}");
    }
    assert_eq!(core.sambad.bounds().head.0, 200);
    let entries = core.sambad.audit(i64::MAX, 500).await.unwrap().value;
    let mut subjects: Vec<u64> = entries.iter().map(|entry| entry.subject.parse().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, (0..200).collect::<Vec<_>>());
    let mut before = String::new();
    for (entry, n) in entries.iter().rev().zip(1..) {
        assert_eq!((entry.n, entry.hash_after(&before)), (n, entry.hash.clone()));
        before.clone_from(&entry.hash);
    }
    core.stop().await;
}

/// Goal: what was accepted before a shutdown is carried out, what comes later is refused. Method: changes queued, and the
/// shutdown asked for before any is awaited.
async fn a_shutdown_keeps_what_was_accepted(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let accepted = join_all((0..20).map(|i| core.sambad.change_access(note(&i.to_string()), actor())));
    let (results, ()) = join(accepted, core.sambad.shutdown()).await;
    assert!(results.iter().all(|result| matches!(result, Ok(AccessOutcome::Done))), "{results:?}");
    let late = core.sambad.change_access(note("late"), actor()).await;
    assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    core.stop().await;
}

/// Goal: a change that cannot be stored leaves nothing behind, not even half of it, and the next one works. Method: a second
/// connection holds what the change needs for longer than is waited for it.
async fn a_change_that_fails_leaves_nothing(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let mut other = core.database.connect().await;
    other.execute(core.database.by_kind("begin immediate", "begin; lock table audit in exclusive mode")).await;
    let add = AccessChange::AddAdmin { email: "a@example.com".into(), password_hash: "x".into() };
    let refused = core.sambad.change_access(add.clone(), actor()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    other.execute("rollback").await;
    assert_eq!(core.sambad.admin("a@example.com", "").await.unwrap(), None);
    assert!(core.sambad.audit(i64::MAX, 10).await.unwrap().value.is_empty());
    assert_eq!(core.sambad.change_access(add, actor()).await.unwrap(), AccessOutcome::Done);
    assert_eq!(core.sambad.audit(i64::MAX, 10).await.unwrap().value.len(), 1);
    core.stop().await;
}

/// Goal: who writes beside the server neither breaks its log nor the chain. Method: the command line's way and the server's
/// at the same time, two of each, with writes between; then the examination.
async fn the_command_line_writes_beside_the_server(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let url = core.database.url();
    for i in 0..10 {
        core.sambad.execute(login(i), None).await.unwrap();
        let beside = || maintenance::change_access(&url, note(&format!("beside {i}")), actor());
        let within = || core.sambad.change_access(note(&format!("within {i}")), actor());
        let (beside, within) = join(join(beside(), beside()), join(within(), within())).await;
        for outcome in [beside.0, beside.1, within.0, within.1] {
            assert_eq!(outcome.unwrap(), AccessOutcome::Done);
        }
    }
    let entries = core.sambad.audit(i64::MAX, 100).await.unwrap().value;
    assert_eq!(entries.len(), 40);
    let findings = maintenance::check(&url).await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Fault), "{findings:#?}");
    core.stop().await;
}

/// Goal: what has ended does not pile up, and what is in force stays. Method: families and revocations that end at once, and
/// ones that do not; then so many changes that all of the former must have gone.
async fn what_has_ended_goes(database: TestDatabase) {
    let core = Core::start(database, settling_soon()).await;
    core.trusts_its_clock().await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    let past = Timestamp::now();
    for i in 0..40 {
        for (name, expires_at) in [("past", past), ("future", soon())] {
            let digest = format!("{name} {i}");
            let start = AccessChange::StartFamily {
                user,
                family: digest.clone(),
                digest: digest.clone(),
                expires_at,
                revoked_until: expires_at,
                by_service: false,
            };
            core.sambad.change_access(start, actor()).await.unwrap();
            core.sambad.change_access(AccessChange::Revoke { id: format!("id {digest}"), expires_at }, actor()).await.unwrap();
        }
    }
    core.sambad.change_access(note("one more"), actor()).await.unwrap();
    let mut connection = core.database.connect().await;
    // Of refresh tokens as many as one user may have; the others that had not ended are revoked.
    let families = i64::from(FAMILIES_MAX);
    for (table, expected) in [("refresh_tokens", families), ("revocations", 40 + 40 - families)] {
        assert_eq!(connection.number(&format!("select count(*) from {table}")).await, expected, "{table}");
    }
    core.stop().await;
}

/// An hour later, as far as what is counted is concerned.
async fn let_an_hour_pass(core: &Core) {
    let earlier = core.database.by_kind("since = since - 3600000000", "since = since - interval '1 hour'");
    core.database.connect().await.execute(&format!("update audit_repeats set {earlier}")).await;
}

/// A minute later, as far as the use of refresh tokens is concerned.
async fn let_the_grace_pass(core: &Core) {
    let earlier = core.database.by_kind("used_at = used_at - 60000000", "used_at = used_at - interval '1 minute'");
    core.database.connect().await.execute(&format!("update refresh_tokens set {earlier}")).await;
}

fn start(user: UserId, number: usize) -> AccessChange {
    let family = format!("family {number}");
    let digest = format!("of {family}");
    AccessChange::StartFamily { user, digest, family, expires_at: soon(), revoked_until: soon(), by_service: false }
}

/// What the audit log has, oldest first: action, address, count.
async fn noted(core: &Core) -> Vec<(String, String, i64)> {
    let entries = core.sambad.audit(i64::MAX, 500).await.unwrap().value;
    let mut before = String::new();
    for (entry, n) in entries.iter().rev().zip(1..) {
        assert_eq!((entry.n, entry.hash_after(&before)), (n, entry.hash.clone()));
        before.clone_from(&entry.hash);
    }
    entries.into_iter().rev().map(|entry| (entry.action, entry.remote, entry.count)).collect()
}

/// What `check` says of the audit log, which must be whole.
async fn examined(core: &Core) -> String {
    let findings = maintenance::check(&core.database.url()).await.unwrap();
    let audit = findings.into_iter().find(|finding| finding.subject == "audit chain holds").unwrap();
    assert_eq!(audit.severity, Severity::Fine, "{audit:?}");
    audit.detail
}

/// Goal: a login/logout loop of one app user does not fill the table that is never trimmed, nothing of it is lost, and the chain
/// holds. Method: fifty of each within the hour, a restart, the hour passes by the clock of what is counted; once the next
/// login comes first, once nothing but upkeep does. An admin's logins, and failed ones, are an entry each as ever.
async fn repeated_logins_become_one_entry(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    let logins = async |core: &Core| {
        for number in 0..50 {
            core.sambad.change_access(start(user, number), actor()).await.unwrap();
            let logout = AccessChange::LogoutUser { user, id: format!("family {number}"), expires_at: soon() };
            core.sambad.change_access(logout, actor()).await.unwrap();
        }
    };
    logins(&core).await;
    let entry = |action: &str, count| (action.to_owned(), "127.0.0.1".to_owned(), count);
    let mut expected = vec![entry("user_logged_in", 1), entry("user_logged_out", 1)];
    assert_eq!(noted(&core).await, expected);
    assert_eq!(examined(&core).await, "2 entries, none changed or missing; 98 repetitions are counted for later entries");

    let core = Core::start(core.stop().await, Limits::default()).await;
    let_an_hour_pass(&core).await;
    logins(&core).await;
    expected.extend([entry("user_logged_in", 49), entry("user_logged_in", 1)]);
    // The first login found its hour over; the logouts' was seen to on that occasion.
    expected.extend([entry("user_logged_out", 49), entry("user_logged_out", 1)]);
    assert_eq!(noted(&core).await, expected);

    let_an_hour_pass(&core).await;
    assert_eq!(core.sambad.change_access(AccessChange::Tidy, actor()).await.unwrap(), AccessOutcome::Done);
    expected.extend([entry("user_logged_in", 49), entry("user_logged_out", 49)]);
    assert_eq!(noted(&core).await, expected);
    assert_eq!(examined(&core).await, "8 entries, none changed or missing");
    for _ in 0..3 {
        let fail = AccessChange::FailLogin { email: None, network: "127.0.0.1".into() };
        core.sambad.change_access(fail, actor()).await.unwrap();
        expected.push(entry("login_failed", 1));
    }
    assert_eq!(noted(&core).await, expected);
    core.stop().await;
}

/// Goal: who logged a user in, and from where, is in the log, and whoever has many addresses does not fill it with them.
/// Method: logins from ten addresses, twice each; four are an entry each at once, the rest is counted together.
async fn actors_and_addresses_stay_apart_up_to_a_bound(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    for number in 0..20 {
        let from = Actor { name: "backend".into(), remote: format!("192.0.2.{}", number % 10) };
        core.sambad.change_access(start(user, number), from).await.unwrap();
    }
    let entry = |remote: &str, count| ("user_logged_in".to_owned(), remote.to_owned(), count);
    let mut expected: Vec<_> = (0..4).map(|i| entry(&format!("192.0.2.{i}"), 1)).collect();
    assert_eq!(noted(&core).await, expected);
    let_an_hour_pass(&core).await;
    core.sambad.change_access(AccessChange::Tidy, actor()).await.unwrap();
    expected.extend([entry("192.0.2.0", 1), entry("192.0.2.1", 1), entry("192.0.2.2", 1), entry("192.0.2.3", 1)]);
    expected.push(entry("several", 12));
    let mut all = noted(&core).await;
    all[4..].sort();
    assert_eq!(all, expected);
    core.stop().await;
}

/// Goal: a logout, and a refresh token that came twice, refuse what the login began as long as any of it is accepted, and no
/// longer. Method: a login whose first access token outlives the second's; the one revocation that is left of each.
async fn a_logout_revokes_until_the_last_token_expires(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    let after =
        |seconds: u64| Timestamp::from_micros(soon().as_micros() / 1_000_000 * 1_000_000).plus(Duration::from_secs(seconds));
    let (first, second) = (after(500), after(100));
    let mut expected = Vec::new();
    for (family, reused) in [("a", false), ("b", true)] {
        let digest = |number: u32| format!("{family}{number}");
        let begin = AccessChange::StartFamily {
            user,
            family: family.into(),
            digest: digest(1),
            expires_at: after(10_000),
            revoked_until: first,
            by_service: false,
        };
        core.sambad.change_access(begin, actor()).await.unwrap();
        let refresh =
            AccessChange::Refresh { digest: digest(1), next: digest(2), expires_at: after(10_000), revoked_until: second };
        core.sambad.change_access(refresh.clone(), actor()).await.unwrap();
        let_the_grace_pass(&core).await;
        let end = AccessChange::LogoutUser { user, id: family.into(), expires_at: second };
        core.sambad.change_access(if reused { refresh } else { end }, actor()).await.unwrap();
        assert!(!core.sambad.knows_refresh_token(&digest(2)).await.unwrap());
        expected.push((family.to_owned(), first));
    }
    let revocations = core.sambad.revocations(0, 100).await.unwrap();
    let found: Vec<_> = revocations.into_iter().map(|revocation| (revocation.id, revocation.expires_at)).collect();
    assert_eq!(found, expected);
    core.stop().await;
}

fn refresh(digest: &str, next: &str) -> AccessChange {
    AccessChange::Refresh { digest: digest.into(), next: next.into(), expires_at: soon(), revoked_until: soon() }
}

/// Goal: for a while a used refresh token gets the successor that stands, and whoever asks first decides which that is; once the
/// successor is used, or the while is over, the family is revoked. Method: each case on a login of its own, with a restart between use
/// and repetition, and with the clock set back by more than the while.
async fn a_used_token_gets_its_successor_again(database: TestDatabase) {
    let mut core = Core::start(database, Limits::default()).await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    for (number, case) in ["at once", "restart", "used successor", "late", "clock set back", "revoked"].into_iter().enumerate() {
        core.sambad.change_access(start(user, number), actor()).await.unwrap();
        let (family, first) = (format!("family {number}"), format!("of family {number}"));
        let next = |n: u32| format!("{case} {n}");
        let stands = AccessOutcome::Refreshed { user, family: family.clone(), next: next(1) };
        assert_eq!(core.sambad.change_access(refresh(&first, &next(1)), actor()).await.unwrap(), stands, "{case}");
        let mut expected = AccessOutcome::Reused { user, family: family.clone() };
        match case {
            "at once" => expected = stands,
            "restart" => {
                core = Core::start(core.stop().await, Limits::default()).await;
                expected = stands;
            }
            "used successor" => {
                let outcome = core.sambad.change_access(refresh(&next(1), &next(2)), actor()).await.unwrap();
                assert_eq!(outcome, AccessOutcome::Refreshed { user, family, next: next(2) });
            }
            "late" => let_the_grace_pass(&core).await,
            "clock set back" => {
                let later = core.database.by_kind("used_at = used_at + 60000000", "used_at = used_at + interval '1 minute'");
                core.database.connect().await.execute(&format!("update refresh_tokens set {later}")).await;
            }
            _ => {
                let logout = AccessChange::LogoutUser { user, id: family, expires_at: soon() };
                core.sambad.change_access(logout, actor()).await.unwrap();
                expected = AccessOutcome::Unknown;
            }
        }
        let again = core.sambad.change_access(refresh(&first, &next(3)), actor()).await.unwrap();
        assert_eq!(again, expected, "{case}");
        let lives = core.sambad.knows_refresh_token(&next(1)).await.unwrap();
        assert_eq!(lives, matches!(expected, AccessOutcome::Refreshed { .. }), "{case}");
        assert!(!core.sambad.knows_refresh_token(&next(3)).await.unwrap(), "{case}");
    }
    core.stop().await;
}

/// Goal: an access token that a repetition was given is revoked with its family for as long as it lives. Method: a repetition whose
/// token outlives the first one's; the revocation that a logout leaves.
async fn a_repetition_is_revoked_with_its_family(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    core.sambad.change_access(start(user, 1), actor()).await.unwrap();
    core.sambad.change_access(refresh("of family 1", "next"), actor()).await.unwrap();
    let later = Timestamp::from_micros(soon().as_micros() / 1_000_000 * 1_000_000).plus(Duration::from_secs(600));
    let again = AccessChange::Refresh { digest: "of family 1".into(), next: "x".into(), expires_at: later, revoked_until: later };
    core.sambad.change_access(again, actor()).await.unwrap();
    let logout = AccessChange::LogoutUser { user, id: "family 1".into(), expires_at: soon() };
    core.sambad.change_access(logout, actor()).await.unwrap();
    let revocations = core.sambad.revocations(0, 10).await.unwrap();
    let found: Vec<_> = revocations.into_iter().map(|revocation| (revocation.id, revocation.expires_at)).collect();
    assert_eq!(found, [("family 1".to_owned(), later)]);
    core.stop().await;
}

/// Goal: a login beyond the bound ends the one that would end first, access token and all, with an entry; a service's logins and a
/// user's own do not end each other. Method: as many of both as may be, none of which is revoked; one more of either, which ends the
/// first of its kind alone, whoever refreshed it; one that would itself end first.
async fn a_login_too_many_revokes_the_first_of_its_kind(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    let user = user_id(&core.sambad.execute(login(1), None).await.unwrap());
    let begun = Timestamp::from_micros(soon().as_micros() / 1_000_000 * 1_000_000);
    let start = async |kind: &str, number: u32| {
        let expires_at = begun.plus(Duration::from_secs(number.into()));
        let family = format!("{kind} {number}");
        let (digest, by_service) = (format!("of {family}"), kind == "service");
        let begin = AccessChange::StartFamily { user, family, digest, expires_at, revoked_until: begun, by_service };
        core.sambad.change_access(begin, actor()).await.unwrap()
    };
    for number in 0..FAMILIES_MAX {
        assert_eq!(start("own", number).await, AccessOutcome::Done);
        assert_eq!(start("service", number).await, AccessOutcome::Done);
    }
    assert!(core.sambad.revocations(0, 10).await.unwrap().is_empty());
    // A refreshed login is of the same kind as before, and now ends later than the next.
    let later = AccessChange::Refresh {
        digest: "of service 0".into(),
        next: "of service 0, refreshed".into(),
        expires_at: begun.plus(Duration::from_secs(1000)),
        revoked_until: begun,
    };
    assert!(matches!(core.sambad.change_access(later, actor()).await.unwrap(), AccessOutcome::Refreshed { .. }));
    assert_eq!(start("service", FAMILIES_MAX).await, AccessOutcome::Evicted);
    assert_eq!(start("own", FAMILIES_MAX).await, AccessOutcome::Evicted);
    let revoked: Vec<_> = core.sambad.revocations(0, 10).await.unwrap();
    let revoked: Vec<_> = revoked.into_iter().map(|revocation| (revocation.id, revocation.expires_at)).collect();
    assert_eq!(revoked, [("service 1".to_owned(), begun), ("own 0".to_owned(), begun)]);
    for (digest, lives) in [("of service 0, refreshed", true), ("of service 1", false), ("of own 0", false), ("of own 1", true)] {
        assert_eq!(core.sambad.knows_refresh_token(digest).await.unwrap(), lives, "{digest}");
    }
    let entries = core.sambad.audit(i64::MAX, 100).await.unwrap().value;
    let evictions: Vec<_> = entries.iter().filter(|entry| entry.action == "login_evicted").map(|entry| &entry.subject).collect();
    assert_eq!(evictions, [&format!("{user} service 1")], "the second within the hour is counted");
    // Of a server whose logins are shorter, the newest would end first.
    let (family, digest) = ("short".to_owned(), "of short".to_owned());
    let expires_at = begun.plus(Duration::from_millis(1));
    let short = AccessChange::StartFamily { user, family, digest, expires_at, revoked_until: begun, by_service: false };
    assert_eq!(core.sambad.change_access(short, actor()).await.unwrap(), AccessOutcome::Evicted);
    let revoked = core.sambad.revocations(0, 10).await.unwrap();
    assert_eq!(revoked.last().map(|revocation| revocation.id.as_str()), Some("own 1"));
    core.stop().await;
}
