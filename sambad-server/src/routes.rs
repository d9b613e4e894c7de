//! Every route there is, with who may ask for it.

use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post};

use crate::auth::Role::{Admin, Service, User};
use crate::auth::Who::{self, Anyone, Roles, RolesOrVerifiedPhone};
use crate::handlers::{access, admin, audit, contacts, events, health, messages, sync_contacts, users};
use crate::metrics::scrape;
use crate::router::AppState;
use crate::{documents, sse, ws};

/// A method of a path.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) who: Who,
    pub(crate) handler: fn() -> MethodRouter<AppState>,
}

const fn route(method: Method, path: &'static str, who: Who, handler: fn() -> MethodRouter<AppState>) -> Route {
    Route { method, path, who, handler }
}

impl Route {
    /// Whether the answer is compressed for who asks for it: lists and figures. Documents are compressed once, streams never.
    pub(crate) fn is_compressed(&self) -> bool {
        let is_list = self.path.starts_with("/api/") && !self.path.ends_with(".json") && self.path != "/api/events/stream";
        self.method == Method::GET && (is_list || self.path == METRICS)
    }
}

/// The methods that a path answers, as `Allow` has them; a path that is not in the table is that of a file.
pub(crate) fn methods(path: &str, others_may: bool) -> String {
    let named: Vec<&str> = ROUTES.iter().filter(|route| route.path == path).map(|route| route.method.as_str()).collect();
    let mut methods = if named.is_empty() { vec!["GET"] } else { named };
    // A handler for GET takes HEAD as well, which upgrades nothing.
    if methods.contains(&"GET") && path != "/ws" {
        methods.push("HEAD");
    }
    if others_may {
        methods.push("OPTIONS");
    }
    methods.join(", ")
}

/// A user's own, and everything for an operator.
const READERS: Who = Roles(&[User, Admin]);
/// A user for themselves, and an app's backend for any.
const WRITERS: Who = Roles(&[User, Service]);
const ADMINS: Who = Roles(&[Admin]);

/// Where figures for a monitoring system are, unless they have an address of their own.
pub(crate) const METRICS: &str = "/metrics";

/// The table. Files of the dashboard and the like, which are the same for everybody, are `assets`.
pub(crate) static ROUTES: &[Route] = &[
    route(Method::GET, "/", Anyone, || get(health::root)),
    route(Method::GET, "/livez", Anyone, || get(health::livez)),
    route(Method::GET, "/readyz", Anyone, || get(health::readyz)),
    route(Method::GET, METRICS, ADMINS, || get(scrape)),
    route(Method::GET, "/ws", READERS, || get(ws::upgrade)),
    route(Method::GET, "/api/asyncapi.json", Anyone, || get(documents::asyncapi::show)),
    route(Method::GET, "/api/openapi.json", Anyone, || get(documents::openapi::show)),
    route(Method::GET, "/api/health", Anyone, || get(health::health)),
    route(Method::POST, "/api/users/login", RolesOrVerifiedPhone(&[Service]), || post(users::login)),
    // The refresh token in the body says who asks.
    route(Method::POST, "/api/users/refresh", Anyone, || post(access::refresh)),
    route(Method::POST, "/api/users/logout", Roles(&[User]), || post(access::logout_user)),
    route(Method::GET, "/api/users", ADMINS, || get(users::list)),
    route(Method::GET, "/api/users/{id}", READERS, || get(users::show)),
    route(Method::POST, "/api/contacts", WRITERS, || post(contacts::add)),
    route(Method::GET, "/api/contacts", READERS, || get(contacts::list)),
    route(Method::DELETE, "/api/contacts/{id}", WRITERS, || delete(contacts::remove)),
    route(Method::POST, "/api/messages", WRITERS, || post(messages::send)),
    route(Method::GET, "/api/messages", READERS, || get(messages::list)),
    route(Method::POST, "/api/sync-contacts", WRITERS, || post(sync_contacts::sync)),
    route(Method::POST, "/api/admin/login", Anyone, || post(access::login_admin)),
    route(Method::POST, "/api/admin/logout", ADMINS, || post(access::logout_admin)),
    route(Method::GET, "/api/admin/analytics", ADMINS, || get(admin::analytics)),
    route(Method::GET, "/api/admin/activity", ADMINS, || get(admin::activity)),
    route(Method::GET, "/api/admin/users", ADMINS, || get(admin::users)),
    route(Method::GET, "/api/admin/sessions", ADMINS, || get(admin::sessions)),
    route(Method::DELETE, "/api/admin/sessions/{id}", ADMINS, || delete(admin::close_session)),
    route(Method::GET, "/api/admin/audit", ADMINS, || get(audit::list)),
    route(Method::GET, "/api/events", READERS, || get(events::list)),
    route(Method::GET, "/api/events/stream", READERS, || get(sse::stream)),
];
