//! Values of the command line.

use std::time::Duration;

/// Reads a length of time with its unit: `30s`, `1.5m`, `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    /// A year; nobody waits for longer, and sums of times stay in range.
    const MAX_S: f64 = 365.0 * 86_400.0;
    let expected = || format!("{text:?} is not a time such as 30s, 250ms or 5m");
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| digits).ok_or_else(expected)?;
    let duration = number * seconds;
    if duration > MAX_S { Err(format!("{text:?} is more than a year")) } else { Ok(Duration::from_secs_f64(duration)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: times need a unit and stay in range. Method: good and bad texts.
    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [("30s", 30_000), ("250ms", 250), ("1.5m", 90_000), ("0s", 0), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1e9s", "infs", "nan s", "1 s", "3 days", "9999999h", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
