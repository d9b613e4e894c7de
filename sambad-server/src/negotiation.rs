//! What a client accepts, by the weights of `Accept` and `Accept-Encoding`.
//!
//! Items that cannot be read are passed over. Source: RFC 9110, 12.4.2, 12.5.1 and 12.5.3.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName};

/// How much a client wants a media type: by weight, then by how precisely it is named. The order of the fields is that of what
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Preference {
    /// In thousandths.
    weight: u16,
    /// 0 for `*/*`, 1 for `text/*`, 2 for the type.
    precision: u8,
}

impl Preference {
    /// Of a media type without parameters, such as `text/html`. A range that asks for another `version` is not of this one.
    pub(crate) fn of(headers: &HeaderMap, media_type: &str, version: Option<&str>) -> Self {
        let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
        let matching = items(headers, &ACCEPT).filter_map(|item| {
            let precision = match item.value.split_once('/')? {
                ("*", "*") => 0,
                (range, "*") if range.eq_ignore_ascii_case(kind) => 1,
                _ if item.value.eq_ignore_ascii_case(media_type) => 2,
                _ => return None,
            };
            let asked = item.parameter("version");
            (asked.is_none() || version.is_none() || asked == version).then_some((precision, item.weight()?))
        });
        // The most precise range counts, whatever its weight.
        match matching.max() {
            Some((precision, weight)) => Self { weight, precision },
            None => Self { weight: 0, precision: 0 },
        }
    }

    /// Whether this is wanted rather than the other, which is sent when nothing speaks for either.
    pub(crate) fn beats(self, other: Self) -> bool {
        self.weight > 0 && self > other
    }
}

/// Whether an answer goes out compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Identity,
    /// By gzip, where that pays.
    Gzip,
    /// By gzip alone: the client refuses anything else.
    GzipOnly,
}

impl Coding {
    /// The coding that a client wants. One that accepts none of ours gets the answer as it is.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let weight = |names: &[&str]| {
            let named =
                items(headers, &ACCEPT_ENCODING).filter(|item| names.iter().any(|name| item.value.eq_ignore_ascii_case(name)));
            named.filter_map(Item::weight).max()
        };
        let any = weight(&["*"]);
        let (gzip, identity) = (weight(&["gzip", "x-gzip"]).or(any).unwrap_or(0), weight(&["identity"]));
        if gzip == 0 || identity.is_some_and(|identity| identity > gzip) {
            return Self::Identity;
        }
        // `*` stands for codings that are not named, so that `*;q=0` refuses this one as well.
        if identity.or(any.filter(|any| *any == 0)) == Some(0) { Self::GzipOnly } else { Self::Gzip }
    }
}

/// One item of a list: a value with parameters.
#[derive(Debug, Clone, Copy)]
struct Item<'a> {
    value: &'a str,
    parameters: &'a str,
}

impl<'a> Item<'a> {
    fn parameter(self, name: &str) -> Option<&'a str> {
        let mut pairs = self.parameters.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// In thousandths; `None` when it is none.
    fn weight(self) -> Option<u16> {
        let Some(text) = self.parameter("q") else { return Some(1000) };
        let weight = text.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
        // It is between 0 and 1000.
        Some((weight * 1000.0).round() as u16)
    }
}

/// The items of a header that is a list.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Item<'a>> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let (value, parameters) = item.split_once(';').unwrap_or((item, ""));
        Item { value: value.trim(), parameters }
    })
}
