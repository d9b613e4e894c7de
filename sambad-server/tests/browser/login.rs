//! The form to log in, the way out, and a session that ends.

use std::time::Duration;

use fantoccini::key::Key;
use sambad_core::Limits;
use sambad_core::access::{AccessChange, Actor};
use sambad_server::ServerConfig;
use sambad_server::config::{AuthConfig, Role};
use sambad_server::testing::{TestKeys, TestServer};
use serde_json::{Value, json};

use crate::accessible::no_violations;
use crate::noise::Outage;
use crate::page::Page;

const ADMIN: &str = "root@example.com";
const PASSWORD: &str = "correct horse battery";
/// A hash of it.
const PASSWORD_HASH: &str = include_str!("../access/password_hash.txt");
/// Of somebody whom nobody may see without having logged in.
const PHONE: &str = "+919861803397";

/// A server that wants to know who asks, with an admin and a user.
struct Guarded {
    server: TestServer,
    keys: TestKeys,
    user: Value,
}

impl Guarded {
    async fn start(admin_session_ttl: Duration) -> Self {
        let keys = TestKeys::new();
        let mut config = ServerConfig { auth: keys.config(), ..ServerConfig::default() };
        if let AuthConfig::Token(tokens) = &mut config.auth {
            tokens.admin_session_ttl = admin_session_ttl;
        }
        let server = TestServer::start_with(config, Limits::default()).await;
        let add = AccessChange::AddAdmin { email: ADMIN.into(), password_hash: PASSWORD_HASH.into() };
        let actor = Actor { name: "test".into(), remote: String::new() };
        server.sambad().change_access(add, actor).await.unwrap();
        let mut guarded = Self { server, keys, user: Value::Null };
        guarded.user = guarded.log_user_in(PHONE).await;
        guarded
    }

    fn url(&self) -> &str {
        self.server.url()
    }

    /// Makes a user: an event.
    async fn log_user_in(&self, phone: &str) -> Value {
        let service = self.keys.token(&[Role::Service], "backend");
        let request = reqwest::Client::new().post(format!("{}/api/users/login", self.url())).bearer_auth(service);
        let answer = request.header("content-type", "application/json").body(json!({ "phone": phone }).to_string());
        serde_json::from_str(&answer.send().await.unwrap().text().await.unwrap()).unwrap()
    }

    /// Ends the session of the page, from elsewhere.
    async fn end_session_of(&self, page: &Page) {
        let cookie = page.browser.client.get_named_cookie("sambad_session").await.unwrap();
        let cookie = format!("sambad_session={}", cookie.value());
        let logout = reqwest::Client::new().post(format!("{}/api/admin/logout", self.url())).header("cookie", cookie);
        assert_eq!(logout.send().await.unwrap().status(), 200);
    }
}

/// Types into the form, as people do.
async fn log_in(page: &Page, password: &str) {
    page.keys(ADMIN).await;
    page.key(Key::Tab).await;
    page.keys(password).await;
    page.key(Key::Enter).await;
}

/// Waits until the form is back, and looks through everything that the page holds.
async fn hides_everything(page: &Page, note: &str) {
    page.until(&format!("document.getElementById('login-note')?.textContent === '{note}'")).await;
    page.is_locked().await;
    let held = page
        .js("document.documentElement.outerHTML + document.title + JSON.stringify([{...localStorage}, {...sessionStorage}])")
        .await;
    let held = held.as_str().unwrap();
    for secret in [PHONE, &PHONE[3..], ADMIN] {
        assert!(!held.contains(secret), "{secret} is still there");
    }
}

