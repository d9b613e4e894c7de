//! Which place counts, and what is said of the others.

use clap::{Args, FromArgMatches as _, Subcommand};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "program", version)]
struct Cli {
    #[arg(long, global = true, env = "SAMBAD_NUMBER", default_value_t = 1)]
    number: u32,
    #[arg(long, env = "SAMBAD_SECRET", hide_env_values = true, requires = "number_of_secrets")]
    secret: Option<u8>,
    #[arg(long, env = "SAMBAD_NUMBER_OF_SECRETS")]
    number_of_secrets: Option<u8>,
    #[arg(long, env = "SAMBAD_SWITCH")]
    switch: bool,
    #[arg(long, env = "SAMBAD_LIST", value_delimiter = ',')]
    list: Vec<u32>,
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check,
    Quiet,
    Say {
        file: Option<String>,
        words: Option<String>,
        more: Vec<String>,
        #[arg(long, short)]
        place: Option<String>,
        #[arg(long, num_args = 1..)]
        several: Vec<String>,
        #[arg(long, num_args = 0..=1, default_missing_value = "-")]
        maybe: Option<String>,
        #[arg(long)]
        text: Option<String>,
    },
}

const EXCEPTIONS: Exceptions =
    Exceptions { unread: &["quiet"], as_typed: &["words", "text"], above: &[("secret", "place"), ("number", "file")] };

