//! `sambad.toml` and `sambad-server config`: who is asked first, what is refused, what is shown.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, CommandFactory as _};
use sambad_server::config::Cli;

use crate::harness::process::{Process, database, run, run_in};
use crate::harness::{Dashboard, Ended};

/// Runs `sambad-server config` with this file; what it came to: exit code, stdout, stderr.
async fn config(text: &str, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("sambad.toml"), text).expect("the file can be written");
    let output = run_in(directory.path(), &[&["config"], args].concat(), env).await;
    let told = |bytes| String::from_utf8(bytes).expect("what is printed is text");
    (output.status.code(), told(output.stdout), told(output.stderr))
}

/// The line of a setting, its columns closed up.
fn line(printed: &str, key: &str) -> String {
    let line = printed.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{key} ")));
    line.unwrap_or_else(|| panic!("{key} is in {printed}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Goal: flag, environment, file, default are asked in this order, and each is named as the source. Method: one setting of each,
/// and all of them for one setting; a flag before and after the subcommand.
#[tokio::test]
async fn every_value_names_its_source() {
    let file = "# mine\nheartbeat-s = 0x07\nlog = 'off'\ndrain-window = \"3s\"\nlisten = '127.0.0.1:1'\n";
    let env = [("SAMBAD_LOG", "debug"), ("SAMBAD_DRAIN_WINDOW", "4s")];
    let (code, printed, told) = config(file, &["--drain-window", "5s"], &env).await;
    assert_eq!((code, told.as_str()), (Some(2), told.as_str()), "a setting of serving goes before the subcommand");
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("sambad.toml"), file).expect("the file can be written");
    let output = run_in(directory.path(), &["--drain-window", "5s", "config", "--listen", "127.0.0.1:2"], &env).await;
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("what is printed is text");
    for (key, expected) in [
        ("file:", "# file: sambad.toml"),
        ("heartbeat-s", "heartbeat-s = 7 # file sambad.toml:2"),
        ("log", "log = \"debug\" # environment SAMBAD_LOG"),
        ("drain-window", "drain-window = \"5s\" # flag --drain-window"),
        ("listen", "listen = \"127.0.0.1:2\" # flag --listen"),
        ("database", "database = \"sqlite:sambad.db\" # default"),
    ] {
        assert_eq!(line(&printed, key), expected);
    }
}

/// Goal: what is wrong in a file is told with its line, what was meant or expected, all at once, and nothing starts. Method: a
/// file with a fault of every sort; files that are none.
#[tokio::test]
async fn faults_of_a_file_are_named() {
    let file = "hartbeat_s = 7\nheartbeat-s = 'often'\nqueue-bytes-max = 1\nlog-format = 'xml'\nlisten = ['a']\ncolour = 1\n\
                database = true\ndrain-delay = 1979-05-27\n[log]\nlevel = 1\n";
    let (code, printed, told) = config(file, &[], &[]).await;
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    let lines: Vec<&str> = told.trim_end().lines().collect();
    for (number, expected) in [
        (1, "hartbeat_s: no such setting; did you mean `heartbeat-s`?"),
        (
            2,
            "heartbeat-s: invalid value 'often' for '--heartbeat-s <SECONDS>': invalid digit found in string; expected SECONDS, \
             such as 25",
        ),
        (
            3,
            "queue-bytes-max: invalid value '1' for '--queue-bytes-max <BYTES>': expected a number from 131072 to 1073741824; \
             expected BYTES, such as 16777216",
        ),
        (
            4,
            "log-format: invalid value 'xml' for '--log-format <LOG_FORMAT>' [possible values: text, json]; expected \"text\" \
             or \"json\"",
        ),
        (5, "listen: is not a list; expected ADDR, such as 127.0.0.1:4000"),
        (6, "colour: no such setting"),
        (7, "database: is not a switch; expected URL, such as sqlite:sambad.db"),
        (8, "drain-delay: is not a date; expected TIME, such as 0s"),
        (9, "log: is not a table; expected FILTER, such as error,sambad=info"),
    ] {
        let line = lines.get(number - 1).map(|line| line.trim_start_matches("error: "));
        assert_eq!(line, Some(format!("sambad.toml:{number}: {expected}").as_str()), "{told}");
    }
    let (code, _, told) = config("log = 'off\n", &[], &[]).await;
    assert!(code == Some(2) && told.starts_with("error: sambad.toml is not TOML") && told.contains("line 1"), "{told}");
    let (code, _, told) = config("", &["--config", "nowhere.toml"], &[]).await;
    assert!(code == Some(2) && told.starts_with("error: cannot read nowhere.toml: "), "{told}");
}

/// Goal: the command line's own faults are told as ever, and help needs no file. Method: a wrong flag, a wrong variable of a
/// setting that the file has right, and help, with a file there.
#[tokio::test]
async fn a_file_hides_no_other_fault() {
    for (env, args, expected) in [
        (&[][..], &["--nonsense"][..], "--nonsense"),
        (&[("SAMBAD_HEARTBEAT_S", "often")], &[], "--heartbeat-s"),
        (&[("SAMBAD_LISTEN", "nowhere")], &[], "--listen"),
    ] {
        let (code, _, told) = config("heartbeat-s = 7\nlisten = '127.0.0.1:1'\n", args, env).await;
        assert!(code == Some(2) && told.contains(expected), "{told}");
    }
    let (code, printed, _) = config("heartbeat-s = 'often'", &["--help"], &[]).await;
    assert!(code == Some(0) && printed.contains("Usage:"), "{printed}");
}

/// Goal: what goes together may be said in different places, and is missed where a part is not said at all. Method: an outside
/// issuer by file, environment and flag; without its audience.
#[tokio::test]
async fn settings_go_together_whoever_says_them() {
    let file = "auth-jwks = 'https://issuer.example/jwks'\n";
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("sambad.toml"), file).expect("the file can be written");
    let env = [("SAMBAD_AUTH_ISSUER", "https://issuer.example")];
    let output = run_in(directory.path(), &["--auth-audience", "sambad", "config"], &env).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, _, told) = config(file, &[], &env).await;
    assert!(code == Some(2) && told.contains("--auth-audience"), "{told}");
    let (code, printed, told) =
        config("insecure-no-auth = true\nallowed-origin = ['https://a.example', 'https://b.example']", &[], &[]).await;
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_eq!(line(&printed, "insecure-no-auth"), "insecure-no-auth = true # file sambad.toml:1");
    let origins = "allowed-origin = [\"https://a.example\", \"https://b.example\"] # file sambad.toml:2";
    assert_eq!(line(&printed, "allowed-origin"), origins);
}

