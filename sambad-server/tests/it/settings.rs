//! Flags, variables and the file by one rule, and names of databases that mean one file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use sambad_server::config::Cli;

use crate::harness::process::{run, run_in};

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    entries.map(|entry| entry.expect("entries can be read").file_name().to_string_lossy().into_owned()).collect()
}

/// What a run in `folder` came to: exit code, stdout, stderr.
async fn told(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = run_in(folder, args, env).await;
    let text = |bytes| String::from_utf8(bytes).expect("what is printed is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Goal: a name of a database that is written otherwise, or carries a line end, opens the database that is there, or nothing.
/// Method: an old database; each spelling as a variable and as a flag, to commands that would make a file and to a server; the epoch that is read, and the files in the folder afterwards.
#[tokio::test]
async fn no_spelling_opens_a_new_database() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path();
    assert_eq!(told(folder, &["migrate"], &[("SAMBAD_DATABASE", "sqlite:x.db")]).await.0, Some(0));
    let (_, epoch, _) = told(folder, &["epoch", "--database", "sqlite:x.db"], &[]).await;
    let before = names(folder);
    for name in ["sqlite:x.db\n", "sqlite:x.db\r\n", "sqlite://x.db", "sqlite:x.db?mode=rwc", "sqlite:%78.db", "sqlite:./x.db\n"]
    {
        for (args, env) in [(&["epoch"][..], &[("SAMBAD_DATABASE", name)][..]), (&["epoch", "--database", name], &[])] {
            let (code, printed, said) = told(folder, args, env).await;
            assert_eq!((code, printed.as_str(), said.as_str()), (Some(0), epoch.as_str(), ""), "{name:?}");
        }
        assert_eq!(told(folder, &["migrate"], &[("SAMBAD_DATABASE", name)]).await.0, Some(0), "{name:?}");
    }
    for (name, expected) in [
        ("sqlite:x.db?mode=ro", "mode=ro"),
        ("sqlite:x.db?cache=shared", "cache=shared"),
        ("sqlite:x.db\n\n", "U+000A"),
        ("sqlite:x.db\t", "U+0009"),
        ("sqlite:x.db ", "a space"),
        ("sqlite: x.db", "a space"),
        ("sqlite:100%.db", "%25"),
        ("sqlite:file:x.db", "without file:"),
        ("file:x.db", "expected sqlite:PATH"),
        ("x.db", "expected sqlite:PATH"),
        ("\"sqlite:x.db\"", "expected sqlite:PATH"),
    ] {
        for args in [&["migrate"][..], &["check"], &["restore", "x.db"], &["admin", "list"], &[]] {
            let (code, _, said) = told(folder, args, &[("SAMBAD_DATABASE", name), ("SAMBAD_LISTEN", "127.0.0.1:0")]).await;
            assert!(matches!(code, Some(1 | 2)) && said.contains(expected), "{name:?} {args:?}: {code:?} {said}");
            assert!(said.contains("SAMBAD_DATABASE"), "the variable is named: {said}");
        }
        let (code, _, said) = told(folder, &["copy", "--from", name, "--to", "postgres://127.0.0.1:1/x"], &[]).await;
        assert!(matches!(code, Some(1 | 2)) && said.contains(expected) && said.contains("--from"), "{name:?}: {said}");
    }
    assert_eq!(names(folder), before, "nothing was made");
}

/// Goal: a database that an older version made under a name with a line end is never replaced by a new, empty one. Method: such a file,
/// with rows; the variable that led to it, to commands and to a server; the advice followed.
#[tokio::test]
async fn a_line_end_in_a_files_name_opens_no_new_database() {
    for end in ["\n", "\r\n"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = directory.path();
        let (older, name) = (format!("x.db{end}"), format!("sqlite:x.db{end}"));
        assert_eq!(told(folder, &["migrate", "--database", "sqlite:x.db"], &[]).await.0, Some(0));
        let (_, epoch, _) = told(folder, &["epoch", "--database", "sqlite:x.db"], &[]).await;
        fs::rename(folder.join("x.db"), folder.join(&older)).expect("it can be renamed");
        fs::remove_file(folder.join("x.db.lock")).expect("there is a lock");
        let before = names(folder);
        for args in [&["migrate"][..], &["check"], &["epoch"], &["admin", "list"], &[]] {
            let (code, _, said) = told(folder, args, &[("SAMBAD_DATABASE", &name), ("SAMBAD_LISTEN", "127.0.0.1:0")]).await;
            assert!(
                matches!(code, Some(1 | 2)) && said.contains("stop the server on it and rename it (mv -- $'x.db"),
                "{args:?}: {said}"
            );
            assert_eq!(names(folder), before, "{args:?}");
        }
        fs::rename(folder.join(&older), folder.join("x.db")).expect("it can be renamed");
        assert_eq!(told(folder, &["epoch"], &[("SAMBAD_DATABASE", &name)]).await.1, epoch);
    }
}

/// Goal: values of commands follow the rule, too, and none makes a file whose name nobody meant. Method: a line end, nothing, and other
/// control characters in arguments that no variable has.
#[tokio::test]
async fn values_of_commands_follow_the_rule() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path();
    let at = ["--database", "sqlite:x.db"];
    assert_eq!(told(folder, &[&["migrate"][..], &at].concat(), &[]).await.0, Some(0));
    for args in
        [&["backup", "b.db\n"][..], &["key", "generate", "k.json\r\n"], &["restore", "b.db\n", "--database", "sqlite:y.db\n"]]
    {
        let args = if args[0] == "backup" { [args, &at].concat() } else { args.to_vec() };
        let (code, _, said) = told(folder, &args, &[]).await;
        assert_eq!(code, Some(0), "{args:?}: {said}");
    }
    let made = names(folder);
    assert!(["b.db", "k.json", "y.db"].iter().all(|name| made.contains(*name)), "{made:?}");
    for (args, expected) in [
        (&["copy", "--from", "", "--to", "sqlite:z.db"][..], "--from is empty"),
        (&["copy", "--from=", "--to", "sqlite:z.db"], "--from is empty"),
        (&["copy", "--from", "sqlite:x.db\n\n", "--to", "sqlite:z.db"], "--from contains the control character U+000A"),
        (&["backup", ""], "is empty"),
        (&["backup", "b\t.db"], "contains the control character U+0009"),
        (&["backup", "--", "b\t.db"], "contains the control character U+0009"),
        (&["key", "generate", "\n"], "is empty"),
    ] {
        let (code, _, said) = told(folder, args, &[]).await;
        assert!(code == Some(2) && said.contains(expected), "{args:?}: {code:?} {said}");
    }
    assert_eq!(names(folder), made);
    let (code, _, said) = told(folder, &["health", "http://127.0.0.1:1\n"], &[]).await;
    assert!(code == Some(1) && !said.contains("control"), "{code:?} {said}");
}