/// Goal: an admin logs in and is where the address says, sees what happens live, and logs out, after which nothing is left. Method:
/// the keyboard; a wrong password first, then the right one; a user's page, the overview, an event, a page loaded anew.
#[tokio::test]
async fn an_admin_logs_in_and_out() {
    let guarded = Guarded::start(Duration::from_secs(3600)).await;
    let page = Page::open_locked(guarded.url(), &format!("#/users/{}", guarded.user["id"].as_str().unwrap())).await;
    assert_eq!(page.js("document.title").await, "Log in · Sambad");
    assert_eq!(page.js("document.getElementById('logout').checkVisibility()").await, false);
    hides_everything(&page, "").await;

    log_in(&page, "wrong horse battery").await;
    let failure = "document.querySelector('[data-testid=login-failure]')";
    page.until(&format!("{failure}.textContent === 'Wrong e-mail address or password, or too many attempts.'")).await;
    page.until("document.activeElement.id === 'login-password'").await;
    assert_eq!(page.js("document.activeElement.ariaInvalid").await, "true");
    assert_eq!(page.js("document.getElementById('main').checkVisibility()").await, false);

    // What was typed is selected: the next letter replaces it.
    page.keys(PASSWORD).await;
    page.key(Key::Enter).await;
    page.until(&format!("document.querySelector('[data-testid=user-phone]').innerText === '{PHONE}'")).await;
    assert_eq!(page.js("document.getElementById('login').checkVisibility()").await, false);
    page.click("user-back").await;
    page.is_live().await;
    page.shows(1).await;
    guarded.log_user_in("+919861803398").await;
    page.shows(2).await;

    page.goto("").await;
    page.browser.client.refresh().await.unwrap();
    page.is_live().await;
    page.shows(2).await;
    assert_eq!(page.js("document.getElementById('logout').title").await, ADMIN);
    page.click("logout").await;
    hides_everything(&page, "You are logged out.").await;
    let status =
        page.browser.client.execute_async("fetch('api/admin/users').then((r) => arguments[0](r.status))", Vec::new()).await;
    assert_eq!(status.unwrap(), 401);
    page.finish_after(Outage::Refused).await;
    guarded.server.stop().await;
}

/// Goal: a session that ends takes everything with it that was shown, and a new login goes on at the same place. Method: a session
/// of ten seconds; then one that is ended from elsewhere, while a user's page is open.
#[tokio::test]
async fn a_session_that_ends_hides_everything() {
    let guarded = Guarded::start(Duration::from_secs(10)).await;
    let page = Page::open_locked(guarded.url(), "#/?type=user_created").await;
    log_in(&page, PASSWORD).await;
    page.is_live().await;
    page.shows(1).await;
    hides_everything(&page, "Your session has ended. Log in to continue.").await;

    log_in(&page, PASSWORD).await;
    page.is_live().await;
    page.shows(1).await;
    page.js(&format!("location.hash = '#/users/{}'", guarded.user["id"].as_str().unwrap())).await;
    page.until(&format!("document.querySelector('[data-testid=user-phone]').innerText === '{PHONE}'")).await;
    guarded.end_session_of(&page).await;
    hides_everything(&page, "Your session has ended. Log in to continue.").await;
    log_in(&page, PASSWORD).await;
    page.until(&format!("document.querySelector('[data-testid=user-phone]').innerText === '{PHONE}'")).await;
    page.finish_after(Outage::Refused).await;
    guarded.server.stop().await;
}

/// Goal: an open server shows nothing of all this. Method: a page with an event; what can be seen, and what was asked for.
#[tokio::test]
async fn an_open_server_has_no_form() {
    let server = TestServer::start().await;
    let page = Page::open(server.url()).await;
    let visible = "['login', 'logout', 'audit-open'].map((id) => document.getElementById(id).checkVisibility())";
    assert_eq!(page.js(visible).await, json!([false, false, false]));
    let asked = page
        .js("performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => /log(in|out)$/.test(name))")
        .await;
    assert_eq!(asked, json!([]));
    page.finish().await;
    server.stop().await;
}

