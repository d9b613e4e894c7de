//! How an event is printed.

use std::str::FromStr;

use super::field::{Field, Shown};
use super::pretty;
use crate::output::Output;
use crate::text::harmless;

/// The form of a line.
#[derive(Debug, Clone)]
pub(super) enum Format {
    /// For people.
    Pretty,
    /// As the server sent it.
    Json,
    /// As the user says.
    Template(Vec<Piece>),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Printed as it is.
    Text(String),
    /// Replaced by the field's value, by nothing when the event has none.
    Field(Field),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            template => {
                let pieces = parse(template)?;
                if pieces.iter().any(|piece| matches!(piece, Piece::Field(_))) {
                    Ok(Self::Template(pieces))
                } else {
                    Err("expected `pretty`, `json`, or a template with at least one {field}".into())
                }
            }
        }
    }
}

impl Format {
    pub(super) fn is_default(&self) -> bool {
        matches!(self, Self::Pretty)
    }

    /// The line of an event.
    pub(super) fn line(&self, shown: &Shown<'_>, latency: bool, output: &Output) -> anyhow::Result<String> {
        Ok(match self {
            Self::Pretty => pretty::line(shown, latency, output),
            Self::Json => {
                let mut json = serde_json::to_string(shown.event)?;
                if latency && json.pop() == Some('}') {
                    json = format!("{json},\"latency_ms\":{}}}", shown.latency_ms());
                }
                json
            }
            Self::Template(pieces) => {
                let text = |piece: &Piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Field(field) => shown.get(field).map(|value| harmless(&value)).unwrap_or_default(),
                };
                let line: String = pieces.iter().map(text).collect();
                if latency { format!("{line} {}", shown.latency_ms()) } else { line }
            }
        })
    }
}

fn parse(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('{', Some('{')) | ('}', Some('}')) => text.extend(chars.next()),
            ('\\', Some('n' | 't' | '\\')) => text.extend(chars.next().map(|c| match c {
                'n' => '\n',
                't' => '\t',
                other => other,
            })),
            ('{', _) => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) => name.push(c),
                        None => return Err("a { without }: write {{ to print a brace".into()),
                    }
                }
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Field(name.parse()?));
            }
            ('}', _) => return Err("a } without {: write }} to print a brace".into()),
            (other, _) => text.push(other),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::super::field::sample;
    use super::*;

    /// Goal: a template prints what it says. Method: templates over one event with dangerous content.
    #[test]
    fn templates_are_filled_in() {
        let event = sample("message_sent", r#"{"content":"a\u001bb\nc","n":2}"#);
        for (template, line) in [
            ("{seq} {type}", "7 message_sent"),
            ("{{{seq}}}", "{7}"),
            (r"{seq}\t{data.n}\\", "7\t2\\"),
            ("{data.content}|{data.none}|{seq}", r"a\u{1b}b\nc||7"),
        ] {
            let Ok(Format::Template(pieces)) = template.parse() else { panic!("no template: {template}") };
            let output = Output::new(crate::output::Color::Never, false);
            assert_eq!(Format::Template(pieces).line(&Shown::now(&event), false, &output).unwrap(), line, "{template}");
        }
    }

    /// Goal: a template that cannot be right is refused. Method: a table.
    #[test]
    fn bad_templates_are_refused() {
        for bad in ["", "prety", "{sec}", "{seq", "seq}", "{}", "{data.}", "{{seq}}"] {
            assert!(bad.parse::<Format>().is_err(), "{bad}");
        }
    }
}