/// Goal: what a command is told instead of a setting goes before a setting that is wrong. Method: a URL of `health`, and the source of
/// a copy.
#[tokio::test]
async fn what_a_command_is_told_goes_before_a_wrong_setting() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (args, name, counts) in [
        (&["health", "http://127.0.0.1:1"][..], "SAMBAD_LISTEN", "<URL>"),
        (&["copy", "--from", "sqlite:x.db", "--to", "postgres://127.0.0.1:1/x"], "SAMBAD_DATABASE", "flag --from"),
    ] {
        let (code, _, said) = told(directory.path(), args, &[(name, "x\u{1}")]).await;
        let warning = format!("warning: {name}: contains the control character U+0001; ignored, because {counts} overrides it");
        assert!(code == Some(1) && said.contains(&warning), "{args:?}: {code:?} {said}");
    }
}

/// Goal: what an older version opened under a name is not passed over for a new file. Method: a database under the name as it is
/// written; the error says how to go on, and so it works.
#[tokio::test]
async fn what_older_versions_opened_is_found() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path();
    assert_eq!(told(folder, &["migrate", "--database", "sqlite:old.db"], &[]).await.0, Some(0));
    let (_, epoch, _) = told(folder, &["epoch", "--database", "sqlite:old.db"], &[]).await;
    for (name, encoded) in [("a%20b.db", "sqlite:a%2520b.db"), ("x.db?mode=rwc", "sqlite:x.db%3Fmode=rwc")] {
        fs::copy(folder.join("old.db"), folder.join(name)).expect("the file can be copied");
        let before = names(folder);
        let (code, _, said) = told(folder, &["migrate", "--database", &format!("sqlite:{name}")], &[]).await;
        assert!(code == Some(1) && said.contains(encoded), "{said}");
        assert_eq!(names(folder), before, "nothing was made");
        let (code, printed, said) = told(folder, &["epoch", "--database", encoded], &[]).await;
        assert_eq!((code, printed.as_str()), (Some(0), epoch.as_str()), "{said}");
    }
}

