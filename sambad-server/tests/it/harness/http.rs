//! REST: one method a request, and answers that check what every answer must have.

use std::time::Duration;

use http::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{PATIENCE, masked};

/// A REST client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    url: String,
}

impl Api {
    pub(crate) fn new(url: &str) -> Self {
        let client = Client::builder().timeout(PATIENCE + Duration::from_secs(5)).build().expect("a plain client can be built");
        Self { client, url: url.to_owned() }
    }

    /// A client that trusts the certificate `pem` and no other.
    pub(crate) fn trusting(url: &str, pem: &str) -> Self {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate in PEM");
        let client = Client::builder().timeout(PATIENCE + Duration::from_secs(5)).tls_certs_only([root]);
        Self { client: client.build().expect("a client with a root can be built"), url: url.to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_with(path, &[], body).await
    }

    /// Posts JSON with further headers.
    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl ToString) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.request(Method::POST, path, &headers, Some(body.to_string())).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        self.try_request(method, path, headers, body).await.expect("the server answers")
    }

    /// As `request`, for servers that may be killed meanwhile.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.try_request(Method::POST, path, &[("content-type", "application/json")], Some(body.to_string())).await
    }

    /// As `request`, for servers that may be stopped meanwhile.
    pub(crate) async fn try_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = body.into_iter().fold(request, RequestBuilder::body);
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, text: response.text().await? };
        assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "no X-Request-Id on {answer:?}");
        Ok(answer)
    }

    /// Logs in and gives the user's id.
    pub(crate) async fn user(&self, phone: &str) -> String {
        let answer = self.post("/api/users/login", json!({ "phone": phone })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text_at("id")
    }

    /// `n` users with phones of their own.
    pub(crate) async fn users(&self, n: u64) -> Vec<String> {
        let mut ids = Vec::new();
        for i in 0..n {
            ids.push(self.user(&format!("+9190000{i:05}")).await);
        }
        ids
    }

    pub(crate) async fn add_contact(&self, user: &str, contact: &str) -> Answer {
        self.post("/api/contacts", json!({ "userId": user, "contactUserId": contact })).await
    }

    pub(crate) async fn send_message(&self, from: &str, to: &str, content: &str) -> Answer {
        self.post("/api/messages", json!({ "fromUserId": from, "toUserId": to, "content": content })).await
    }

    /// The server's cursor now.
    pub(crate) async fn cursor(&self) -> String {
        self.get("/api/health").await.cursor().to_owned()
    }

    /// Every event there is, page by page.
    pub(crate) async fn whole_log(&self) -> Vec<Value> {
        let (mut events, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let page = self.get(&format!("/api/events?after={after}&limit=1000")).await.json();
            let found = page["events"].as_array().expect("a list of events");
            if found.is_empty() {
                return events;
            }
            events.extend(found.iter().cloned());
            page["cursor"].as_str().expect("a page has a cursor").clone_into(&mut after);
        }
    }

    /// Follows `Link: rel="next"` from `path` to the end; gives the pages' items and how many pages there were.
    pub(crate) async fn walk(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut items, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
        while let Some(path) = next {
            let page = self.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            items.extend(page.json().as_array().expect("a list").iter().cloned());
            pages += 1;
            next = page.header("link").map(|link| {
                let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
                path.expect("Link has the form of RFC 8288").to_owned()
            });
        }
        (items, pages)
    }
}

/// What the server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are ASCII"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A text field of the body.
    pub(crate) fn text_at(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.text)).to_owned()
    }

    /// The `seq` of an accepted write; `None` when it caused no event.
    pub(crate) fn seq(&self) -> Option<u64> {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()["seq"].as_u64()
    }

    pub(crate) fn cursor(&self) -> &str {
        self.header("sambad-cursor").unwrap_or_else(|| panic!("no Sambad-Cursor in {self:?}"))
    }

    pub(crate) fn cursor_seq(&self) -> u64 {
        let (_, seq) = self.cursor().split_once('-').expect("a cursor has an epoch");
        seq.parse().expect("a cursor ends in a seq")
    }

    /// Checks status and literal body, with what varies masked.
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, masked(&self.text).as_str()), (status, body));
        assert_eq!(self.header("content-type"), Some("application/json"));
    }

    /// Checks that this is the contract's refusal, key by key. Gives what people are told.
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        let (error, id) = (&body["error"], &body["request_id"]);
        let reason = body.get("reason").map(|reason| format!(r#","reason":{reason}"#)).unwrap_or_default();
        let cursor = body.get("cursor").map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
        assert_eq!(self.text, format!(r#"{{"error":{error},"code":"{code}","request_id":{id}{reason}{cursor}}}"#));
        assert_eq!((!reason.is_empty(), !cursor.is_empty()), (code == "cursor_gone", code == "cursor_gone"), "{self:?}");
        assert_eq!(id.as_str(), self.header("x-request-id"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("retry-after").is_some(), matches!(status, 429 | 503), "{self:?}");
        let error = error.as_str().expect("error is for people").to_owned();
        for inside in ["sqlx", "SQL", "select ", ".rs", "panicked", "/tmp"] {
            assert!(!error.contains(inside), "{error} tells of the inside");
        }
        error
    }
}
