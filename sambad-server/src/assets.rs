//! The dashboard and the browser's client library: files that are part of the binary.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::OnceLock;

use axum::Router;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use crate::compression::pack;
use crate::negotiation::Coding;
use crate::router::AppState;

/// Where browsers are sent.
pub(crate) const DASHBOARD: &str = "/dashboard";

/// Nothing is loaded from elsewhere, nothing in a page is taken for a script, and no page frames another.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
/// What the reference of the API needs beside: its icons are part of its style sheet, and what it makes of the document becomes
/// markup by way of a sanitizer.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
/// Kept, and asked for anew each time: a new server may have new files.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// How a packed file begins. Source: RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! files {
    ($($path:literal $file:literal $media_type:ident)*) => {
        /// Every file, by its path.
        static FILES: [File; [$($path),*].len()] = [$(File::new($path, include_bytes!(concat!("../web/", $file)), $media_type)),*];
    };
}

files! {
    "/sambad.js" "sambad.js" JS
    "/sambad.d.ts" "sambad.d.ts" TEXT
    "/docs" "docs/index.html" HTML
    "/docs/LICENSE.txt" "docs/LICENSE.txt" TEXT
    "/docs/page.css" "docs/page.css" CSS
    "/docs/page.js" "docs/page.js" JS
    "/docs/swagger-ui.css" "docs/swagger-ui.css.gz" CSS
    "/docs/swagger-ui.js" "docs/swagger-ui.js.gz" JS
    "/dashboard" "dashboard/index.html" HTML
    "/dashboard/api.js" "dashboard/api.js" JS
    "/dashboard/app.js" "dashboard/app.js" JS
    "/dashboard/audit.js" "dashboard/audit.js" JS
    "/dashboard/badge.js" "dashboard/badge.js" JS
    "/dashboard/chart.js" "dashboard/chart.js" JS
    "/dashboard/clock.js" "dashboard/clock.js" JS
    "/dashboard/dom.js" "dashboard/dom.js" JS
    "/dashboard/favicon.svg" "dashboard/favicon.svg" SVG
    "/dashboard/feed.js" "dashboard/feed.js" JS
    "/dashboard/figures.js" "dashboard/figures.js" JS
    "/dashboard/filter.js" "dashboard/filter.js" JS
    "/dashboard/filterbar.js" "dashboard/filterbar.js" JS
    "/dashboard/format.js" "dashboard/format.js" JS
    "/dashboard/keys.js" "dashboard/keys.js" JS
    "/dashboard/latency.js" "dashboard/latency.js" JS
    "/dashboard/lines.js" "dashboard/lines.js" JS
    "/dashboard/login.js" "dashboard/login.js" JS
    "/dashboard/model.js" "dashboard/model.js" JS
    "/dashboard/pages.js" "dashboard/pages.js" JS
    "/dashboard/phone.js" "dashboard/phone.js" JS
    "/dashboard/rate.js" "dashboard/rate.js" JS
    "/dashboard/recent.js" "dashboard/recent.js" JS
    "/dashboard/refresh.js" "dashboard/refresh.js" JS
    "/dashboard/row.js" "dashboard/row.js" JS
    "/dashboard/sessions.js" "dashboard/sessions.js" JS
    "/dashboard/sparkline.js" "dashboard/sparkline.js" JS
    "/dashboard/store.js" "dashboard/store.js" JS
    "/dashboard/style.css" "dashboard/style.css" CSS
    "/dashboard/user.js" "dashboard/user.js" JS
    "/dashboard/users.js" "dashboard/users.js" JS
}

/// One file.
#[derive(Debug)]
struct File {
    path: &'static str,
    /// As in the folder; what is large and somebody else's is packed there.
    bytes: &'static [u8],
    media_type: &'static str,
    packed: OnceLock<Packed>,
    /// What a file that lies packed is unpacked: made once, by the first who cannot unpack it, and shared by all answers.
    unpacked: OnceLock<Vec<u8>>,
}

/// What is made of a file when it is first asked for.
#[derive(Debug)]
struct Packed {
    gzip: Cow<'static, [u8]>,
    etag: HeaderValue,
    gzip_etag: HeaderValue,
}