/// Goal: the highest place counts, an empty variable is none, and what is wrong below is a warning that names its place. Method: a
/// table of files, variables and flags; the line of `config` and what is said.
#[tokio::test]
async fn a_wrong_value_ends_the_start_only_if_it_counts() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (file, args, env, expected, warning) in [
        ("", &[][..], &[("SAMBAD_LISTEN", "")][..], "\"127.0.0.1:4000\" # default", ""),
        ("", &[], &[("SAMBAD_LISTEN", "\n")], "\"127.0.0.1:4000\" # default", ""),
        ("listen = '127.0.0.1:7'", &[], &[("SAMBAD_LISTEN", "")], "\"127.0.0.1:7\" # file sambad.toml:1", ""),
        ("", &[], &[("SAMBAD_LISTEN", "127.0.0.1:8\n")], "\"127.0.0.1:8\" # environment SAMBAD_LISTEN", ""),
        ("", &["--listen", "127.0.0.1:9\n"], &[], "\"127.0.0.1:9\" # flag --listen", ""),
        (
            "",
            &["--listen", "127.0.0.1:9"],
            &[("SAMBAD_LISTEN", "nowhere")],
            "\"127.0.0.1:9\" # flag --listen",
            "warning: SAMBAD_LISTEN: invalid value 'nowhere'",
        ),
        (
            "",
            &["config", "--listen", "127.0.0.1:9"],
            &[("SAMBAD_LISTEN", "127.0.0.1:\u{1}")],
            "\"127.0.0.1:9\" # flag --listen",
            "warning: SAMBAD_LISTEN: contains the control character U+0001",
        ),
        (
            "listen = 'nowhere'",
            &[],
            &[("SAMBAD_LISTEN", "127.0.0.1:8")],
            "\"127.0.0.1:8\" # environment SAMBAD_LISTEN",
            "warning: sambad.toml:1: listen: invalid value 'nowhere'",
        ),
        ("", &[], &[("SAMBAD_LISTN", "127.0.0.1:8")], "\"127.0.0.1:4000\" # default", "did you mean SAMBAD_LISTEN?"),
        ("", &[], &[("SAMBAD_LISTN", "")], "\"127.0.0.1:4000\" # default", "did you mean SAMBAD_LISTEN?"),
        (
            "",
            &[],
            &[("SAMBAD_PORT", "tcp://10.0.0.1:4000"), ("SAMBAD_SERVER_SERVICE_HOST", "10.0.0.1"), ("SAMBAD_TOKEN", "t")],
            "\"127.0.0.1:4000\" # default",
            "",
        ),
    ] {
        fs::write(directory.path().join("sambad.toml"), file).expect("the file can be written");
        let args = if args.first() == Some(&"config") { args.to_vec() } else { [args, &["config"]].concat() };
        let (code, printed, said) = told(directory.path(), &args, env).await;
        let case = format!("{file:?} {args:?} {env:?}");
        assert_eq!(code, Some(0), "{case}: {said}");
        let line = printed.lines().find(|line| line.starts_with("listen ")).expect("there is a line");
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, format!("listen = {expected}"), "{case}");
        assert!(if warning.is_empty() { said.is_empty() } else { said.contains(warning) }, "{case}: {said}");
    }
    for (file, args, env, expected) in [
        ("", &[][..], &[("SAMBAD_LISTEN", "nowhere")][..], "error: SAMBAD_LISTEN: invalid value 'nowhere'"),
        ("", &["--listen", "nowhere"], &[("SAMBAD_LISTEN", "127.0.0.1:8")], "error: invalid value 'nowhere' for '--listen"),
        ("listen = 'nowhere'", &[], &[("SAMBAD_LISTEN", "")], "error: sambad.toml:1: listen: invalid value 'nowhere'"),
        ("listen = ''", &[], &[], "error: sambad.toml:1: listen: is empty"),
        ("database = \"sqlite:x\\u0007\"", &[], &[], "error: sambad.toml:1: database: contains the control character U+0007"),
        ("", &["--listen="], &[], "error: --listen is empty"),
        ("", &["--config", "gone.toml"], &[], "error: cannot read gone.toml: "),
        ("", &[], &[("SAMBAD_CONFIG", "gone.toml\n")], "(environment SAMBAD_CONFIG)"),
        ("", &[], &[("SAMBAD_AUTH_JWKS", "https://me:hunter2@x")], "error: SAMBAD_AUTH_JWKS: invalid value '(redacted)'"),
        ("", &[], &[("SAMBAD_TLS_CERT", "c.pem")], "--tls-cert comes from environment SAMBAD_TLS_CERT"),
    ] {
        fs::write(directory.path().join("sambad.toml"), file).expect("the file can be written");
        let (code, _, said) = told(directory.path(), &[args, &["config"]].concat(), env).await;
        assert!(code == Some(2) && said.contains(expected) && !said.contains("hunter2"), "{file:?} {args:?} {env:?}: {said}");
    }
}