/// Goal: the form can be read and used by everybody, on a phone too, and says when the server wants it to wait. Method: axe-core on
/// it as it comes and with a failure, light and dark; a phone's width; a 429 and a 503 in place of the server's answer.
#[tokio::test]
async fn the_form_is_for_everybody() {
    let guarded = Guarded::start(Duration::from_secs(3600)).await;
    let page = Page::open_locked(guarded.url(), "").await;
    no_violations(&page, "form").await;
    let refuse = "(window.real ??= fetch, window.fetch = async () => new Response(JSON.stringify({ error: 'too many requests' }),
        { status: arguments[0], headers: { 'retry-after': '2' } }), true)";
    let [failure, button] = ["login-failure", "login-submit"].map(|id| format!("document.getElementById('{id}')"));
    for status in [429, 503] {
        page.js_with(refuse, vec![json!(status)]).await;
        page.js("document.getElementById('login-email').focus()").await;
        page.js("document.getElementById('login-email').value = ''").await;
        log_in(&page, "any").await;
        // Both at once: two seconds later the second is no longer true.
        let told = format!("{failure}.checkVisibility() && {failure}.textContent.includes('{status}: too many requests')");
        let waits = format!("/^Retry in [12] s$/.test({button}.textContent) && {button}.ariaDisabled === 'true'");
        page.until(&format!("{told} && {waits}")).await;
        if status == 429 {
            no_violations(&page, "form with a failure").await;
        }
        page.until(&format!("{button}.textContent === 'Log in' && {button}.ariaDisabled === 'false'")).await;
    }
    page.js("(window.fetch = window.real, true)").await;
    let phone = json!({ "width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": true });
    page.browser.cdp("Emulation.setDeviceMetricsOverride", phone).await;
    assert_eq!(page.js("document.documentElement.scrollWidth > innerWidth").await, false);
    assert_eq!(
        page.js("['email', 'password'].map((name) => document.getElementById(`login-${name}`).autocomplete)").await,
        json!(["username", "current-password"])
    );
    page.finish_after(Outage::Refused).await;
    guarded.server.stop().await;
}

/// Goal: an admin reads who came in, page by page. Method: sixty logins of users, one
/// of the admin; the newest line, the next page, axe-core.
#[tokio::test]
async fn an_admin_reads_the_audit_log() {
    let guarded = Guarded::start(Duration::from_secs(3600)).await;
    for n in 0..60 {
        guarded.log_user_in(&format!("+9198765{n:05}")).await;
    }
    let page = Page::open_locked(guarded.url(), "").await;
    log_in(&page, PASSWORD).await;
    page.is_live().await;
    page.js("document.getElementById('audit-open').click()").await;
    let rows = "document.querySelectorAll('[data-testid=audit-row]')";
    page.until(&format!("{rows}.length === 50")).await;
    let texts = page.js(&format!("[...{rows}].slice(0, 4).map((row) => row.cells[1].innerText.trim())")).await;
    let newest: Vec<&str> = texts.as_array().unwrap().iter().filter_map(|text| text.as_str()).collect();
    assert!(newest.contains(&format!("{ADMIN} logged in").as_str()), "{newest:?}");
    assert!(newest.contains(&format!("{ADMIN} read the events of all users").as_str()), "{newest:?}");
    assert_eq!(page.js("document.title").await, "Audit log · Live · Sambad");
    no_violations(&page, "audit log").await;
    page.js("document.getElementById('audit-more').click()").await;
    page.until("document.getElementById('audit-more').hidden").await;
    // Sixty-one users, the account, the login, and what the page has read until now.
    let numbers: Vec<u64> =
        serde_json::from_value(page.js(&format!("[...{rows}].map((row) => Number(row.dataset.n))")).await).unwrap();
    assert!(numbers.len() > 63, "{numbers:?}");
    assert!(numbers.iter().rev().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
    page.browser.client.back().await.unwrap();
    page.shows(61).await;
    page.finish_after(Outage::Refused).await;
    guarded.server.stop().await;
}
