//! Every route, asked by every kind of caller.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use sambad_core::Timestamp;
use sambad_core::access::AccessChange;
use sambad_server::config::Role;
use sambad_server::testing::routes;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, PASSWORD_HASH, World, soon};
use crate::tokens::forged;

const DOCUMENT: &str = include_str!("../../../docs/reference/security-policy.md");

/// The table of the documentation: method and path, and who may.
fn documented() -> BTreeSet<(String, String)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows = rows.filter(|(route, _)| ["GET /", "POST /", "DELETE /"].iter().any(|method| route.starts_with(method)));
    rows.map(|(route, who)| (route.to_owned(), who.split(" |").next().unwrap().to_owned())).collect()
}

/// Goal: the documentation says who may do what. Method: its table against that of the code.
#[test]
fn the_documented_table_is_the_codes() {
    let code: BTreeSet<(String, String)> =
        routes().into_iter().map(|(method, path, who)| (format!("{method} {path}"), who.join(", "))).collect();
    assert_eq!(documented(), code);
}

/// A world with two users, who have something that the other may not touch.
struct Scene {
    world: World,
    first: Value,
    second: Value,
    contact: Mutex<String>,
}

impl Scene {
    async fn set() -> Self {
        let world = World::start().await;
        world.add_admin(PASSWORD_HASH).await;
        let (first, second) = (world.login("+919876543210").await, world.login("+919876543211").await);
        let scene = Self { world, first, second, contact: Mutex::default() };
        scene.make_contact().await;
        scene
    }

    /// Makes the first user's contact, if it was removed.
    async fn make_contact(&self) {
        let add = json!({ "userId": self.first["id"], "contactUserId": self.second["id"] });
        let made = self.world.post("/api/contacts", &self.world.service(), &add).await.json();
        made["contact"]["id"].as_str().unwrap().clone_into(&mut self.contact.lock().unwrap());
    }

    /// A request for a route that is about the first user and right in every way.
    fn request(&self, method: &str, path: &str) -> (String, Option<Value>) {
        let (first, second) = (self.first["id"].as_str().unwrap(), self.second["id"].as_str().unwrap());
        let body = match (method, path) {
            ("POST", "/api/users/login") => json!({ "phone": "+919876543210" }),
            ("POST", "/api/users/refresh") => json!({ "refresh_token": "unknown" }),
            ("POST", "/api/contacts") => json!({ "userId": first, "contactUserId": second }),
            ("POST", "/api/messages") => json!({ "fromUserId": first, "toUserId": second, "content": "x" }),
            ("POST", "/api/sync-contacts") => json!({ "contacts": [] }),
            ("POST", "/api/admin/login") => json!({ "email": "nobody@example.com", "password": PASSWORD }),
            ("POST", _) => json!({}),
            _ => Value::Null,
        };
        let path = match path {
            "/api/contacts/{id}" => path.replace("{id}", &self.contact.lock().unwrap()),
            "/api/users/{id}" => path.replace("{id}", first),
            // No session has it: whoever may close one is told so.
            "/api/admin/sessions/{id}" => path.replace("{id}", "01920000-0000-7000-8000-000000000000"),
            "/api/contacts" | "/api/messages" if method == "GET" => format!("{path}?userId={first}"),
            "/api/events" | "/api/events/stream" => format!("{path}?user={first}"),
            _ => path.to_owned(),
        };
        (path, (!body.is_null()).then_some(body))
    }

