//! What the server answers: the value, and what its headers say about it.

use std::fmt;

use sambad_core::{Cursor, Seq};
use serde_json::value::RawValue;

/// An answer of the REST interface.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The answer's content.
    pub value: T,
    /// Position of the event log at which the content was true; of the caused event for a write.
    ///
    /// A stream opened after it neither misses nor repeats anything that the content includes.
    pub cursor: Option<Cursor>,
    /// Seq of the event that a write caused; `None` for a read, and for a write that changed nothing.
    pub seq: Option<Seq>,
    /// Whether the server had answered this idempotency key before, and repeats that answer.
    pub replayed: bool,
    /// Where the list goes on; `None` on the last page.
    pub next: Option<PageToken>,
    /// By which the server's log knows the request.
    pub request_id: Option<String>,
    /// The content as it came, fields that this crate does not know included.
    pub json: Box<RawValue>,
}

impl<T> Answer<T> {
    /// Turns the content into another with the same headers.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        let Self { value, cursor, seq, replayed, next, request_id, json } = self;
        Answer { value: f(value), cursor, seq, replayed, next, request_id, json }
    }
}

/// Where a page of a list begins: opaque, only to be handed back to the same list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// Reads the token out of a `Link` header, if that names a next page.
    ///
    /// Source: RFC 8288, section 3. Only the form that the contract fixes is read: one target, `rel="next"`.
    pub(crate) fn from_link(header: &str) -> Option<Self> {
        let link = header.split(',').find(|link| link.contains("rel=\"next\""))?;
        let target = link.split_once('<')?.1.split_once('>')?.0;
        let query = target.split_once('?')?.1;
        // The target may be relative; only its query is of interest, so any base will do.
        let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).ok()?;
        url.query_pairs().find(|(key, _)| key == "after").map(|(_, value)| Self(value.into_owned()))
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the next page is found in whatever form the target has. Method: a table.
    #[test]
    fn finds_the_next_page() {
        for (header, token) in [
            ("</api/users?limit=2&after=a%2Bb>; rel=\"next\"", Some("a+b")),
            ("<http://h:1/api/users?after=x>; rel=\"next\"", Some("x")),
            ("<?after=p>; rel=\"prev\", <?after=n>; rel=\"next\"", Some("n")),
            ("</api/users?after=x>; rel=\"prev\"", None),
            ("</api/users>; rel=\"next\"", None),
            ("garbage", None),
        ] {
            assert_eq!(PageToken::from_link(header).map(|t| t.0).as_deref(), token, "{header}");
        }
    }
}
