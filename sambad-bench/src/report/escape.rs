//! Text of a report inside HTML and SVG.

use std::fmt::{self, Write};

use super::fmt::harmless;

/// Shows as text in content and in quoted attributes, whatever is in it.
#[derive(Debug)]
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in harmless(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no text becomes markup. Method: known answers.
    #[test]
    fn text_stays_text() {
        for (text, shown) in [
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("a & \"b\" → c", "a &amp; &quot;b&quot; → c"),
            ("\0\u{202e}", "\\u{0}\\u{202e}"),
            ("&lt;", "&amp;lt;"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }
}