    /// The status and code that a caller with this header gets.
    async fn ask(&self, method: &str, path: &str, header: Option<(&'static str, &str)>) -> (u16, String) {
        let (path, body) = self.request(method, path);
        if path == "/ws" {
            let first = self.first["id"].as_str().unwrap();
            let asked = self.world.socket(&format!("user={first}"), header.as_slice()).await;
            return (asked.map_or_else(|status| status, |_| 101), String::new());
        }
        let answer = soon("answer", self.world.send(method, &path, header.as_slice(), body.as_ref())).await;
        let code = serde_json::from_str::<Value>(&answer.text).ok();
        (answer.status, code.and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default())
    }
}

/// What a route answers whoever may ask for it: these have something else to say than 2xx.
fn granted(method: &str, path: &str) -> (u16, &'static str) {
    match (method, path) {
        ("GET", "/ws") => (101, ""),
        ("POST", "/api/users/refresh" | "/api/admin/login") => (401, "unauthorized"),
        ("DELETE", "/api/admin/sessions/{id}") => (404, "not_found"),
        ("POST", "/api/messages") => (201, ""),
        _ => (200, ""),
    }
}

/// Goal: without good credentials nothing but what is for anyone is served. Method: every route, by nobody and by every kind
/// of bad credential: forged in each way, expired, revoked, a cookie of no session.
#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials_open_nothing() {
    let scene = Scene::set().await;
    let keys = &scene.world.keys;
    let revoked = keys.token(&[Role::Admin, Role::Service], "operator");
    let id = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(&revoked).unwrap()["jti"].as_str().unwrap().to_owned();
    let until = Timestamp::now().plus(Duration::from_secs(600));
    scene.world.change(AccessChange::Revoke { id, expires_at: until }).await;
    soon("revocation", async {
        while scene.world.get("/api/users", &revoked).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut headers: Vec<(String, Option<(&str, String)>)> = vec![
        ("nobody".into(), None),
        ("a cookie of no session".into(), Some(("cookie", "sambad_session=abc".into()))),
        ("basic".into(), Some(("authorization", "Basic YTpi".into()))),
        ("revoked".into(), Some(("authorization", format!("Bearer {revoked}")))),
    ];
    for (what, token) in forged(keys) {
        headers.push((what.into(), Some(("authorization", format!("Bearer {token}")))));
    }
    for (method, path, who) in routes() {
        let expected = if who == ["anyone"] { granted(&method, path) } else { (401, "unauthorized") };
        for (what, header) in &headers {
            let (status, code) = scene.ask(&method, path, header.as_ref().map(|(name, value)| (*name, value.as_str()))).await;
            assert_eq!(status, expected.0, "{method} {path} by {what}");
            assert!(path == "/ws" || code == expected.1, "{method} {path} by {what}: {code}");
        }
    }
    scene.world.stop().await;
}

/// Goal: each role may do what the table says, and nothing else; nor may a user touch what is another's. Method: every route
/// about the first user, by each role, by both users, and by an admin's cookie.
#[tokio::test(flavor = "multi_thread")]
async fn roles_may_do_what_the_table_says() {
    let scene = Scene::set().await;
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    for (method, path, who) in routes() {
        // Anew for each, since one of the routes logs out.
        let cookie = scene.world.log_in_as_admin(PASSWORD).await.cookie();
        let (own, other) = (scene.world.login("+919876543210").await, scene.world.login("+919876543211").await);
        let callers = [
            ("other", "user", bearer(other["token"].as_str().unwrap())),
            ("service", "service", bearer(&scene.world.service())),
            ("admin", "admin", bearer(&scene.world.admin())),
            ("own", "user", bearer(own["token"].as_str().unwrap())),
            ("admin by cookie", "admin", ("cookie", cookie)),
        ];
        for (what, role, (name, value)) in callers {
            scene.make_contact().await;
            let (status, code) = scene.ask(&method, path, Some((name, &value))).await;
            let expected = if who.contains(&"anyone") || who.contains(&role) {
                match (what, own_only(&method, path)) {
                    ("other", Some(refused)) => refused,
                    _ => granted(&method, path),
                }
            } else {
                (403, "forbidden")
            };
            assert_eq!(status, expected.0, "{method} {path} by {what}: {code}");
            assert!(path == "/ws" || code == expected.1, "{method} {path} by {what}: {code}");
        }
    }
    scene.world.stop().await;
}

/// What a user is answered who asks for what is another's; `None` where they get their own instead, whatever they ask for.
fn own_only(method: &str, path: &str) -> Option<(u16, &'static str)> {
    match (method, path) {
        ("GET", "/api/users/{id}" | "/api/contacts" | "/api/messages") | ("POST", "/api/contacts" | "/api/messages") => {
            Some((403, "forbidden"))
        }
        ("DELETE", "/api/contacts/{id}") => Some((404, "contact_not_found")),
        _ => None,
    }
}

/// Goal: HEAD is no way around what GET refuses, and a method that a path has not is no way in. Method: every path.
#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_no_way_in() {
    let scene = Scene::set().await;
    let table = routes();
    for path in table.iter().map(|(_, path, _)| *path).collect::<BTreeSet<_>>().into_iter().filter(|path| *path != "/ws") {
        let of = |method: &str| table.iter().find(|(has, found, _)| has == method && *found == path);
        let (target, _) = scene.request("GET", path);
        if let Some((_, _, who)) = of("GET") {
            let expected = if who == &["anyone"] { 200 } else { 401 };
            assert_eq!(scene.world.send("HEAD", &target, &[], None).await.status, expected, "HEAD {path}");
        }
        for method in ["PUT", "PATCH", "DELETE", "POST", "GET"].into_iter().filter(|method| of(method).is_none()) {
            assert_eq!(scene.world.send(method, &target, &[], None).await.status, 405, "{method} {path}");
        }
    }
    scene.world.stop().await;
}
