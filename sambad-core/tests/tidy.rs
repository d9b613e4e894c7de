//! What a machine can check of how code here reads and depends on each other; each rule is one test over the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::{env, fs};

use sambad_core::EventKind;

/// Lines of a source file without its tests, at most.
const SOURCE_LINES_MAX: usize = 600;
/// Lines of a file of tests, at most.
const TEST_LINES_MAX: usize = 400;
/// Words of a paragraph of the contract, at most.
const PARAGRAPH_WORDS_MAX: usize = 80;
/// The pages of the contract, beside its index.
const CONTRACT: [&str; 7] = [
    "reference/http.md",
    "reference/websocket.md",
    "reference/server-sent-events.md",
    "reference/long-poll.md",
    "reference/errors.md",
    "reference/settings.md",
    "reference/security-policy.md",
];
/// Words that stand for a concept that has another name here; "token" is not among them, as the contract has page tokens,
/// nor "audit", which is what the load generator does to deliveries.
const NOT_WORDS: &str = "history journal offset generation checkpoint job worker flush room listener broadcast bus \
    pubsub conn peer desync packet cache";
/// For each crate, what it must not depend on (but for its tests).
const FOREIGN: [(&str, &[&str]); 6] = [
    ("sambad-core", &["axum", "clap", "hyper", "reqwest", "sambad-client", "sambad-server", "tokio-tungstenite", "tower"]),
    ("sambad-settings", &["axum", "sambad-client", "sambad-core", "sambad-server", "sqlx"]),
    ("sambad-server", &["sambad-cli", "sambad-client", "sqlx"]),
    ("sambad-client", &["axum", "clap", "sambad-cli", "sambad-server", "sqlx"]),
    ("sambad-cli", &["axum", "sambad-bench", "sambad-server", "sqlx"]),
    ("sambad-bench", &["axum", "reqwest", "sambad-cli", "sambad-core", "sqlx"]),
];
/// Files and folders of the workspace that a crate embeds, and the copy in the crate that a package takes along.
const COPIES: [(&str, &str); 4] = [
    ("migrations", "sambad-core/migrations"),
    ("deploy/nginx.conf", "sambad-server/deploy/nginx.conf"),
    ("deploy/haproxy.cfg", "sambad-server/deploy/haproxy.cfg"),
    ("deploy/Caddyfile", "sambad-server/deploy/Caddyfile"),
];

struct File {
    /// From the workspace's root, with `/`.
    path: String,
    text: String,
}

impl File {
    /// The text without the module of tests that ends it.
    fn source(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("_tests.rs")
    }

    fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace").to_owned()
}

