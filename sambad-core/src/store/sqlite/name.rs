//! Which path the name of a database means.
//!
//! One rule for `sqlite:PATH` and `sqlite://PATH`, that of URLs: `%` begins an encoded byte, and `?` the parameters.
//!
//! **Invariant:** a name that could be meant otherwise is refused. SQLite makes a file that is not there, so a path that is not the
//! one that was meant would be a new, empty database.

use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::Error;
use crate::text::is_deceptive;

/// The parameter that says what is done in any case: the file is read, written, and made if there is none.
const HARMLESS: &str = "mode=rwc";
/// What the rule for values removes from the end of a name before it comes here.
const LINE_ENDS: [&str; 2] = ["\n", "\r\n"];

/// The path that `name` means.
///
/// # Errors
/// `Invalid` when it is no name of an SQLite database, or could be meant otherwise: as older versions read it, too, which took
/// what follows `sqlite:` or `sqlite://` as it stood.
pub(crate) fn path(name: &str) -> Result<PathBuf, Error> {
    let written = name.strip_prefix("sqlite:").ok_or_else(|| Error::field("database", "expected sqlite:PATH or postgres://…"))?;
    let written = written.strip_prefix("//").unwrap_or(written);
    let path = decoded(written).map_err(|reason| Error::field("database", reason))?;
    if Path::new(written) != path && Path::new(written).symlink_metadata().is_ok() {
        let encoded = written.replace('%', "%25").replace('?', "%3F");
        let reason = format!(
            "it means {}, but older versions opened {written}, which exists: write sqlite:{encoded} for that file, or move \
             it away",
            path.display()
        );
        return Err(Error::field("database", reason));
    }
    match LINE_ENDS.iter().find_map(|end| passed_over(written, end, &path)) {
        Some(reason) => Err(Error::field("database", reason)),
        None => Ok(path),
    }
}

/// Why a file may not be passed over whose name ends in a line end: older versions did not remove it from a value.
fn passed_over(written: &str, end: &str, meant: &Path) -> Option<String> {
    let older = format!("{written}{end}");
    Path::new(&older).symlink_metadata().ok()?;
    let shown = |name: &str| {
        let name = name.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\r', "\\r");
        format!("$'{name}'")
    };
    let told = format!("older versions opened {}, a name with a line break, which exists", shown(&older));
    if meant.symlink_metadata().is_ok() {
        return Some(format!("{told} beside {}: move one of the two away", meant.display()));
    }
    let rename = |suffix: &&str| {
        let from = format!("{older}{suffix}");
        Path::new(&from)
            .symlink_metadata()
            .is_ok()
            .then(|| format!("mv -- {} {}", shown(&from), shown(&format!("{}{suffix}", meant.display()))))
    };
    // Without its WAL it would be without what was acknowledged last.
    let renames: Vec<String> = ["", "-wal"].iter().filter_map(rename).collect();
    Some(format!("{told}: stop the server on it and rename it ({}), or move it away", renames.join(" && ")))
}