/// Goal: a server tells of its environment in its log, and names the place of a setting that it cannot run with. Method: servers
/// that cannot start.
#[tokio::test]
async fn a_server_tells_of_its_environment() {
    let env = [("SAMBAD_LISTN", "x"), ("SAMBAD_DATABASE", "sqlite:/nonexistent/x.db"), ("SAMBAD_LISTEN", "127.0.0.1:0")];
    let said = String::from_utf8(run(&[], &env).await.stderr).expect("what is printed is text");
    assert!(said.contains("SAMBAD_LISTN is not a setting; did you mean SAMBAD_LISTEN?"), "{said}");
    let env = [("SAMBAD_AUTH", "token"), ("SAMBAD_DATABASE", "sqlite:/nonexistent/x.db")];
    let said = String::from_utf8(run(&[], &env).await.stderr).expect("what is printed is text");
    assert!(said.contains("--auth comes from environment SAMBAD_AUTH"), "{said}");
}

/// Goal: help and the version are there in any environment. Method: variables that are all wrong, and a file that is none.
#[tokio::test]
async fn help_needs_no_setting() {
    let env: Vec<(&str, &str)> = sambad_settings::SERVER.iter().map(|name| (*name, "\u{1b}nonsense")).collect();
    for args in [&["--help"][..], &["-h"], &["--version"], &["help"], &["check", "--help"]] {
        let output = run(args, &env).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !output.stdout.is_empty() && said.is_empty(), "{args:?}: {said}");
    }
}

/// Goal: the other binaries know every variable of this one. Method: the list that they have, and the command line's.
#[test]
fn every_variable_is_known_to_all() {
    let command = Cli::command();
    let own: BTreeSet<_> = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    assert_eq!(own, sambad_settings::SERVER.iter().copied().collect(), "sambad_settings::SERVER lists them");
}