/// Every text file of the workspace whose name ends in one of `extensions`.
fn files(extensions: &[&str]) -> Vec<File> {
    let (mut files, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folders can be read") {
            let path = entry.expect("entries can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["target", ".git", "node_modules"].contains(&name) {
                folders.push(path);
            } else if path.extension().and_then(|extension| extension.to_str()).is_some_and(|e| extensions.contains(&e)) {
                let text = fs::read_to_string(&path).expect("text files are UTF-8");
                let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    assert!(!files.is_empty());
    files
}

/// Fails with every complaint at once.
fn no_complaints(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Goal: no file outgrows its reader. Method: lines counted, tests apart.
#[test]
fn files_are_short() {
    no_complaints(files(&["rs"]).iter().filter_map(|file| {
        let lines = file.source().lines().count();
        let max = if file.is_test() { TEST_LINES_MAX } else { SOURCE_LINES_MAX };
        (lines > max).then(|| format!("{}: {lines} lines, at most {max}", file.path))
    }));
}

/// Goal: one word a concept. Method: the words of file names and of public types against those that are not used here.
#[test]
fn public_names_use_the_projects_words() {
    let mut complaints = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| !file.is_test()) {
        let declared = file.source().lines().filter_map(|line| {
            let mut words = line.trim_start().strip_prefix("pub ")?.split_whitespace();
            let named = matches!(words.next()?, "struct" | "enum" | "trait" | "type");
            named.then(|| words.next())?
        });
        for name in declared.chain([file.stem()]) {
            let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let apart: String = name.chars().flat_map(|c| [c.is_uppercase().then_some('_'), Some(c)]).flatten().collect();
            let bad = apart.to_lowercase().split('_').any(|word| NOT_WORDS.split_whitespace().any(|bad| bad == word));
            complaints.extend(bad.then(|| format!("{}: {name}", file.path)));
        }
    }
    no_complaints(complaints);
}

/// Goal: SQL lives in one place, and the core knows no wire and no terminal. Method: tell-tale texts, each with its places.
#[test]
fn layers_stay_apart() {
    let store = "sambad-core/src/store/";
    let mut complaints = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.path.contains("/src/") && !file.is_test()) {
        let not = |text: &str, unless: bool| (!unless && file.source().contains(text)).then(|| format!("{}: {text}", file.path));
        let in_core = file.path.starts_with("sambad-core/");
        for sql in ["sqlx", "\"select ", "\"insert into ", "\"update ", "\"delete from ", "\"begin immediate", "pragma "] {
            complaints.extend(not(sql, file.path.starts_with(store)));
        }
        for wire in ["axum", "clap::", "hyper::", "println!", "eprintln!", "tungstenite", "StatusCode"] {
            complaints.extend(not(wire, !in_core));
        }
    }
    no_complaints(complaints);
}

/// Goal: crates depend in one direction. Method: the dependency sections of every manifest, those for tests left out.
#[test]
fn crates_depend_in_one_direction() {
    let mut complaints = Vec::new();
    for (name, foreign) in FOREIGN {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("every crate has a manifest");
        let sections = manifest.split("\n[").filter(|section| section.starts_with("dependencies"));
        for line in sections.flat_map(str::lines) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let with_store = name != "sambad-server" && dependency == "sambad-core" && line.contains("store");
            let bad = foreign.contains(&dependency) || with_store;
            complaints.extend(bad.then(|| format!("{name} depends on {line}")));
        }
    }
    no_complaints(complaints);
}

/// Goal: every database has every migration. Method: the file names of each folder.
#[test]
fn migrations_are_equal_sets() {
    let mut sets: Vec<(PathBuf, BTreeSet<String>)> = Vec::new();
    for folder in fs::read_dir(root().join("migrations")).expect("there are migrations") {
        let folder = folder.expect("entries can be read").path();
        let names = fs::read_dir(&folder).expect("a folder for each database");
        let names = names.map(|entry| entry.expect("entries can be read").file_name().to_string_lossy().into_owned());
        sets.push((folder, names.collect()));
    }
    assert!(sets.iter().all(|(_, names)| !names.is_empty() && *names == sets[0].1), "{sets:#?}");
}

/// The files at a path, which is one file or a folder, by their place below it.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut contents, mut paths) = (BTreeMap::new(), vec![path.to_owned()]);
    while let Some(next) = paths.pop() {
        if next.is_dir() {
            paths.extend(
                fs::read_dir(&next).expect("folders can be read").map(|entry| entry.expect("entries can be read").path()),
            );
        } else if let Ok(bytes) = fs::read(&next) {
            contents.insert(next.strip_prefix(path).expect("below it").to_owned(), bytes);
        }
    }
    contents
}

/// Goal: a packaged crate has what it embeds, and its licences. Method: copies compared byte for byte, with no file more or less;
/// `SAMBAD_UPDATE_SNAPSHOTS=1` writes them anew.
#[test]
fn copies_in_crates_are_equal() {
    let mut complaints = Vec::new();
    for (original, copy) in COPIES.map(|(original, copy)| (root().join(original), root().join(copy))) {
        let wanted = contents(&original);
        if env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some() {
            let _ = fs::remove_dir_all(&copy);
            for (name, bytes) in &wanted {
                let file = if name.as_os_str().is_empty() { copy.clone() } else { copy.join(name) };
                fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("folders can be made");
                fs::write(file, bytes).expect("files can be written");
            }
        }
        let equal = !wanted.is_empty() && contents(&copy) == wanted;
        complaints.extend((!equal).then(|| format!("{} is not a copy of {}", copy.display(), original.display())));
    }
    for (name, _) in FOREIGN {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let equal = fs::read(root().join(name).join(licence)).ok() == fs::read(root().join(licence)).ok();
            complaints.extend((!equal).then(|| format!("{name}/{licence} is not {licence}")));
        }
    }
    no_complaints(complaints);
}

