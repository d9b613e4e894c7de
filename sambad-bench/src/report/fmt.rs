//! Figures and texts as people read them.

use std::borrow::Cow;
use std::fmt::Write;

/// Stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// A measured duration: whole microseconds below a millisecond, three significant digits above.
pub(crate) fn duration(us: u64) -> String {
    if us < 1000 { format!("{us} µs") } else { micros(us as f64) }
}

/// A duration that was chosen and not measured: without the zeros that claim precision.
pub(super) fn exact(us: u64) -> String {
    let shown = duration(us);
    shown.split_once(' ').map_or_else(|| shown.clone(), |(number, unit)| format!("{} {unit}", trimmed(number)))
}

/// A duration that was computed, in microseconds: three significant digits.
pub(crate) fn micros(us: f64) -> String {
    scaled(us, 1e3, &["µs", "ms", "s"])
}

/// A size in bytes, in units of 1,000.
pub(crate) fn bytes(bytes: f64) -> String {
    if bytes.abs() < 1000.0 { format!("{bytes:.0} B") } else { scaled(bytes, 1e3, &["B", "KB", "MB", "GB", "TB"]) }
}

/// A size in bytes that was counted.
pub(crate) fn size(count: u64) -> String {
    bytes(count as f64)
}

/// A number of things, in groups of three digits.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How many things: `1 kill`, `2 kills`.
pub(crate) fn many(number: u64, thing: &str) -> String {
    format!("{} {}", count(number), things(number, thing))
}

/// The word for that many things.
pub(super) fn things(number: u64, thing: &str) -> String {
    match thing.strip_suffix('y') {
        _ if number == 1 => thing.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None => format!("{thing}s"),
    }
}

/// A rate: three significant digits below 100, whole above.
pub(crate) fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        NONE.into()
    } else if per_second < 100.0 {
        trimmed(&significant(per_second))
    } else {
        count(whole(per_second))
    }
}

/// A share of 1 in percent.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.abs() < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// A duration that was asked for, in seconds: `500 ms`, `30 s`, `10 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 1.0 {
        format!("{} ms", trimmed(&significant(seconds * 1e3)))
    } else if seconds >= 120.0 && seconds % 60.0 == 0.0 {
        format!("{} min", seconds / 60.0)
    } else {
        format!("{} s", (seconds * 1e3).round() / 1e3)
    }
}

/// An instant of RFC 3339 to the second; what is none stays as it is.
pub(super) fn instant(text: &str) -> String {
    text.parse::<jiff::Timestamp>()
        .map_or_else(|_| harmless(text), |instant| instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A command line that a shell takes back.
pub(super) fn command(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            Cow::from(word)
        } else {
            format!("'{}'", word.replace('\'', r"'\''")).into()
        }
    });
    harmless(&quoted.collect::<Vec<_>>().join(" "))
}

/// Replaces what would move the cursor, colour the terminal or hide text: a server may have sent it.
pub(crate) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional overrides can make text read as another.
        let hides = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || hides {
            let _ = write!(clean, "{}", c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// The number in the first unit in which it has at most three digits before the point, or in the last one.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    if !value.is_finite() || value < 0.0 {
        return NONE.into();
    }
    let mut value = value;
    let (last, smaller) = units.split_last().expect("there is a unit");
    for unit in smaller {
        let shown = significant(value);
        // Decided by what is shown: 999.96 would read as 1000.
        if value < step && shown != "1000" {
            return format!("{shown} {unit}");
        }
        value /= step;
    }
    let shown = if value < 999.5 { significant(value) } else { count(whole(value)) };
    format!("{shown} {last}")
}

/// Three significant digits, and no more than four places.
fn significant(value: f64) -> String {
    let places = |value: f64| if value == 0.0 { 0 } else { (2 - value.log10().floor().clamp(-10.0, 10.0) as i32).clamp(0, 4) };
    let factor = 10_f64.powi(places(value));
    // Rounded first: 9.996 has one place less than it seems.
    let rounded = (value * factor).round() / factor;
    format!("{rounded:.*}", usize::try_from(places(rounded)).unwrap_or(0))
}

/// Without the zeros that end a fraction.
fn trimmed(number: &str) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').to_owned() } else { number.to_owned() }
}

/// The nearest whole number.
pub(super) fn whole(value: f64) -> u64 {
    // A cast saturates, and what is shown here is neither negative nor beyond 2^64.
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: durations read well at every size. Method: known answers, above all where digits or units change.
    #[test]
    fn durations() {
        for (us, shown) in [
            (0, "0 µs"),
            (1, "1 µs"),
            (999, "999 µs"),
            (1000, "1.00 ms"),
            (1234, "1.23 ms"),
            (9_996, "10.0 ms"),
            (17_349, "17.3 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (12_345_678, "12.3 s"),
            (1_000_000_000, "1,000 s"),
        ] {
            assert_eq!(duration(us), shown, "{us}");
        }
        for (us, shown) in
            [(0.0, "0 µs"), (0.0734, "0.0734 µs"), (7.349, "7.35 µs"), (940.2, "940 µs"), (f64::NAN, "–"), (-1.0, "–")]
        {
            assert_eq!(micros(us), shown, "{us}");
        }
    }

    /// Goal: other figures read well too. Method: known answers.
    #[test]
    fn figures() {
        let table = [
            (count(0), "0"),
            (count(999), "999"),
            (count(1000), "1,000"),
            (count(u64::MAX), "18,446,744,073,709,551,615"),
            (many(1, "kill"), "1 kill"),
            (many(2000, "kill"), "2,000 kills"),
            (many(0, "delivery"), "0 deliveries"),
            (size(0), "0 B"),
            (size(999), "999 B"),
            (size(3600), "3.60 KB"),
            (size(412_345_678), "412 MB"),
            (rate(0.0), "0"),
            (rate(0.5), "0.5"),
            (rate(20.0), "20"),
            (rate(150_319.6), "150,320"),
            (exact(1000), "1 ms"),
            (exact(1500), "1.5 ms"),
            (exact(1_000_000_000), "1,000 s"),
            (percent(0.0432), "4.3 %"),
            (percent(0.996), "100 %"),
            (seconds(0.0), "0 s"),
            (seconds(0.5), "500 ms"),
            (seconds(2.5), "2.5 s"),
            (seconds(90.0), "90 s"),
            (seconds(600.0), "10 min"),
            (instant("2026-07-01T12:00:00.123456Z"), "2026-07-01 12:00:00 UTC"),
            (instant("now"), "now"),
        ];
        for (shown, expected) in table {
            assert_eq!(shown, expected);
        }
    }

    /// Goal: a command can be pasted, and its text does no harm. Method: words that need quotes, an escape, an override.
    #[test]
    fn commands_and_strangers_words() {
        let words = ["sambad-bench", "run", "--mix", "login=1,contact=6", "it's", "", "a b", "$HOME"].map(String::from);
        assert_eq!(command(&words), r"sambad-bench run --mix login=1,contact=6 'it'\''s' '' 'a b' '$HOME'");
        assert_eq!(harmless("\u{1b}[31mred\u{202e}"), "\\u{1b}[31mred\\u{202e}");
    }
}
