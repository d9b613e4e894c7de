//! `/api/openapi.json`: every route of [`ROUTES`], from what stands beside its handler.
//!
//! What holds of all routes is said here, once: refusals, headers, who may call.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use sambad_core::{EventKind, schema};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::refusals::REFUSALS;
use super::requests;
use crate::auth::{COOKIE_NAME, Role, Who};
use crate::compression::Document;
use crate::handlers::{access, admin, audit, contacts, events, health, messages, sync_contacts, users};
use crate::metrics::scrape;
use crate::router::AppState;
use crate::routes::{ROUTES, Route};
use crate::{sse, ws};

#[derive(OpenApi)]
#[openapi(
    info(title = "Sambad", description = ABOUT),
    paths(
        health::root, health::livez, health::readyz, health::health,
        users::login, users::list, users::show, access::refresh, access::logout_user,
        contacts::add, contacts::list, contacts::remove, messages::send, messages::list, sync_contacts::sync,
        events::list, sse::stream, ws::upgrade,
        admin::analytics, admin::activity, admin::users, admin::sessions, admin::close_session,
        access::login_admin, access::logout_admin, audit::list,
        scrape::scrape,
        super::asyncapi::show, show,
    )
)]
struct Described;

const ABOUT: &str = "Real-time sync backend: REST in, gap-free events out. Every response has the header `X-Request-Id`; a \
    caller may send its own. A method that a path does not have gets 405 `method_not_allowed`, with the header `Allow`. \
    docs/protocol.md is the contract; /api/asyncapi.json describes WebSocket frames and event streams.";

/// Answers under `/api` that are of no place in the log.
const WITHOUT_CURSOR: [&str; 8] = [
    "/api/asyncapi.json",
    // With credentials it has one, or on an open server.
    "/api/health",
    "/api/openapi.json",
    "/api/users/refresh",
    "/api/users/logout",
    "/api/admin/login",
    "/api/admin/logout",
    "/api/admin/sessions/{id}",
];

/// What is sent to the server, or has fields that may be missing; of everything else, every field is there.
const WITH_OPTIONAL_FIELDS: [&str; 11] = [
    "AddContact",
    "AddressBook",
    "AddressBookEntry",
    "AdminLogin",
    "Error",
    "Health",
    "Login",
    "OptionalTokens",
    "OtherUser",
    "RefreshBody",
    "SendMessage",
];

/// Parts of the document, with the beginnings of their paths; the last takes what is left.
const TAGS: [(&str, &str, &[&str]); 6] = [
    ("users", "Log in, log out, and find users.", &["/api/users"]),
    ("contacts", "Add, list and remove contacts, and match address books.", &["/api/contacts", "/api/sync-contacts"]),
    ("messages", "Send and list messages.", &["/api/messages"]),
    ("events", "Follow the event log: WebSocket, Server-Sent Events, or long poll.", &["/api/events", "/ws"]),
    ("admin", "The dashboard: figures, users, sessions and the audit log.", &["/api/admin"]),
    ("server", "Health probes, metrics and these documents.", &["/"]),
];

static OPEN: LazyLock<Document> = LazyLock::new(|| Document::new(text(true)));
static GUARDED: LazyLock<Document> = LazyLock::new(|| Document::new(text(false)));

/// `GET /api/openapi.json`: of this server, so that it asks for credentials only where they are asked for.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "openapi",
    summary = "OpenAPI document",
    description = "Describes all HTTP requests and responses of this server.",
    responses((status = 200, description = "This document.", body = Object)),
)]
pub(crate) async fn show(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let document = if state.auth.is_some() { &GUARDED } else { &OPEN };
    document.answer(&headers)
}

fn text(open: bool) -> String {
    serde_json::to_string_pretty(&document(open)).expect("a document is plain data")
}

