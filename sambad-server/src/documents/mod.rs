//! The contract for machines: what is said over HTTP (OpenAPI) and in frames (AsyncAPI), made of the code's own tables.

pub(crate) mod asyncapi;
pub(crate) mod openapi;
mod refusals;
mod requests;
pub(crate) mod schema;

/// The rows of the first table below a heading of `docs/reference/errors.md`, each as its cells without backquotes.
#[cfg(test)]
fn documented(heading: &str) -> Vec<Vec<String>> {
    let page = include_str!("../../../docs/reference/errors.md");
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'));
    let lines = section.expect("the page has this heading").lines().skip_while(|line| !line.starts_with('|'));
    // The first two lines of a table are its columns.
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect()).collect()
}
