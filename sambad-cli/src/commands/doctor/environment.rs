//! Whether the environment sends requests another way than WebSockets.

use super::finding::Finding;
use super::target::Target;

const SUBJECT: &str = "HTTP proxy";
/// In the order in which the HTTP library looks.
const PROXY: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
const ADVICE: &str = "\
WebSockets connect directly, without the proxy: the tests below use two different paths
add the host to no_proxy; if requests must use the proxy, use `watch --transport sse`";

/// Looks for a proxy; `None` when requests are sent directly, as WebSockets are.
pub(super) fn examine(target: &Target) -> Option<Finding> {
    let name = proxy_for(target.host(), |name| std::env::var(name).ok())?;
    // Its value is not told: it may hold a password.
    Some(Finding::warning(SUBJECT, format!("{name} is set: requests and event streams go through it"), ADVICE))
}

/// The name of the variable that sends requests to `host` through a proxy.
fn proxy_for(host: &str, variable: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let set = |name: &&str| variable(name).is_some_and(|value| !value.is_empty());
    let name = PROXY.into_iter().find(set)?;
    let exempt = NO_PROXY.into_iter().find(set).and_then(variable).unwrap_or_default();
    let named = |entry: &str| {
        let entry = entry.trim().trim_start_matches('.');
        entry == "*" || !entry.is_empty() && host.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    (!exempt.split(',').any(named)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a proxy is told when it is used. Method: environments, each with what they do to one host.
    #[test]
    fn proxies_are_found() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("http_proxy", "")], None),
            (&[("https_proxy", "http://p:1")], None),
            (&[("http_proxy", "http://p:1")], Some("http_proxy")),
            (&[("ALL_PROXY", "http://p:1"), ("no_proxy", "localhost, ample.org")], Some("ALL_PROXY")),
            (&[("HTTP_PROXY", "http://p:1"), ("no_proxy", "localhost, .example.org")], None),
            (&[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "api.example.org")], None),
            (&[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "*")], None),
        ] {
            let look = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(proxy_for("api.example.org", look), expected, "{variables:?}");
        }
    }
}
