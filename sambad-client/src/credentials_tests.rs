use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

/// A token that was issued `age` seconds ago for `life` seconds.
fn token(name: &str, age: i64, life: i64) -> Token {
    let now = Timestamp::now().as_micros() / 1_000_000;
    let claims = format!(r#"{{"sub":"{name}","iat":{},"exp":{}}}"#, now - age, now - age + life);
    Token::new(format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims))).unwrap()
}

fn name(token: &Token) -> &str {
    &token.claims().unwrap().subject
}

/// Credentials whose source numbers its tokens; the source answers after `pause`, and refuses everything after `good` answers.
fn numbered(first: Option<Token>, pause: Duration, good: u32, why: Error) -> (Arc<Credentials>, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let source = move |_| {
        let (n, why) = (counter.fetch_add(1, Ordering::Relaxed) + 1, why.clone());
        async move {
            tokio::time::sleep(pause).await;
            if n <= good { Ok(token(&n.to_string(), 0, 900)) } else { Err(why) }
        }
    };
    (Arc::new(Credentials::from_source(first, source)), asked)
}

fn refused() -> Error {
    Error::NoToken { reason: "test".into() }
}

/// Goal: however many wait, the source is asked once. Method: a hundred callers with no token at hand.
#[tokio::test(start_paused = true)]
async fn one_renewal_serves_all() {
    let (credentials, asked) = numbered(None, Duration::from_secs(1), 9, refused());
    let waiting = (0..100).map(|_| credentials.token());
    let tokens = futures_util::future::join_all(waiting).await;
    assert!(tokens.iter().all(|outcome| name(outcome.as_ref().unwrap()) == "1"), "{tokens:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // A second refusal of the same old token finds the new one.
    assert_eq!(name(&credentials.renew(Some(&token("0", 0, 1))).await.unwrap()), "1");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Goal: a renewal outlives who asked for it, or its refresh token would be lost. Method: drop the caller half-way.
#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_loses_nothing() {
    let (credentials, asked) = numbered(None, Duration::from_secs(1), 1, refused());
    assert!(tokio::time::timeout(Duration::from_millis(10), credentials.token()).await.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(name(&credentials.token().await.unwrap()), "1");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Goal: tokens are renewed ahead of their end and not before. Method: kept tokens of different ages.
#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_ahead() {
    for (age, life, expected) in
        [(0, 900, "kept"), (800, 900, "kept"), (850, 900, "1"), (901, 900, "1"), (10, 30, "kept"), (21, 30, "1")]
    {
        let (credentials, _) = numbered(Some(token("kept", age, life)), Duration::ZERO, 1, refused());
        assert_eq!(name(&credentials.token().await.unwrap()), expected, "{age} of {life}");
    }
}

/// Goal: a clock that is wrong does not renew all the time. Method: a source whose tokens seem ended, or of next week.
#[tokio::test(start_paused = true)]
async fn a_wrong_clock_renews_no_more_often() {
    for age in [100_000, -100_000] {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let source = move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move { Ok(token("x", age, 900)) }
        };
        let credentials = Arc::new(Credentials::from_source(None, source));
        for _ in 0..10 {
            credentials.token().await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{age}");
    }
}

/// Goal: a source that says no is left in peace; a token that is still good is used on. Method: count what is asked.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered() {
    let (credentials, asked) = numbered(Some(token("kept", 850, 900)), Duration::ZERO, 0, refused());
    for _ in 0..5 {
        assert_eq!(name(&credentials.token().await.unwrap()), "kept");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    tokio::time::sleep(REFUSED_FOR).await;
    assert!(matches!(credentials.renew(Some(&credentials.token().await.unwrap())).await, Err(Error::NoToken { .. })));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// Goal: a failure that may pass is tried again. Method: a source that is not reached.
#[tokio::test(start_paused = true)]
async fn an_outage_is_not_a_refusal() {
    let (credentials, asked) = numbered(None, Duration::ZERO, 0, Error::Silent { after: Duration::ZERO });
    for _ in 0..3 {
        assert!(matches!(credentials.token().await, Err(Error::Silent { .. })));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

/// Goal: a token that was given once is used as it is, and not invented anew. Method: one that has ended.
#[tokio::test]
async fn a_fixed_token_stays() {
    let credentials = Arc::new(Credentials::fixed(token("fixed", 900, 60)));
    let held = credentials.token().await.unwrap();
    assert_eq!(name(&held), "fixed");
    assert!(matches!(credentials.renew(Some(&held)).await, Err(Error::NoToken { .. })));
}
