//! Parts of documents that are generated from the code.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

/// Compares a part of a document with what the code says; with `SAMBAD_UPDATE_SNAPSHOTS=1` it writes that part anew.
///
/// `page` is a path from the workspace's root. The part stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; the text around
/// it is kept.
///
/// # Panics
/// When the page has no such part, or the part differs.
#[doc(hidden)]
pub fn is_generated(page: &str, name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let update = std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1");
    let mut file = OpenOptions::new().read(true).write(update).open(&path).expect("the page can be opened");
    if update {
        // Tests of several crates write parts of one page at the same time.
        file.lock().expect("the page can be locked");
    }
    let mut written = String::new();
    file.read_to_string(&mut written).expect("the page can be read");
    let (begin, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
    let part = written.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?)));
    let Some((before, (part, after))) = part else { panic!("{page} has no part between {begin} and {end}") };
    let expected = format!("\n{}\n\n", text.trim());
    if update && part != expected {
        let page = [before, &begin, &expected, &end, after].concat();
        file.set_len(0).expect("the page can be cut");
        file.rewind().expect("the page can be written from its beginning");
        file.write_all(page.as_bytes()).expect("the page can be written");
        return;
    }
    assert!(
        part == expected,
        "the part {name} of {page} differs from the code (scripts/snapshots.sh writes it anew):\n{expected}"
    );
}

/// A page's section for each command of a program, from its help: what is said first, then a block of text.
#[doc(hidden)]
#[must_use]
pub fn commands<'a>(helps: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let section = |(command, help): (&str, &str)| {
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        format!("### {command}\n\n```text\n{}\n```\n", lines.join("\n").trim_end())
    };
    helps.into_iter().map(section).collect::<Vec<_>>().join("\n")
}