/// The document; of a server that is `open`, nobody has to say who they are.
fn document(open: bool) -> Value {
    let mut document = json!(Described::openapi());
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") });
    document["info"]["contact"] = json!({ "name": "Sambad" });
    document["servers"] = json!([{ "url": "/", "description": "The server that this document is from." }]);
    document["tags"] = TAGS.iter().map(|(name, about, _)| json!({ "name": name, "description": about })).collect();
    let schemas = &mut document["components"]["schemas"];
    for (name, value) in schema::values().into_iter().chain(super::schema::texts()) {
        schemas[name] = json!(value);
    }
    for (kind, data) in EventKind::ALL.map(|kind| (kind, schema::event_data(kind))) {
        schemas[data.0] = json!(data.1);
        schemas[event_name(kind)] = event(kind, data.0);
    }
    let kinds = EventKind::ALL.map(|kind| json!({ "$ref": format!("#/components/schemas/{}", event_name(kind)) }));
    schemas["Event"] = json!({ "oneOf": kinds });
    schemas["Error"] = error_schema();
    requests::add_alternatives(schemas);
    let answers = schemas.as_object_mut().into_iter().flatten();
    answers.filter(|(name, _)| !WITH_OPTIONAL_FIELDS.contains(&name.as_str())).for_each(|(_, schema)| require_all(schema));
    // No operation that is described has 405.
    let errors = REFUSALS.iter().filter(|(status, ..)| *status != 405);
    document["components"]["responses"] = errors.map(error_response).collect::<Map<_, _>>().into();
    document["components"]["headers"] = headers();
    if !open {
        document["components"]["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of a user, service or admin." },
            "cookie": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIE_NAME,
                "description": "The session cookie of an admin. Its name is `sambad_session` for loopback addresses without TLS.",
            },
        });
    }
    for route in ROUTES {
        let pointer = format!("/paths/{}/{}", route.path.replace('/', "~1"), route.method.as_str().to_lowercase());
        if let Some(operation) = document.pointer_mut(&pointer) {
            complete(operation, route, open);
        }
    }
    document
}

fn event_name(kind: EventKind) -> String {
    kind.as_str().split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn event(kind: EventKind, data: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string", "enum": [kind.as_str()] },
            "data": { "$ref": format!("#/components/schemas/{data}") },
            "timestamp": { "$ref": "#/components/schemas/Timestamp" },
            "seq": { "$ref": "#/components/schemas/Seq" },
        },
        "required": ["type", "data", "timestamp", "seq"],
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": { "type": "string", "description": "The error, for people." },
            "code": { "type": "string", "description": "The error, for programs: stable." },
            "request_id": { "type": "string", "description": "The header `X-Request-Id` of this response." },
            "reason": { "type": "string", "description": "Only with `cursor_gone`: the reason.",
                "enum": ["cursor_expired", "epoch_changed", "cursor_ahead"] },
            "cursor": { "$ref": "#/components/schemas/Cursor", "description": "Only with `cursor_gone`: continue from here." },
        },
        "required": ["error", "code", "request_id"],
    })
}

/// A field that is null is there, which a derive takes for one that need not be.
fn require_all(schema: &mut Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        schema["required"] = properties.keys().cloned().collect();
    }
    schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten().for_each(require_all);
}

fn error_response((status, codes, about): &(u16, &[&str], &str)) -> (String, Value) {
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    match status {
        401 => headers["WWW-Authenticate"] = header("WWW-Authenticate"),
        410 => headers["Sambad-Cursor"] = header("Sambad-Cursor"),
        429 | 503 => headers["Retry-After"] = header("Retry-After"),
        _ => {}
    }
    let code = json!({ "properties": { "code": { "enum": codes } } });
    let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Error" }, code] });
    let content = json!({ "application/json": { "schema": schema } });
    (format!("Error{status}"), json!({ "description": about, "headers": headers, "content": content }))
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    let text = |about: &str| json!({ "required": true, "description": about, "schema": { "type": "string" } });
    json!({
        "X-Request-Id": text("The id of the request: the caller's own, or generated by the server."),
        "WWW-Authenticate": text("The authentication scheme: `Bearer`."),
        "Retry-After": { "required": true, "description": "Retry after so many seconds.", "schema": { "type": "integer", "minimum": 1 } },
        "Sambad-Cursor": {
            "required": true,
            "description": "The position in the event log to which the response belongs.",
            "schema": { "$ref": "#/components/schemas/Cursor" },
        },
        "Idempotent-Replayed": {
            "description": "The response to the first request with this `Idempotency-Key`, again.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "Sambad-Reconnect-After-Ms": {
            "description": "The server shuts down: reconnect after so many milliseconds.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "Link": { "description": "The address of the next page (RFC 8288).", "schema": { "type": "string" } },
    })
}

/// Says of an operation what follows from its route.
fn complete(operation: &mut Value, route: &Route, open: bool) {
    let of = |begins: &[&str]| begins.iter().any(|begin| route.path.starts_with(begin));
    operation["tags"] = TAGS.iter().find(|(.., begins)| of(begins)).map(|(name, ..)| *name).into_iter().collect();
    requests::add_examples(operation);
    let (callers, security) = match route.who {
        _ if open => (String::new(), Vec::new()),
        Who::Anyone => ("No authentication.".into(), Vec::new()),
        Who::Roles(roles) | Who::RolesOrVerifiedPhone(roles) => {
            let names: Vec<String> = roles.iter().map(|role| format!("`{}`", role.as_str())).collect();
            let verified = matches!(route.who, Who::RolesOrVerifiedPhone(_));
            let verified = if verified { ", or an outside issuer's token for this verified phone number" } else { "" };
            let cookie = roles.contains(&Role::Admin).then(|| json!({ "cookie": [] }));
            let security = [json!({ "bearer": [] })].into_iter().chain(cookie).collect();
            (format!("Roles: {}{verified}.", names.join(", ")), security)
        }
    };
    let about = operation["description"].as_str().unwrap_or_default();
    operation["description"] = [about, &callers].join(" ").trim().into();
    operation["security"] = security.into();
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        let is_stream = matches!(route.path, "/ws" | "/api/events/stream");
        parameters.retain(|parameter| !is_stream || parameter["name"] != "limit" && parameter["name"] != "wait");
        parameters.iter_mut().for_each(|parameter| not_null(&mut parameter["schema"]));
    }
    let refused = refused(operation, route);
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses.iter_mut() {
        let names = response_headers(route, status, response.pointer("/headers/Link").is_some());
        for name in names {
            response["headers"][name] = header(name);
        }
    }
    if route.path == "/api/contacts" && route.method == Method::POST {
        // So that machines, too, see that what was added can be removed.
        let id = json!({ "id": "$response.body#/contact/id" });
        let links = json!({ "removeContact": { "operationId": "removeContact", "parameters": id } });
        responses.values_mut().for_each(|response| response["links"] = links.clone());
    }
    for status in refused {
        let reference = json!({ "$ref": format!("#/components/responses/Error{status}") });
        responses.entry(status.to_string()).or_insert(reference);
    }
}