fn decoded(written: &str) -> Result<PathBuf, String> {
    let (encoded, parameters) = written.split_once('?').unwrap_or((written, ""));
    if let Some(parameter) = parameters.split('&').find(|parameter| !["", HARMLESS].contains(parameter)) {
        return Err(format!(
            "parameter {parameter:?} is not supported: remove it, or write %3F for a question mark in the file's name"
        ));
    }
    let is_byte = |hex: &str| hex.get(..2).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if !encoded.split('%').skip(1).all(is_byte) {
        return Err("% begins an encoded byte such as %20: write %25 for a percent sign in the file's name".into());
    }
    if encoded.trim() != encoded {
        return Err("the path begins or ends with a space: remove it, or write %20".into());
    }
    if let Some(c) = encoded.chars().find(|c| !c.is_control() && is_deceptive(*c)) {
        let bytes = utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC).to_string();
        return Err(format!("the path has the invisible character U+{:04X}: remove it, or write {bytes}", u32::from(c)));
    }
    if ['\'', '"'].iter().any(|quote| encoded.len() > 1 && encoded.starts_with(*quote) && encoded.ends_with(*quote)) {
        return Err("the path is in quotes: remove them, or write %27 for ' and %22 for \" in the file's name".into());
    }
    let path = percent_decode_str(encoded).decode_utf8().map_err(|_| "the path is not UTF-8")?;
    if let Some(c) = path.chars().find(|c| c.is_control()) {
        return Err(format!("the path has the control character U+{:04X}", u32::from(c)));
    }
    if path.is_empty() || path.starts_with(":memory:") {
        return Err("expected sqlite:PATH of a file: a database in memory would lose acknowledged writes".into());
    }
    if path.starts_with("file:") {
        return Err("expected sqlite:PATH, without file:".into());
    }
    if path.ends_with('/') {
        return Err("expected sqlite:PATH of a file, not of a folder".into());
    }
    Ok(PathBuf::from(&*path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: both forms mean one path by one rule, and what could be meant otherwise is refused. Method: a table.
    #[test]
    fn a_name_means_one_path() {
        for (name, meant) in [
            ("sqlite:x.db", "x.db"),
            ("sqlite://x.db", "x.db"),
            ("sqlite:./x.db", "./x.db"),
            ("sqlite:/x.db", "/x.db"),
            ("sqlite:///x.db", "/x.db"),
            ("sqlite:a/b.db", "a/b.db"),
            ("sqlite:a%20b.db", "a b.db"),
            ("sqlite://a%20b.db", "a b.db"),
            ("sqlite:a b.db", "a b.db"),
            ("sqlite:a%2520b.db", "a%20b.db"),
            ("sqlite:%E0%A4%95.db", "क.db"),
            ("sqlite:x%3Fmode=ro", "x?mode=ro"),
            ("sqlite:x.db?mode=rwc", "x.db"),
            ("sqlite://x.db?mode=rwc", "x.db"),
            ("sqlite:x.db?", "x.db"),
            ("sqlite:x#1.db", "x#1.db"),
            ("sqlite:a+b&c=d.db", "a+b&c=d.db"),
            ("sqlite:x.db%EF%BB%BF", "x.db\u{feff}"),
            ("sqlite:%27x.db%27", "'x.db'"),
            ("sqlite:'x'.db", "'x'.db"),
            ("sqlite:a\u{200d}b.db", "a\u{200d}b.db"),
        ] {
            assert_eq!(path(name).unwrap_or_else(|error| panic!("{name}: {error}")), Path::new(meant), "{name}");
        }
        for (name, told) in [
            ("sqlite:x.db?mode=ro", "mode=ro"),
            ("sqlite:x.db?mode=rwc&cache=shared", "cache=shared"),
            ("sqlite:x.db?mode=memory", "mode=memory"),
            ("sqlite:x.db?mode=rwc?", "mode=rwc?"),
            ("sqlite:100%.db", "%25"),
            ("sqlite:a%2", "%25"),
            ("sqlite:a%zz", "%25"),
            ("sqlite:a%ff.db", "not UTF-8"),
            ("sqlite:x.db\n", "a space"),
            ("sqlite:x\ty.db", "U+0009"),
            ("sqlite:x.db%0A", "U+000A"),
            ("sqlite:x%00.db", "U+0000"),
            ("sqlite: x.db", "a space"),
            ("sqlite:x.db ", "a space"),
            ("sqlite:x.db\u{feff}", "invisible character U+FEFF: remove it, or write %EF%BB%BF"),
            ("sqlite:\u{200b}x.db", "U+200B"),
            ("sqlite:x.db\u{200b}?mode=rwc", "U+200B"),
            ("sqlite:x\u{202e}.db", "U+202E"),
            ("sqlite:'x.db'", "in quotes"),
            ("sqlite:\"x.db\"", "in quotes"),
            ("sqlite://'/x.db'?mode=rwc", "in quotes"),
            ("sqlite:''", "in quotes"),
            ("sqlite:", "in memory"),
            ("sqlite://", "in memory"),
            ("sqlite:?mode=rwc", "in memory"),
            ("sqlite::memory:", "in memory"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite:%3Amemory:", "in memory"),
            ("sqlite:file:x.db", "without file:"),
            ("sqlite:x/", "a folder"),
            ("x.db", "expected sqlite:PATH or postgres://"),
            ("file:x.db", "expected sqlite:PATH or postgres://"),
            ("SQLITE:x.db", "expected sqlite:PATH or postgres://"),
            ("sqlite3:x.db", "expected sqlite:PATH or postgres://"),
        ] {
            let error = path(name).expect_err(name).to_string();
            assert!(error.contains(told), "{name}: {error}");
        }
    }

    /// Goal: a database that an older version opened under the name is never passed over. Method: files that have the names as they
    /// are written, alone and beside the file that is meant.
    #[test]
    fn what_older_versions_opened_is_not_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name).display().to_string();
        for (written, meant, encoded) in [("a%20b.db", "a b.db", "a%2520b.db"), ("x.db?mode=rwc", "x.db", "x.db%3Fmode=rwc")] {
            let name = format!("sqlite:{}", file(written));
            assert_eq!(path(&name).unwrap(), Path::new(&file(meant)));
            std::fs::write(file(written), "").unwrap();
            let error = path(&name).unwrap_err().to_string();
            assert!(error.contains(&file(meant)) && error.contains(&file(encoded)), "{error}");
            std::fs::write(file(meant), "").unwrap();
            assert!(path(&name).is_err());
            assert_eq!(path(&format!("sqlite:{}", file(encoded))).unwrap(), Path::new(&file(written)));
        }
    }

    /// Goal: nor is one whose name ends in the line end that is removed today. Method: both line ends, alone, with a WAL, and beside
    /// the file that is meant.
    #[test]
    fn a_line_end_in_a_files_name_is_not_passed_over() {
        for end in ["\n", "\r\n"] {
            let directory = tempfile::tempdir().unwrap();
            let file = |name: &str| directory.path().join(name).display().to_string();
            let name = format!("sqlite://{}", file("x.db"));
            assert_eq!(path(&name).unwrap(), Path::new(&file("x.db")));
            std::fs::write(file(&format!("x.db{end}")), "").unwrap();
            let (older, shown) = (file("x.db"), end.escape_default());
            let rename = format!("mv -- $'{older}{shown}' $'{older}'");
            let error = path(&name).unwrap_err().to_string();
            assert!(error.contains(&format!("({rename})")), "{error}");
            std::fs::write(file(&format!("x.db{end}-wal")), "").unwrap();
            let error = path(&name).unwrap_err().to_string();
            assert!(error.contains(&format!("{rename} && mv -- $'{older}{shown}-wal' $'{older}-wal'")), "{error}");
            std::fs::write(file("x.db"), "").unwrap();
            let error = path(&name).unwrap_err().to_string();
            assert!(error.contains("move one of the two away"), "{error}");
        }
    }
}