/// Goal: the server itself runs with the file, by its name, by the variable, and where it is started; what `config` prints is a
/// file that means the same. Method: a heartbeat, as sessions are told it; the printed file again.
#[tokio::test]
async fn the_server_runs_with_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("mine.toml");
    let text = format!("listen = '127.0.0.1:0'\ndatabase = '{}'\nheartbeat-s = 7\n", database(directory.path()));
    fs::write(&file, &text).expect("the file can be written");
    let file = file.to_str().expect("the path is text");
    let first = run(&["config", "--config", file], &[]).await.stdout;
    fs::write(directory.path().join("sambad.toml"), &first).expect("the file can be written");
    for (args, env) in [(&["--config", file][..], &[][..]), (&[], &[("SAMBAD_CONFIG", file)]), (&[], &[])] {
        let server = Process::start_in(directory.path(), args, env).await;
        let mut dashboard = Dashboard::connect(server.address, "").await;
        assert!(dashboard.connected.contains(r#""heartbeat_s":7}"#), "{}", dashboard.connected);
        server.terminate().await;
        assert!(matches!(dashboard.ended().await, Ended::Closed(4000, _)));
        assert_eq!(server.end().await.code(), Some(0));
    }
    let second = run_in(directory.path(), &["config"], &[]).await.stdout;
    let values = |printed: &[u8]| -> Vec<String> {
        let printed = String::from_utf8_lossy(printed);
        let settings = printed.lines().filter(|line| !line.starts_with('#'));
        settings.map(|line| line.split(" # ").next().unwrap_or_default().trim_end().to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
}

/// A setting as the example has it.
fn example_of(text: &mut String, arg: &Arg, long: &str) {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    for line in help.lines() {
        let _ = writeln!(text, "{}", format!("# {line}").trim_end());
    }
    let possible: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if arg.get_action().takes_values() && !possible.is_empty() {
        let _ = writeln!(text, "# One of: {}", possible.join(", "));
    }
    let literal = |value: &str| match value.parse::<i64>() {
        Ok(number) if number.to_string() == value => value.to_owned(),
        _ => format!("\"{value}\""),
    };
    let name = arg.get_value_names().map_or_else(|| "VALUE".into(), |names| names[0].to_string());
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| literal(&value.to_string_lossy())).collect();
    let value = match (arg.get_action().takes_values(), arg.get_action()) {
        (false, _) => "false".into(),
        (true, clap::ArgAction::Append) if defaults.is_empty() => format!("[\"{name}\"]"),
        (true, clap::ArgAction::Append) => format!("[{}]", defaults.join(", ")),
        (true, _) => defaults.first().cloned().unwrap_or_else(|| format!("\"{name}\"")),
    };
    let _ = writeln!(text, "#{long} = {value}\n");
}

/// Goal: the example has every setting with its default. Method: it is made anew of the command line, which is the list of
/// settings; SAMBAD_UPDATE_SNAPSHOTS=1 writes it. Then the server reads it with every setting that has a default switched on.
#[tokio::test]
async fn the_example_is_every_setting() {
    let mut text = String::from(
        "# All settings of sambad-server, with their defaults. Copy this file to sambad.toml in the working directory of the server,\n\
         # or name it with --config or SAMBAD_CONFIG. Flags and SAMBAD_* variables have priority over it.\n\n",
    );
    let command = Cli::command();
    let arguments = || command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "config");
    let mut headings: Vec<Option<&str>> = arguments().map(Arg::get_help_heading).collect();
    headings.dedup();
    for heading in headings {
        text.extend(heading.map(|heading| format!("## {heading}\n\n")));
        for arg in arguments().filter(|arg| arg.get_help_heading() == heading) {
            example_of(&mut text, arg, arg.get_long().expect("settings have names"));
        }
    }
    let text = format!("{}\n", text.trim_end());
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sambad.toml");
    if std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder can be made");
        fs::write(&path, &text).expect("the example can be written");
    }
    let example = fs::read_to_string(&path).expect("the example can be read");
    assert!(text == example, "{} differs from the command line's settings:\n{text}", path.display());
    let has_default = |line: &str| {
        let key = line.split(' ').next().unwrap_or_default();
        arguments().any(|arg| arg.get_long() == Some(key) && !arg.get_default_values().is_empty())
    };
    let on: String = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| has_default(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let (code, printed, told) = config(&on, &[], &[]).await;
    assert!(code == Some(0) && on.lines().count() > 10, "{told}");
    assert_eq!(printed.matches("# file sambad.toml:").count(), on.lines().count(), "{printed}");
}
