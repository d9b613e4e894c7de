//! Characters that make a text look like another one.

/// Whether a character controls a terminal, turns the direction of text around, or cannot be seen: what somebody else wrote may not
/// have it where people read it raw. The joiners of emoji and of Indian scripts (U+200C, U+200D) and variation selectors are not
/// among these.
///
/// Source: Unicode, general categories Cc and Cf, and the separators U+2028 and U+2029; "Trojan Source" (CVE-2021-42574).
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