/// The routes of all files.
pub(crate) fn routes() -> Router<AppState> {
    let routes = Router::new()
        .route("/dashboard/", get(async || Redirect::permanent("../dashboard")))
        .route("/docs/", get(async || Redirect::permanent("../docs")));
    FILES.iter().fold(routes, |routes, file| routes.route(file.path, get(async |headers: HeaderMap| file.answer(&headers))))
}

impl File {
    const fn new(path: &'static str, bytes: &'static [u8], media_type: &'static str) -> Self {
        Self { path, bytes, media_type, packed: OnceLock::new(), unpacked: OnceLock::new() }
    }

    fn is_packed(&self) -> bool {
        self.bytes.starts_with(&GZIP)
    }

    /// The file as it is meant; one that lies packed is unpacked for the few who cannot do that themselves.
    fn plain(&'static self) -> &'static [u8] {
        if !self.is_packed() {
            return self.bytes;
        }
        self.unpacked.get_or_init(|| {
            let mut plain = Vec::new();
            GzDecoder::new(self.bytes).read_to_end(&mut plain).expect("the file was packed well");
            plain.shrink_to_fit();
            plain
        })
    }

    /// The file, packed if the client can unpack it; 304 if the client has it.
    fn answer(&'static self, headers: &HeaderMap) -> Response {
        let packed = self.packed.get_or_init(|| Packed::of(self));
        let gzip = Coding::of(headers) != Coding::Identity;
        let etag = if gzip { &packed.gzip_etag } else { &packed.etag };
        let common = [
            (ETAG, etag.clone()),
            (CACHE_CONTROL, REVALIDATE),
            (VARY, HeaderValue::from_static("accept-encoding")),
            (CONTENT_SECURITY_POLICY, if self.path.starts_with("/docs") { DOCS_POLICY } else { POLICY }),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        // For pages of every origin, whoever may use the API.
        let shared = self.path.starts_with("/sambad.").then_some([
            (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
        ]);
        let shared: HeaderMap = shared.into_iter().flatten().collect();
        if has(headers, etag) {
            return (StatusCode::NOT_MODIFIED, common, shared).into_response();
        }
        let media_type = [(CONTENT_TYPE, HeaderValue::from_static(self.media_type))];
        if gzip {
            let encoding = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            return (common, shared, media_type, encoding, &*packed.gzip).into_response();
        }
        (common, shared, media_type, self.plain()).into_response()
    }
}

impl Packed {
    fn of(file: &File) -> Self {
        let digest: String = Sha256::digest(file.bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let etag = |suffix: &str| HeaderValue::try_from(format!("\"{digest}{suffix}\"")).expect("hex is ASCII");
        let gzip = if file.is_packed() { file.bytes.into() } else { pack(file.bytes).into() };
        Self { gzip, etag: etag(""), gzip_etag: etag("-gzip") }
    }
}

/// Whether the client has the version with this tag.
///
/// Source: RFC 9110, 13.1.2.
fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = etag.to_str().unwrap_or_default();
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut items = values.flat_map(|value| value.split(',')).map(str::trim);
    items.any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Goal: a file that is added to the folder is served, and none is served twice. Method: the table against the folder.
    #[test]
    fn every_file_is_served() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let names = |folder: &Path| -> BTreeSet<String> {
            let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
            let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
            files.map(|entry| entry.file_name().into_string().unwrap()).collect()
        };
        let mut expected: BTreeSet<String> = names(&web).iter().map(|name| format!("/{name}")).collect();
        for page in [DASHBOARD, "/docs"] {
            expected.extend(names(&web.join(&page[1..])).iter().map(|name| match name.as_str() {
                "index.html" => page.to_owned(),
                name => format!("{page}/{}", name.trim_end_matches(".gz")),
            }));
        }
        let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(served, expected);
        assert_eq!(served.len(), FILES.len());
    }

    /// Goal: whoever asks for a file without being able to unpack it costs the server no memory of its own. Method: each file
    /// twice, which must be the same bytes in the same place, and of those that lie packed no longer packed.
    #[test]
    fn plain_files_are_shared() {
        for file in &FILES {
            assert!(std::ptr::eq(file.plain(), file.plain()), "{}", file.path);
            assert!(!file.plain().starts_with(&GZIP), "{}", file.path);
        }
    }
}