/// Goal: a package compiles without the workspace. Method: no file that code outside tests embeds lies outside its crate.
#[test]
fn crates_embed_only_their_own_files() {
    let mut complaints = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.path.contains("/src/") && !file.is_test()) {
        let mut embedded = Vec::new();
        for embeds in ["include_str!(\"", "include_bytes!(\""] {
            embedded.extend(file.source().match_indices(embeds).filter_map(|(at, _)| {
                // An item for tests ends with a brace at the margin.
                let item = file.source()[..at].rsplit_once("#[cfg(test)]");
                let in_tests = item.is_some_and(|(_, since)| !since.contains("\n}\n"));
                (!in_tests).then(|| file.source()[at + embeds.len()..].split('"').next()).flatten()
            }));
        }
        for path in embedded {
            let folder = Path::new(&file.path).parent().expect("a file lies in a folder");
            // Folders from the crate's own on; leaving it makes this negative.
            let depth = folder.components().skip(1).chain(Path::new(path).components()).try_fold(0_i32, |depth, component| {
                let depth = depth + if component == Component::ParentDir { -1 } else { 1 };
                (depth >= 0).then_some(depth)
            });
            complaints.extend(depth.is_none().then(|| format!("{}: {path}", file.path)));
        }
        let migrations = file.source().split("migrate!(\"").skip(1).filter(|after| after.starts_with(".."));
        complaints.extend(migrations.map(|after| format!("{}: {}", file.path, after.lines().next().unwrap_or_default())));
    }
    no_complaints(complaints);
}

/// Goal: moving the project changes two lines. Method: the addresses at the top of the changelog against every other that names
/// the repository, and every address for mail where people look for one.
#[test]
fn addresses_are_those_of_the_changelog() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("there is a changelog");
    let value = |name: &str| changelog.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let repository = value("REPOSITORY").expect("the changelog names the repository");
    let contact = value("SECURITY_CONTACT").expect("the changelog names the contact");
    let (_, ours) = repository.split_once("//").expect("an address with a scheme");
    let (mut complaints, mut named, mut mails) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut all = files(&["md", "toml", "yml", "yaml", "rs", "sh", "js", "mjs", "ts", "html", "json"]);
    let copyright = fs::read_to_string(root().join("deploy/debian/copyright")).expect("packages have a copyright");
    all.push(File { path: "deploy/debian/copyright".into(), text: copyright });
    for file in &all {
        for after in file.text.split("github.com/").skip(1) {
            let path: String = after.chars().take_while(|c| c.is_alphanumeric() || "-_/".contains(*c)).collect();
            let [owner, name] = [0, 1].map(|i| path.split('/').nth(i).unwrap_or_default());
            if name == "sambad" {
                named.insert(file.path.as_str());
                let address = format!("github.com/{owner}/{name}");
                complaints.extend((address != ours).then(|| format!("{}: {address}, not {ours}", file.path)));
            }
        }
        let for_people = file.path.starts_with(".github/") || file.path.ends_with("Cargo.toml");
        if for_people || ["SECURITY.md", "CONTRIBUTING.md"].contains(&file.path.as_str()) {
            let words = file.text.split(|c: char| c.is_whitespace() || "<>()\"`,;".contains(c));
            for mail in
                words.filter(|word| word.split_once('@').is_some_and(|(name, host)| !name.contains('/') && host.contains('.')))
            {
                mails.insert(file.path.as_str());
                complaints.extend((mail != contact).then(|| format!("{}: {mail}, not {contact}", file.path)));
            }
        }
    }
    for path in ["Cargo.toml", "SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml", "deploy/debian/copyright"] {
        complaints.extend((!named.contains(path)).then(|| format!("{path} does not name the repository")));
    }
    for path in ["SECURITY.md", "sambad-server/Cargo.toml"] {
        complaints.extend((!mails.contains(path)).then(|| format!("{path} does not name the contact")));
    }
    no_complaints(complaints);
}