/// Takes the null from a schema: a parameter that is there has a value.
fn not_null(schema: &mut Value) {
    let is_null = |value: &Value| *value == "null" || value["type"] == "null";
    for several in ["oneOf", "type"] {
        let Some(items) = schema[several].as_array() else { continue };
        let mut others = items.iter().filter(|item| !is_null(item));
        if let (Some(one), None) = (others.next().cloned(), others.next()) {
            if several == "type" { schema["type"] = one } else { *schema = one }
        }
    }
}

/// The headers of an answer that is no refusal.
fn response_headers(route: &Route, status: &str, is_list: bool) -> Vec<&'static str> {
    let mut names = vec!["X-Request-Id"];
    let is_api = route.path.starts_with("/api/") && !WITHOUT_CURSOR.contains(&route.path);
    if is_api && status.starts_with('2') {
        names.push("Sambad-Cursor");
        if route.method == Method::POST && route.path != "/api/sync-contacts" {
            names.push("Idempotent-Replayed");
        }
    }
    if is_list {
        names.push("Link");
    }
    if route.path == "/api/events" {
        names.push("Sambad-Reconnect-After-Ms");
    }
    names
}

/// The statuses with which a request can be refused.
fn refused(operation: &Value, route: &Route) -> Vec<u16> {
    let mut statuses = vec![400, 417, 429, 500, 503];
    let has_body = operation["requestBody"].is_object();
    if has_body {
        statuses.extend([408, 413, 415, 422]);
    }
    if route.who != Who::Anyone || matches!(route.path, "/api/users/refresh" | "/api/admin/login") {
        statuses.push(401);
    }
    if route.who != Who::Anyone || !route.method.is_safe() {
        statuses.push(403);
    }
    let names_others = route.path.contains('{') || route.method != Method::GET;
    if names_others && route.path != "/api/sync-contacts" {
        statuses.push(404);
    }
    match route.path {
        "/api/events" => statuses.push(410),
        "/ws" => statuses.push(426),
        _ => {}
    }
    statuses
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Goal: the document has every route and no other, each with a name of its own. Method: the route table, both ways.
    #[test]
    fn every_route_is_documented() {
        let document = document(false);
        let (mut said, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                said.insert((method.to_uppercase(), path.clone()));
                assert!(names.insert(operation["operationId"].to_string()), "{operation}");
            }
        }
        let routes: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
        assert_eq!(said, routes);
    }

    /// Goal: the copy in `docs` is what a server says that asks for credentials. Method: a snapshot; SAMBAD_UPDATE_SNAPSHOTS=1
    /// writes it anew.
    #[test]
    fn the_copy_is_the_document() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        if std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, text(false) + "\n").unwrap();
        }
        let copy = std::fs::read_to_string(&path).unwrap();
        assert!(copy.trim_end() == text(false), "{} differs from what the server serves", path.display());
    }

    /// Goal: who may call is in the document, and only where anybody is asked. Method: each route's roles.
    #[test]
    fn security_is_the_route_table() {
        let (guarded, open) = (document(false), document(true));
        for route in ROUTES {
            let method = route.method.as_str().to_lowercase();
            let security = &guarded["paths"][route.path][&method]["security"];
            assert_eq!(*security == json!([]), route.who == Who::Anyone, "{}", route.path);
            assert_eq!(open["paths"][route.path][&method]["security"], json!([]), "{}", route.path);
        }
    }
}
