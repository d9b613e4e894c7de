//! The only way to stdout and stderr.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::ops::RangeInclusive;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use sambad_client::Error;
use serde_json::value::RawValue;

use crate::text::harmless;

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Also into a file or pipe.
    Always,
    /// Not at all.
    Never,
}

impl Color {
    fn on(self, stream: &impl anstream::stream::RawStream) -> bool {
        match self {
            Self::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// What matters less.
    Aside,
    /// Headings.
    Heading,
    /// Something came to be.
    Good,
    /// Something went away, or is about to go wrong.
    Warning,
    /// Something went wrong.
    Bad,
    /// Something was said.
    Speech,
}

impl Role {
    const fn style(self) -> Style {
        match self {
            Self::Aside => Style::new().dimmed(),
            Self::Heading => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Speech => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Stdout, buffered, and stderr, each with its choice of colour.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    color_out: bool,
    color_err: bool,
    json: bool,
}

impl Output {
    pub(crate) fn new(color: Color, json: bool) -> Self {
        Self {
            stdout: BufWriter::with_capacity(64 << 10, io::stdout()),
            color_out: color.on(&io::stdout()),
            color_err: color.on(&io::stderr()),
            json,
        }
    }

    /// Whether the server's JSON is wanted.
    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }

    /// Puts text in the colour of its role, when stdout has colours.
    pub(crate) fn paint(&self, role: Role, text: impl Display) -> String {
        paint(self.color_out, role, text)
    }

    /// Writes a line of data.
    pub(crate) fn line(&mut self, line: impl Display) -> io::Result<()> {
        writeln!(self.stdout, "{line}")
    }

    /// Writes data that has its own line ends.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Writes the elements of a JSON array, one a line.
    pub(crate) fn json_rows(&mut self, array: &RawValue) -> anyhow::Result<()> {
        let rows: Vec<&RawValue> = serde_json::from_str(array.get())?;
        for row in rows {
            self.line(row)?;
        }
        Ok(())
    }

    /// Writes names and values below each other.
    pub(crate) fn fields(&mut self, fields: &[(&str, String)]) -> io::Result<()> {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            let name = self.paint(Role::Heading, format_args!("{name:width$}"));
            self.line(format_args!("{name}  {value}"))?;
        }
        Ok(())
    }

    /// Hands on what was written so far.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Says something that is no data. Nobody reading it is no reason to stop.
    pub(crate) fn note(&self, role: Role, text: impl Display) {
        let _ = writeln!(io::stderr(), "{}", paint(self.color_err, role, text));
    }

    /// Shows how far something is, in place of what was shown before; nothing where nobody watches.
    pub(crate) fn progress(&self, text: impl Display) {
        const START_OF_LINE_CLEARED: &str = "\r\x1b[2K";
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "{START_OF_LINE_CLEARED}{}", paint(self.color_err, Role::Aside, text));
        }
    }

    /// Says why the command failed.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let label = paint(self.color_err, Role::Bad, "error:");
        let _ = writeln!(io::stderr(), "{label} {}", Chain(error));
        if let Some(Error::Connect { .. }) = error.downcast_ref() {
            // What TLS says of a certificate has no type of its own down here.
            let of_certificate = error.chain().any(|cause| cause.to_string().contains("certificate"));
            self.note(
                Role::Aside,
                if of_certificate {
                    "Is this the right server? --ca-file or SAMBAD_CA_FILE adds a certificate to the system's trusted ones."
                } else {
                    "Is the server running? --server or SAMBAD_SERVER sets another address."
                },
            );
        }
        match error.downcast_ref() {
            Some(Error::Unauthorized(_) | Error::NoToken { .. }) => self.note(
                Role::Aside,
                "Run `sambad-cli login` with a token, or `sambad-cli login PHONE` as a user; --token-file or SAMBAD_TOKEN gives a token for one command.",
            ),
            Some(Error::Forbidden(_)) => self.note(
                Role::Aside,
                "`sambad-cli whoami` shows your identity; run `sambad-cli login` with a token that has the role for this.",
            ),
            _ => {}
        }
        if let Some(Error::Api { request_id: Some(id), status: 500.., .. }) = error.downcast_ref() {
            self.note(Role::Aside, format_args!("The server's log has more about request {id}."));
        }
    }
}

fn paint(color: bool, role: Role, text: impl Display) -> String {
    let style = role.style();
    if color { format!("{style}{text}{style:#}") } else { text.to_string() }
}

/// An error with its causes, as far as they say more.
struct Chain<'a>(&'a anyhow::Error);

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for cause in self.0.chain() {
            write!(f, "{separator}{}", harmless(&cause.to_string()))?;
            separator = ": ";
            if cause.is::<Error>() {
                // The client's errors end with their root cause; the layers between only say that there is one.
                break;
            }
        }
        Ok(())
    }
}

/// A table whose columns are as wide as their widest cell so far.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    header: Option<[&'static str; N]>,
    widths: [usize; N],
    numbers: RangeInclusive<usize>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&'static str; N]) -> Self {
        Self { header: Some(header), widths: header.map(str::len), numbers: N..=N }
    }

    /// Puts these columns flush right, as numbers are compared best.
    pub(crate) fn numbers(self, columns: RangeInclusive<usize>) -> Self {
        Self { numbers: columns, ..self }
    }

    /// Writes rows, the first time below the header. A later page may need wider columns; earlier rows stay as they are.
    pub(crate) fn rows(&mut self, output: &mut Output, rows: &[[String; N]]) -> io::Result<()> {
        for (column, width) in self.widths.iter_mut().enumerate() {
            *width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(*width);
        }
        if let Some(header) = self.header.take()
            && !rows.is_empty()
        {
            let header = self.aligned(&header.map(Into::into));
            let header = output.paint(Role::Heading, header);
            output.line(header)?;
        }
        rows.iter().try_for_each(|row| output.line(self.aligned(row)))
    }

    fn aligned(&self, row: &[String; N]) -> String {
        let cells = row.iter().zip(self.widths).enumerate().map(|(column, (cell, width))| {
            if self.numbers.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}