fn variables(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn read(args: &[&str], environment: &[(&str, &str)]) -> Result<(Cli, Vec<String>), String> {
    let args = ["program"].iter().chain(args).map(OsString::from);
    load(args, variables(environment), EXCEPTIONS).map_err(|error| error.to_string())
}

/// Goal: a flag wins over a variable, which wins over the default; an empty variable is none. Method: a table of both, with line
/// ends, also for a flag behind the subcommand.
#[test]
fn the_higher_place_counts() {
    for (args, environment, number) in [
        (&[][..], &[][..], 1),
        (&[], &[("SAMBAD_NUMBER", "2")], 2),
        (&[], &[("SAMBAD_NUMBER", "2\n")], 2),
        (&[], &[("SAMBAD_NUMBER", "2\r\n")], 2),
        (&[], &[("SAMBAD_NUMBER", "")], 1),
        (&[], &[("SAMBAD_NUMBER", "\n")], 1),
        (&["--number", "3"], &[("SAMBAD_NUMBER", "2")], 3),
        (&["--number=3\n"], &[("SAMBAD_NUMBER", "2")], 3),
        (&["--number", "3\r\n"], &[], 3),
        (&["check", "--number", "3"], &[("SAMBAD_NUMBER", "2")], 3),
        (&["check"], &[("SAMBAD_NUMBER", "2")], 2),
    ] {
        let (cli, warnings) = read(args, environment).unwrap_or_else(|error| panic!("{args:?} {environment:?}: {error}"));
        assert_eq!((cli.number, warnings.len()), (number, 0), "{args:?} {environment:?}");
    }
    let (cli, _) = read(&[], &[("SAMBAD_SWITCH", "true\n"), ("SAMBAD_LIST", "1,2\n")]).unwrap();
    assert!(cli.switch && cli.list == [1, 2] && cli.command.is_none(), "{cli:?}");
    let (cli, _) = read(&["--list=3"], &[("SAMBAD_SWITCH", "false"), ("SAMBAD_LIST", "1,2")]).unwrap();
    assert!(!cli.switch && cli.list == [3], "{cli:?}");
}

/// Goal: a wrong variable is named, its secret is not shown, and it ends nothing where it does not count. Method: a table.
#[test]
fn what_is_wrong_is_named() {
    for (args, environment, expected) in [
        (&[][..], &[("SAMBAD_NUMBER", "many")][..], "error: SAMBAD_NUMBER: invalid value 'many' for '--number"),
        (&["check"], &[("SAMBAD_NUMBER", "many")], "error: SAMBAD_NUMBER: "),
        (&[], &[("SAMBAD_NUMBER", "1\t")], "error: SAMBAD_NUMBER: contains the control character U+0009"),
        (&[], &[("SAMBAD_SWITCH", "maybe")], "error: SAMBAD_SWITCH: invalid value 'maybe'; expected true or false"),
        (&[], &[("SAMBAD_SECRET", "hunter2")], "error: SAMBAD_SECRET: invalid value '(redacted)'"),
        (&["--number", "many"], &[("SAMBAD_NUMBER", "2")], "error: invalid value 'many' for '--number"),
        (&["--number", "many"], &[("SAMBAD_NUMBER", "few")], "error: invalid value 'many' for '--number"),
        (&["--number="], &[], "error: --number is empty"),
        (&["--number", "1\n\n"], &[], "error: --number contains the control character U+000A"),
    ] {
        let told = read(args, environment).expect_err("it is refused");
        assert!(told.starts_with(expected), "{args:?} {environment:?}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let told = read(&[], &[("SAMBAD_SECRET", "1")]).expect_err("something is missing");
    assert!(told.contains("--number-of-secrets") && told.contains("--secret comes from environment SAMBAD_SECRET"), "{told}");
    let (_, warnings) = read(&["check", "--number", "3"], &[("SAMBAD_NUMBER", "many"), ("SAMBAD_NUMBR", "1")]).unwrap();
    let [unknown, unused] = warnings.try_into().expect("two warnings");
    assert_eq!(unknown, "SAMBAD_NUMBR is not a setting; did you mean SAMBAD_NUMBER?");
    assert!(
        unused.starts_with("SAMBAD_NUMBER: invalid value 'many'")
            && unused.ends_with("ignored, because flag --number overrides it")
    );
}

/// Goal: every value follows the rule, but for what people say; what is no value stays. Method: a table of arguments that no variable
/// has: flags long, short and repeated, positional arguments, before and behind `--`, beside subcommands and flags without a value.
#[test]
fn every_value_follows_the_rule() {
    let cleaned = |args: &[&str]| {
        let args = ["program"].iter().chain(args).map(OsString::from).collect();
        let cleaned = crate::typed::clean_args(&<Cli as clap::CommandFactory>::command(), EXCEPTIONS.as_typed, args);
        cleaned.map(|args| args[1..].iter().map(|arg| arg.to_str().unwrap().to_owned()).collect::<Vec<_>>()).map_err(|error| {
            let told = error.to_string();
            told.trim_start_matches("error: ").trim_end().to_owned()
        })
    };
    for (args, expected) in [
        (&["say", "f\n"][..], &["say", "f"][..]),
        (&["say", "f\r\n", "w\n", "m\n", "m\n"], &["say", "f", "w\n", "m", "m"]),
        (&["say", "--", "f\n", "w\t", "--m\n"], &["say", "--", "f", "w\t", "--m"]),
        (&["say", "--place", "p\n", "f\n"], &["say", "--place", "p", "f"]),
        (&["say", "--place=p\n"], &["say", "--place=p"]),
        (&["say", "-p", "p\n"], &["say", "-p", "p"]),
        (&["say", "-pp\n"], &["say", "-pp"]),
        (&["say", "-", "w\n"], &["say", "-", "w\n"]),
        (&["say", "--several", "a\n", "b\n", "--text", "t\n"], &["say", "--several", "a", "b", "--text", "t\n"]),
        (&["say", "--maybe", "--text="], &["say", "--maybe", "--text="]),
        (&["--switch", "say", "f\n", "", ""][..4], &["--switch", "say", "f", ""]),
        (&["--list", "1\n", "say", "--number", "3\n", "f\n"], &["--list", "1", "say", "--number", "3", "f"]),
        (&["say", "--unknown", "f\n"], &["say", "--unknown", "f"]),
    ] {
        assert_eq!(cleaned(args).as_deref(), Ok(&*expected.iter().map(ToString::to_string).collect::<Vec<_>>()), "{args:?}");
    }
    for (args, expected) in [
        (&["say", ""][..], "<FILE> is empty: omit it to use the default"),
        (&["say", "f", "w", "m\t"], "<MORE> contains the control character U+0009"),
        (&["say", "--place", "\n"], "--place is empty: omit it to use the default"),
        (&["say", "-p\u{1}"], "--place contains the control character U+0001"),
        (&["say", "--several", "a", "b\t"], "--several contains the control character U+0009"),
        (&["say", "--maybe="], "--maybe is empty: omit it to use the default"),
    ] {
        assert_eq!(cleaned(args), Err(expected.to_owned()), "{args:?}");
    }
}

/// Goal: a wrong variable below another argument that goes before it is a warning, and a right one counts as ever. Method: a flag and
/// a positional argument of a subcommand.
#[test]
fn another_argument_may_stand_above() {
    for (args, environment, warning) in [
        (&["say", "--place", "p"][..], ("SAMBAD_SECRET", "hunter2"), "ignored, because flag --place overrides it"),
        (&["say", "--place", "p"], ("SAMBAD_SECRET", "1\u{1}"), "U+0001; ignored, because flag --place overrides it"),
        (&["say", "f"], ("SAMBAD_NUMBER", "many"), "ignored, because <FILE> overrides it"),
    ] {
        let (_, warnings) = read(args, &[environment]).unwrap_or_else(|error| panic!("{args:?}: {error}"));
        assert!(warnings.len() == 1 && warnings[0].ends_with(warning), "{args:?}: {warnings:?}");
        read(&["say"], &[environment]).expect_err("it counts");
    }
    let (cli, warnings) = read(&["say", "f"], &[("SAMBAD_NUMBER", "2")]).unwrap();
    assert!(cli.number == 2 && warnings.is_empty());
}

/// Goal: a secret is left out of messages, and their words are not. Method: secrets that words hold, and that hold blanks.
#[test]
fn messages_keep_their_words() {
    for (told, secret, shown) in [
        ("invalid value 'x' for '--server': expected", "x", "invalid value '(redacted)' for '--server': expected"),
        ("invalid value 'hunter2': hunter2 is none", "hunter2", "invalid value '(redacted)': (redacted) is none"),
        ("invalid value 'a  secret'", "a  secret", "invalid value '(redacted)'"),
    ] {
        assert_eq!(without(told, secret), shown);
    }
}

/// Goal: help, the version, and commands that need no setting work in any environment. Method: variables that are all wrong.
#[test]
fn help_reads_no_variable() {
    let environment = [("SAMBAD_NUMBER", "many"), ("SAMBAD_SWITCH", "\u{1}"), ("SAMBAD_NUMBR", "1")];
    for args in [&["--help"][..], &["--version"], &["help"], &["check", "--help"], &["help", "check"]] {
        let args = ["program"].iter().chain(args).map(OsString::from);
        let error = load::<Cli>(args.clone(), variables(&environment), Exceptions::default()).expect_err("it is no command");
        assert!(!error.use_stderr(), "{error}");
        assert!(error.kind() == ErrorKind::DisplayVersion || error.to_string().contains("SAMBAD_NUMBER"), "{error}");
    }
    let (cli, warnings) = read(&["quiet"], &environment).unwrap();
    assert!(cli.number == 1 && warnings.is_empty() && matches!(cli.command, Some(Verb::Quiet)));
}

/// Goal: a file lies below variables. Method: what it says of two settings, one of which a variable has, each right and wrong.
#[test]
fn a_lower_place_is_added() {
    let entry = |id: &'static str, said: Result<&str, &str>| Entry {
        id: Some(Id::from(id)),
        source: "file x:1".into(),
        said: said.map(|arg| vec![arg.into()]).map_err(ToOwned::to_owned),
    };
    let finish = |entries: Vec<Entry>| {
        let environment = variables(&[("SAMBAD_NUMBER", "2")]);
        let mut given =
            Given::read(<Cli as clap::CommandFactory>::command(), ["program".into()], environment, Exceptions::default())
                .unwrap();
        assert_eq!(given.text("number").unwrap(), Some(("2".into(), "environment SAMBAD_NUMBER".into())));
        given.add(entries);
        given.finish().map_err(|error| error.to_string())
    };
    let loaded = finish(vec![entry("number", Ok("--number=7")), entry("list", Ok("--list=7"))]).unwrap();
    assert_eq!(loaded.source(&Id::from("number")), Some("environment SAMBAD_NUMBER"));
    assert_eq!(loaded.source(&Id::from("list")), Some("file x:1"));
    assert_eq!(loaded.source(&Id::from("switch")), None);
    let cli = Cli::from_arg_matches(&loaded.matches).unwrap();
    assert!(cli.number == 2 && cli.list == [7], "{cli:?}");
    let loaded = finish(vec![entry("number", Err("x:1: number: wrong"))]).unwrap();
    assert_eq!(loaded.warnings, ["x:1: number: wrong; ignored, because environment SAMBAD_NUMBER overrides it"]);
    assert_eq!(finish(vec![entry("list", Err("x:1: list: wrong"))]).expect_err("it counts"), "error: x:1: list: wrong\n");
}

#[derive(Debug, Parser)]
#[command(name = "program", args_conflicts_with_subcommands = true)]
struct Bench {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Args)]
struct Run {
    #[arg(long, env = "SAMBAD_TOKEN")]
    token: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    more: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Task {
    Run(Run),
    Report,
}

/// Goal: settings that subcommands have for themselves are read where they stand. Method: with and without the subcommand, with the
/// flag, and of a subcommand without the setting.
#[test]
fn subcommands_may_have_their_own() {
    let read = |args: &[&str]| {
        let args = ["program"].iter().chain(args).map(OsString::from);
        load::<Bench>(args, variables(&[("SAMBAD_TOKEN", "kept\n")]), Exceptions::default())
            .unwrap_or_else(|error| panic!("{error}"))
            .0
    };
    assert_eq!(read(&["--more", "--x"]).run.token.as_deref(), Some("kept"));
    for (args, token) in [(&["run"][..], "kept"), (&["run", "--more", "--token"], "kept"), (&["run", "--token", "t\n"], "t")] {
        let Bench { command: Some(Task::Run(run)), .. } = read(args) else { panic!("it is a run") };
        assert_eq!(run.token.as_deref(), Some(token), "{args:?}");
    }
    assert!(matches!(read(&["report"]).command, Some(Task::Report)));
}
