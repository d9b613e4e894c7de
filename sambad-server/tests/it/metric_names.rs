//! The dashboard, the alert rules and the documentation name metrics: each exists, and the documentation has all of them.

use std::collections::BTreeSet;
use std::path::Path;

use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::Value;

use crate::harness::scrape::Scrape;
use crate::harness::{Dashboard, World};
use crate::metrics::scrape_until;

/// Labels that Prometheus adds, and that of buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the metrics of a server that has served each kind of request and session.
async fn seen_everything() -> Scrape {
    let world = World::start_with(ServerConfig { sessions_max: 1, ..ServerConfig::default() }, Limits::default()).await;
    world.api.users(2).await;
    let mut socket = world.dashboard("after=0").await;
    socket.seqs_past_live(2).await;
    assert!(Dashboard::try_connect(world.server.address(), "").await.is_err(), "one is enough");
    world.api.get("/api/events?after=7").await;
    socket.close(1000).await;
    world.sessions(0).await;
    let mut source = world.source_once_there_is_a_place("after=0").await;
    source.skip(2).await;
    drop(source);
    let ended = |scrape: &Scrape| scrape.value("sambad_sessions_ended_total", &[]) >= 2.0;
    let scrape = scrape_until(&world, "ends of both", ended).await;
    world.finish().await;
    scrape
}

/// Returns the words of an expression, each with the text that follows it.
fn words(expression: &str) -> Vec<(&str, &str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut found, mut rest) = (Vec::new(), expression);
    while let Some(start) = rest.find(part) {
        let word = &rest[start..];
        let (word, after) = word.split_at(word.find(|c| !part(c)).unwrap_or(word.len()));
        found.push((word, after));
        rest = after;
    }
    found
}

fn is_metric(word: &str) -> bool {
    word.starts_with("sambad_") || word.starts_with("process_")
}

/// Returns the text between the bracket that begins `text` and its closing bracket.
fn bracketed(text: &str, open: char, close: char) -> Option<&str> {
    text.trim_start().strip_prefix(open)?.split_once(close).map(|(inside, _)| inside)
}

/// Returns a complaint for each metric and label in `expression` that the exporter does not print.
fn check_expression(scrape: &Scrape, place: &str, expression: &str) -> Vec<String> {
    let (mut complaints, mut known) = (Vec::new(), BTreeSet::from(ADDED));
    let words = words(expression);
    for (word, after) in words.iter().filter(|(word, _)| is_metric(word)) {
        let Some(labels) = scrape.labels(word) else {
            complaints.push(format!("{place}: no metric {word}"));
            continue;
        };
        for matcher in bracketed(after, '{', '}').unwrap_or_default().split(',').filter(|matcher| !matcher.is_empty()) {
            let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
            if !labels.contains(label) && !ADDED.contains(&label) {
                complaints.push(format!("{place}: {word} has no label {label}"));
            }
        }
        known.extend(labels);
    }
    for (_, after) in words.iter().filter(|(word, _)| matches!(*word, "by" | "on" | "without" | "ignoring")) {
        for label in bracketed(after, '(', ')').unwrap_or_default().split(',').map(str::trim) {
            if !known.contains(label) {
                complaints.push(format!("{place}: no label {label} in {expression}"));
            }
        }
    }
    if !words.iter().any(|(word, _)| is_metric(word) || *word == "up") {
        complaints.push(format!("{place}: no metric in {expression}"));
    }
    complaints
}

/// Returns the rules of the alerts file, each as its lines.
fn rules(yaml: &str) -> Vec<Vec<&str>> {
    let mut rules: Vec<Vec<&str>> = Vec::new();
    for line in yaml.lines() {
        if line.trim_start().starts_with("- alert: ") {
            rules.push(vec![line.trim_start().trim_start_matches("- ")]);
        } else if let Some(rule) = rules.last_mut() {
            rule.push(line.trim());
        }
    }
    rules
}

/// Returns the value of `key` in a rule, with folded lines joined.
fn field(rule: &[&str], key: &str) -> Option<String> {
    let at = rule.iter().position(|line| line.starts_with(&format!("{key}:")))?;
    let value = rule[at][key.len() + 1..].trim();
    if value != ">-" {
        return Some(value.trim_matches('"').to_owned());
    }
    // Until the next key.
    let is_key = |line: &&&str| line.split_once(':').is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase()));
    Some(rule[at + 1..].iter().take_while(|line| !is_key(line)).copied().collect::<Vec<_>>().join(" "))
}

