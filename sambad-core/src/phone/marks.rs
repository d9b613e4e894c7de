//! What people, keyboards and address books put between the digits of a number.

/// A character as it is read: `None` if it cannot be seen, a space for what separates, `-` for dashes of any kind.
pub(super) fn shown(c: char) -> Option<char> {
    match c {
        // Soft hyphens, zero-width spaces, joiners, marks of direction, variation selectors, and the frames of digits.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{20e3}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        // The sign of long vowels is a dash in Japanese numbers, and a letter elsewhere.
        'ー'
        | '\u{58a}'
        | '\u{5be}'
        | '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{207b}'
        | '\u{208b}'
        | '\u{2212}'
        | '\u{301c}'
        | '\u{fe31}'
        | '\u{fe32}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}'
        | '\u{ff70}' => Some('-'),
        // Dots, slashes and brackets.
        '.'
        | '·'
        | '•'
        | '\u{2024}'
        | '\u{2027}'
        | '\u{2219}'
        | '\u{22c5}'
        | '\u{3002}'
        | '\u{30fb}'
        | '\u{fe52}'
        | '\u{ff0e}'
        | '\u{ff61}'
        | '\u{ff65}'
        | '/'
        | '\u{2044}'
        | '\u{2215}'
        | '\u{ff0f}'
        | '('
        | ')'
        | '['
        | ']'
        | '{'
        | '}'
        | '\u{2768}'..='\u{2775}'
        | '\u{2985}'
        | '\u{2986}'
        | '\u{3008}'..='\u{3011}'
        | '\u{3014}'..='\u{301b}'
        | '\u{fe59}'..='\u{fe5e}'
        | '\u{ff08}'
        | '\u{ff09}'
        | '\u{ff3b}'
        | '\u{ff3d}'
        | '\u{ff5b}'
        | '\u{ff5d}'
        | '\u{ff5f}'
        | '\u{ff60}' => Some(' '),
        '\u{ff0b}' | '\u{fe62}' => Some('+'),
        // Of full width.
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(c) - 0xff10, 10),
        _ if c.is_whitespace() => Some(' '),
        _ => Some(c),
    }
}
