//! The variables there are, and those that only look like them.

use std::ffi::{OsStr, OsString};

/// How every variable begins.
const PREFIX: &str = "SAMBAD_";
/// How alike a name must be to what was written, from 0 to 1, to be suggested.
const LIKENESS_MIN: f64 = 0.6;

/// Variables of `sambad-cli` and `sambad-bench`.
pub const CLIENTS: [&str; 3] = ["SAMBAD_CA_FILE", "SAMBAD_SERVER", "SAMBAD_TOKEN"];

/// Variables of `sambad-server`: one for each of its flags that are settings, which a test of it compares.
pub const SERVER: &[&str] = &[
    "SAMBAD_ADDRESS_ADMIN_LOGINS_PER_MIN",
    "SAMBAD_ADDRESS_BOOK_BYTES_MAX",
    "SAMBAD_ADDRESS_CONNECTIONS_MAX",
    "SAMBAD_ADDRESS_CONNECTIONS_PER_S",
    "SAMBAD_ADDRESS_HANDSHAKES_PER_S",
    "SAMBAD_ADDRESS_LOGINS_PER_MIN",
    "SAMBAD_ADDRESS_REQUESTS_PER_S",
    "SAMBAD_ADDRESS_SESSIONS_MAX",
    "SAMBAD_ADMIN_SESSION_TTL",
    "SAMBAD_ALLOWED_ORIGIN",
    "SAMBAD_ALLOW_CORE_DUMPS",
    "SAMBAD_AUTH",
    "SAMBAD_AUTH_AUDIENCE",
    "SAMBAD_AUTH_ISSUER",
    "SAMBAD_AUTH_JWKS",
    "SAMBAD_AUTH_KEY",
    "SAMBAD_BATCH_COMMANDS_MAX",
    "SAMBAD_BODY_BYTES_MAX",
    "SAMBAD_BODY_TIMEOUT",
    "SAMBAD_BROKER",
    "SAMBAD_CLOCK_SETTLE",
    "SAMBAD_CONFIG",
    "SAMBAD_CONNECTIONS_MAX",
    "SAMBAD_DATABASE",
    "SAMBAD_DEFAULT_COUNTRY_CODE",
    "SAMBAD_DRAIN_DELAY",
    "SAMBAD_DRAIN_WINDOW",
    "SAMBAD_HANDSHAKE_TIMEOUT",
    "SAMBAD_HEADER_BYTES_MAX",
    "SAMBAD_HEADER_TIMEOUT",
    "SAMBAD_HEARTBEAT_S",
    "SAMBAD_IDLE_TIMEOUT",
    "SAMBAD_INSECURE_NO_AUTH",
    "SAMBAD_LIMIT_LOOPBACK",
    "SAMBAD_LISTEN",
    "SAMBAD_LOG",
    "SAMBAD_LOG_FORMAT",
    "SAMBAD_LOG_PII",
    "SAMBAD_LOG_REQUESTS",
    "SAMBAD_METRICS_LISTEN",
    "SAMBAD_NEW_PHONES_PER_DAY",
    "SAMBAD_NO_HSTS",
    "SAMBAD_POLL_INTERVAL",
    "SAMBAD_PRINCIPAL_LOGINS_PER_MIN",
    "SAMBAD_PRINCIPAL_REQUESTS_PER_S",
    "SAMBAD_PRINCIPAL_SESSIONS_MAX",
    "SAMBAD_QUEUE_BYTES_MAX",
    "SAMBAD_QUEUE_COMMANDS_MAX",
    "SAMBAD_READERS_MAX",
    "SAMBAD_REDIS",
    "SAMBAD_REFRESH_TTL",
    "SAMBAD_RETAIN_EVENTS",
    "SAMBAD_SESSIONS_MAX",
    "SAMBAD_SESSION_FRAMES_PER_S",
    "SAMBAD_TAIL_BYTES_MAX",
    "SAMBAD_TLS_CERT",
    "SAMBAD_TLS_KEY",
    "SAMBAD_TOKEN_TTL",
    "SAMBAD_TRUSTED_PROXY",
];

/// Beginnings of the variables of tests, benchmarks and deploy/, which no binary reads as settings.
const OTHERS: [&str; 6] = ["BENCH_", "DISK_", "POSTGRES_PASSWORD", "SIM_", "TEST_", "UPDATE_"];

/// The name that is most like `name`, if one is like it.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
    let alike = names.into_iter().filter(|known| likeness(known) >= LIKENESS_MIN);
    alike.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// A warning for each variable that looks like a setting and is none; `own` are those of this binary.
pub(crate) fn warnings(variables: &[(OsString, OsString)], own: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = variables.iter().filter_map(|(name, value)| warning(name, value, own)).collect();
    warnings.sort();
    warnings
}