/// Goal: no alert waits for a metric that does not exist, and each has a section with the steps. Method: compare every
/// expression with a server's metrics, and every runbook with the headings of the guide.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_name_what_there_is() {
    let (scrape, yaml, guide) = (seen_everything().await, text("deploy/alerts.yaml"), text("docs/guides/troubleshooting.md"));
    let rules = rules(&yaml);
    assert!(rules.len() > 10);
    let mut complaints = Vec::new();
    for rule in &rules {
        let name = field(rule, "alert").expect("a rule has a name");
        let expression = field(rule, "expr").unwrap_or_else(|| panic!("{name} has no expression"));
        complaints.extend(check_expression(&scrape, &name, &expression));
        let severity = field(rule, "labels").unwrap_or_default();
        let severe = matches!(severity.as_str(), "{ severity: critical }" | "{ severity: warning }");
        let summarised = field(rule, "summary").is_some_and(|summary| summary.contains("{{ $labels.instance }}"));
        let waits = field(rule, "for").is_some_and(|time| time.ends_with(['s', 'm']));
        let runbook = field(rule, "runbook") == Some(format!("docs/guides/troubleshooting.md#{}", name.to_lowercase()));
        let explained = guide.contains(&format!("\n### {name}\n"));
        complaints.extend((!(severe && summarised && waits && runbook && explained)).then(|| {
            format!("{name}: severity {severe}, summary {summarised}, for {waits}, runbook {runbook}, explained {explained}")
        }));
    }
    for heading in guide.lines().filter_map(|line| line.strip_prefix("### Sambad")) {
        let name = Some(format!("Sambad{heading}"));
        complaints.extend((!rules.iter().any(|rule| field(rule, "alert") == name)).then(|| format!("{name:?} is no alert")));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Goal: no panel stays empty. Method: compare every expression, legend and variable of the dashboard with a server's metrics.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_names_what_there_is() {
    let scrape = seen_everything().await;
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana.json")).expect("the dashboard is JSON");
    let (mut complaints, mut expressions) = (Vec::new(), 0);
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a panel has a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("a target has an expression");
            complaints.extend(check_expression(&scrape, title, &expression.replace("$__rate_interval", "5m")));
            expressions += 1;
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let metrics = words(expression).into_iter().filter(|(word, _)| is_metric(word));
            let known: BTreeSet<&str> = metrics.filter_map(|(word, _)| scrape.labels(word)).flatten().chain(ADDED).collect();
            for label in legend.split("{{").skip(1).filter_map(|label| label.split("}}").next()) {
                complaints.extend((!known.contains(label)).then(|| format!("{title}: no label {label}")));
            }
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["query"]["query"].as_str() {
            complaints.extend(check_expression(&scrape, "variable", query));
        }
    }
    assert!(expressions > 40, "{expressions}");
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Goal: every metric is documented, and every documented metric exists. Method: compare names, types and labels of the
/// tables with a server's, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented() {
    let (scrape, documentation) = (seen_everything().await, text("docs/reference/metrics.md"));
    let mut documented = BTreeSet::new();
    for row in documentation.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("not four cells: {row}") };
        let name = name.trim_matches('`');
        assert!(documented.insert(name.to_owned()), "{name} is documented twice");
        let printed = scrape.types.get(name).unwrap_or_else(|| panic!("{name} is documented and not printed"));
        assert!(kind.starts_with(printed.as_str()) && !meaning.is_empty(), "{name} is a {printed}");
        let labels: BTreeSet<&str> =
            labels.split(',').map(|label| label.trim().trim_matches('`')).filter(|l| !l.is_empty()).collect();
        let series = if printed == "histogram" { format!("{name}_sum") } else { name.to_owned() };
        assert_eq!(scrape.labels(&series).as_ref(), Some(&labels), "labels of {name}");
        assert!(scrape.samples.iter().any(|sample| sample.name == series), "{name} has no sample");
    }
    let printed: BTreeSet<String> = scrape.types.keys().cloned().collect();
    assert_eq!(printed, documented, "printed, and documented");
}