/// Goal: clients can look up every kind of event. Method: the contract's text.
#[test]
fn every_kind_of_event_is_documented() {
    let contract = fs::read_to_string(root().join("docs/reference/websocket.md")).expect("the contract is part of the project");
    no_complaints(EventKind::ALL.into_iter().filter(|kind| !contract.contains(kind.as_str())).map(|kind| kind.to_string()));
}

/// Goal: a reader on a phone finds the end of every paragraph of the contract. Method: words counted of each paragraph, list item and
/// cell of a table; blocks of code apart.
#[test]
fn paragraphs_of_the_contract_are_short() {
    let mut complaints = Vec::new();
    let is_contract = |path: &str| path == "docs/protocol.md" || CONTRACT.iter().any(|page| path.ends_with(page));
    for file in files(&["md"]).iter().filter(|file| is_contract(&file.path)) {
        let prose: String = file.text.split("```").step_by(2).collect();
        let lines = prose.lines().map(|line| if line.starts_with(['-', '|', '#']) { format!("\n\n{line}") } else { line.into() });
        let blocks = lines.collect::<Vec<String>>().join("\n");
        for part in blocks.split("\n\n").flat_map(|block| block.split(" | ")) {
            let words = part.split_whitespace().count();
            let begin: String = part.trim().chars().take(60).collect();
            complaints.extend((words > PARAGRAPH_WORDS_MAX).then(|| format!("{}: {words} words: {begin}", file.path)));
        }
    }
    no_complaints(complaints);
}

/// Goal: nothing is compiled by nobody. Method: every file is declared by the module above it.
#[test]
fn every_file_is_a_module() {
    let all = files(&["rs"]);
    let text_of = |path: &str| all.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    no_complaints(all.iter().filter_map(|file| {
        let (folder, _) = file.path.rsplit_once('/')?;
        let roots = ["lib", "main", "mod", "build"];
        let folders_of_targets = ["/tests", "/examples", "/fuzz_targets"];
        let target = roots.contains(&file.stem()) || folders_of_targets.iter().any(|targets| folder.ends_with(targets));
        let parents =
            [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs"), format!("{folder}.rs")];
        let named = [format!("mod {};", file.stem()), format!("\"{}.rs\"", file.stem())];
        let here = all.iter().filter(|sibling| sibling.path.rsplit_once('/').is_some_and(|(beside, _)| beside == folder));
        let declared = parents.iter().filter_map(|parent| text_of(parent)).chain(here.map(|file| file.text.as_str()));
        let declared = declared.into_iter().any(|text| named.iter().any(|name| text.contains(name)));
        (!target && !declared).then(|| format!("{} is declared nowhere", file.path))
    }));
}

/// Goal: nothing is left for later in a comment, and every test says what it is for. Method: marks, and the line above each test.
#[test]
fn nothing_is_left_unsaid() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let mut complaints = Vec::new();
    for file in files(&["rs", "sh", "sql", "toml", "md"]) {
        complaints.extend(marks.iter().filter(|mark| file.text.contains(*mark)).map(|mark| format!("{}: {mark}", file.path)));
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| **line == "#[test]" || line.starts_with("#[tokio::test")) {
            let doc = lines[..i].iter().rev().take_while(|above| above.starts_with("///") || above.starts_with("#["));
            let told = doc.into_iter().any(|above| above.starts_with("/// Goal:"));
            complaints.extend((!told).then(|| format!("{}:{}: {line} without its goal", file.path, i + 1)));
        }
    }
    no_complaints(complaints);
}