fn warning(name: &OsStr, value: &OsStr, own: &[String]) -> Option<String> {
    let shown = name.to_string_lossy();
    let upper = shown.to_ascii_uppercase();
    let rest = upper.strip_prefix(PREFIX)?;
    let known = || own.iter().map(String::as_str).chain(SERVER.iter().copied()).chain(CLIENTS);
    let is_other = OTHERS.iter().any(|other| rest.starts_with(other)) || is_service_link(rest, &value.to_string_lossy());
    if is_other || known().any(|known| known == shown) {
        return None;
    }
    let names = known().filter_map(|known| known.strip_prefix(PREFIX));
    let suggestion = nearest(rest, names).map(|name| format!("; did you mean {PREFIX}{name}?")).unwrap_or_default();
    Some(format!("{} is not a setting{suggestion}", shown.escape_debug()))
}

/// Whether Kubernetes, or Docker with `--link`, made the variable for a service whose name begins with "sambad".
///
/// Source: Kubernetes, "Service", environment variables: `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT`, `NAME_SERVICE_PORT_<PORT'S NAME>`,
/// `NAME_PORT`, and `NAME_PORT_<NUMBER>_<PROTOCOL>` with `_PROTO`, `_PORT` and `_ADDR`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let named = format!("_{rest}");
    // Of a setting that somebody made up, such as SAMBAD_PORT=4000, the value is no address of a service.
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_one_of_a_port = |after: &str| {
        let mut parts = after.split('_');
        let is_number = parts.next().is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        is_number && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    };
    named.ends_with("_SERVICE_HOST")
        || named.ends_with("_SERVICE_PORT")
        || named.contains("_SERVICE_PORT_")
        || named.ends_with("_PORT") && is_url
        || named.match_indices("_PORT_").any(|(at, port)| is_one_of_a_port(&named[at + port.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, value: &str) -> Option<String> {
        warning(OsStr::new(name), OsStr::new(value), &["SAMBAD_OWN_SETTING".to_owned()])
    }

    /// Goal: a slip of the finger is told with what was meant. Method: a table of names.
    #[test]
    fn unknown_variables_are_told() {
        for (name, value, expected) in [
            ("SAMBAD_LISTN", "x", "SAMBAD_LISTN is not a setting; did you mean SAMBAD_LISTEN?"),
            ("SAMBAD_LISTN", "", "SAMBAD_LISTN is not a setting; did you mean SAMBAD_LISTEN?"),
            ("sambad_listen", "x", "sambad_listen is not a setting; did you mean SAMBAD_LISTEN?"),
            ("SAMBAD_DATABASE_URL", "x", "SAMBAD_DATABASE_URL is not a setting; did you mean SAMBAD_DATABASE?"),
            ("SAMBAD_TOKENS", "x", "SAMBAD_TOKENS is not a setting; did you mean SAMBAD_TOKEN?"),
            ("SAMBAD_QQQQQQQQ", "x", "SAMBAD_QQQQQQQQ is not a setting"),
            ("SAMBAD_PORT", "4000", "SAMBAD_PORT is not a setting"),
            ("SAMBAD_\u{1b}", "x", "SAMBAD_\\u{1b} is not a setting"),
        ] {
            let told = told(name, value).unwrap_or_default();
            assert!(told.starts_with(expected), "{name}={value}: {told}");
        }
    }

    /// Goal: what is meant for somebody else is no slip. Method: variables of all binaries, and those that Kubernetes makes for the
    /// services `sambad`, `sambad-server` and `sambad-listen`.
    #[test]
    fn variables_of_others_are_not_told() {
        for known in SERVER.iter().chain(&CLIENTS).chain(&["SAMBAD_OWN_SETTING"]) {
            assert_eq!(told(known, "x"), None);
            assert!(!is_service_link(&known[PREFIX.len()..], "x"), "{known} can be told from a link");
        }
        for (name, value) in [
            ("SAMBAD_SERVICE_HOST", "10.0.0.1"),
            ("SAMBAD_SERVICE_PORT", "4000"),
            ("SAMBAD_SERVICE_PORT_HTTP", "4000"),
            ("SAMBAD_PORT", "tcp://10.0.0.1:4000"),
            ("SAMBAD_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
            ("SAMBAD_PORT_4000_TCP_PROTO", "tcp"),
            ("SAMBAD_PORT_4000_TCP_PORT", "4000"),
            ("SAMBAD_PORT_4000_TCP_ADDR", "10.0.0.1"),
            ("SAMBAD_SERVER_SERVICE_HOST", "10.0.0.1"),
            ("SAMBAD_SERVER_PORT", "tcp://10.0.0.1:4000"),
            ("SAMBAD_SERVER_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
            ("SAMBAD_LISTEN_PORT_53_UDP_ADDR", "10.0.0.1"),
            ("SAMBAD_TEST_POSTGRES_URL", "x"),
            ("SAMBAD_UPDATE_SNAPSHOTS", "1"),
            ("OTHER_LISTN", "x"),
            ("SAMBAD", "x"),
        ] {
            assert_eq!(told(name, value), None);
        }
    }
}
