//! What a value may look like, wherever it stands.

use std::ffi::OsStr;
use std::fmt;

/// Why a value is refused; displayed it follows the name of what has it. The value itself, which may be a secret, is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not UTF-8.
    NotUtf8,
    /// It holds a control character.
    Control(char),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::Control(c) => write!(f, "contains the control character U+{:04X}", u32::from(c)),
        }
    }
}

/// A value without the line end that may follow it.
///
/// # Errors
/// [`Refused`] for what is not UTF-8, and for control characters but for one line end at the end.
pub fn clean(value: &OsStr) -> Result<&str, Refused> {
    let value = value.to_str().ok_or(Refused::NotUtf8)?;
    let value = value.strip_suffix('\n').map_or(value, |value| value.strip_suffix('\r').unwrap_or(value));
    match value.chars().find(|c| c.is_control()) {
        Some(c) => Err(Refused::Control(c)),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// Goal: a line end at the end is nobody's intention, and any other control character is a mistake. Method: a table.
    #[test]
    fn one_line_end_is_removed() {
        for (value, cleaned) in [
            ("", Ok("")),
            ("a", Ok("a")),
            ("a\n", Ok("a")),
            ("a\r\n", Ok("a")),
            ("\n", Ok("")),
            (" a ", Ok(" a ")),
            ("ä\n", Ok("ä")),
            ("a\n\n", Err(Refused::Control('\n'))),
            ("a\r", Err(Refused::Control('\r'))),
            ("a\nb", Err(Refused::Control('\n'))),
            ("a\tb", Err(Refused::Control('\t'))),
            ("a\0", Err(Refused::Control('\0'))),
            ("\u{1b}[31m", Err(Refused::Control('\u{1b}'))),
            ("a\u{85}", Err(Refused::Control('\u{85}'))),
        ] {
            assert_eq!(clean(OsStr::new(value)), cleaned, "{value:?}");
        }
        assert_eq!(clean(OsStr::from_bytes(b"a\xff")), Err(Refused::NotUtf8));
        assert_eq!(Refused::Control('\u{85}').to_string(), "contains the control character U+0085");
    }
}
