//! Reports and what is made of them, as files.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::model::Report;

/// Largest report that is read. A day of intervals and all histograms take less than half of it.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Writes a file as a whole: whoever looks sees what was there before, or all of it. `-` is stdout.
///
/// What is no regular file, such as a pipe or `/dev/null`, is written to as it is.
///
/// # Errors
/// The file, or another one beside it, could not be written.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let content = content.as_ref();
    if path == Path::new("-") {
        let mut stdout = io::stdout().lock();
        stdout.write_all(content)?;
        return Ok(stdout.flush()?);
    }
    let written = match fs::metadata(path) {
        Ok(there) if !there.is_file() => fs::write(path, content),
        // Behind a symbolic link it is the file that is replaced, not the link.
        Ok(_) => fs::canonicalize(path).and_then(|path| replace(&path, content)),
        Err(_) => replace(path, content),
    };
    written.with_context(|| format!("failed to write {}", path.display()))
}

/// Finds out whether `write` will be able to, before a long run depends on it.
///
/// # Errors
/// The folder is not there or takes no files, or the path is a folder.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return Ok(());
    }
    if path.is_dir() {
        bail!("cannot write {}: it is a directory", path.display());
    }
    tempfile::Builder::new()
        .prefix(".sambad-bench-")
        .tempfile_in(folder_of(path))
        .map(drop)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut builder = tempfile::Builder::new();
    // Temporary files are their owner's alone unless told otherwise; the umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".sambad-bench-").tempfile_in(folder)?;
    file.write_all(content)?;
    // Without this a power cut soon after could leave the new name with no content.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Reads a report and makes sure that all of it can be used.
///
/// # Errors
/// The file is not there or above 64 MiB, is no JSON or no report, was written by a newer version, or a histogram in it
/// is damaged.
pub(crate) fn read(path: &Path) -> anyhow::Result<Report> {
    let shown = path.display();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!("no such file: {shown}"),
        Err(error) => return Err(error).with_context(|| format!("failed to open {shown}")),
    };
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("failed to read {shown}"))?;
    if bytes.len() as u64 > READ_BYTES_MAX {
        bail!("{shown} is not a report: it has more than {} MiB", READ_BYTES_MAX >> 20);
    }
    parse(&bytes).with_context(|| format!("failed to read {shown}"))
}

/// What every version of the form has.
#[derive(Deserialize)]
struct Head {
    schema: u32,
}

fn parse(bytes: &[u8]) -> anyhow::Result<Report> {
    // Apart from the rest, since a syntax error far into the file is no other form of report.
    serde_json::from_slice::<IgnoredAny>(bytes).context("not JSON")?;
    let other = "not a sambad-bench report";
    // The version comes first: a newer form may well lack what this program looks for.
    let Head { schema } = serde_json::from_slice(bytes).context(other)?;
    if schema > Report::SCHEMA {
        bail!("the report has schema {schema}, but this version of sambad-bench reads schemas up to {}", Report::SCHEMA);
    }
    let report: Report = serde_json::from_slice(bytes).context(other)?;
    for latency in &report.latencies {
        latency.histogram()?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Goal: a report comes back as it was written. Method: written over another file, read, compared; nothing else is left.
    #[test]
    fn reports_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = sample::report();
        write(&path, "before").unwrap();
        write(&path, serde_json::to_vec(&report).unwrap()).unwrap();
        assert!(read(&path).unwrap() == report);
        assert_eq!(names(folder.path()), ["report.json"]);
    }

    /// Goal: only files are replaced. Method: a symbolic link stays one, a folder stays, a missing folder is an error.
    #[cfg(unix)]
    #[test]
    fn links_and_folders_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(write(folder.path(), "x").is_err());
        assert!(write(&folder.path().join("none/file"), "x").is_err());
        assert_eq!(names(folder.path()), ["file", "link"]);
    }

    /// Goal: whoever names the wrong file learns what is wrong with it. Method: one file of each kind, and its message.
    #[test]
    fn wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let says = |expected: &str| {
            let error = format!("{:#}", read(&path).unwrap_err());
            assert!(error.contains(expected) && error.contains("report.json"), "{error}");
        };
        says("no such file");
        let mut damaged = sample::report();
        damaged.latencies[0].histogram_v2_base64.clear();
        for (content, expected) in [
            ("", "not JSON"),
            ("latency,p50", "not JSON"),
            ("{\"schema\":1,", "not JSON"),
            ("[1,2]", "not a sambad-bench report"),
            ("{\"a\":1}", "not a sambad-bench report"),
            ("{\"schema\":1}", "missing field `tool`"),
            ("{\"schema\":999}", "the report has schema 999"),
            (&serde_json::to_string(&damaged).unwrap(), "the histogram delivery"),
        ] {
            write(&path, content).unwrap();
            says(expected);
        }
        File::create(&path).unwrap().set_len(READ_BYTES_MAX + 1).unwrap();
        says("more than 64 MiB");
    }
}
