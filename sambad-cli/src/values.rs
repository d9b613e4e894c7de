//! Values of arguments: what people type, read before anything runs.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use sambad_client::{After, EventKind, Seq, Transport};

/// Reads the name of an event type.
pub(crate) fn event_kind() -> impl TypedValueParser<Value = EventKind> {
    let names = EventKind::ALL.map(EventKind::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<EventKind>())
}

/// Reads the name of a transport.
pub(crate) fn transport() -> impl TypedValueParser<Value = Transport> {
    let names = Transport::ALL.map(Transport::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Transport>())
}

/// Where `watch` begins.
pub(crate) fn after(text: &str) -> Result<After, String> {
    if text == "beginning" {
        return Ok(After::Seq(Seq::ZERO));
    }
    text.parse().map_err(|_| "expected a cursor such as 9f3a01c7-1042, a seq such as 1042, or `beginning`".into())
}

/// Reads a time span: `30s`, `1.5m`, `250ms`, `1h`; a bare number means seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 30s, 250ms, 2m or 1h".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number = f64::from_str(number).map_err(|_| expected())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())?;
    // Longer ones are a mistake, and would overflow the clock.
    if duration <= Duration::from_secs(366 * 86_400) { Ok(duration) } else { Err("longer than a year".into()) }
}

/// Reads how many things happen a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match f64::from_str(text) {
        Ok(rate) if (0.1..=500.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number per second, from 0.1 to 500".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: time spans are read as people write them, and nothing else is. Method: a table.
    #[test]
    fn reads_time_spans() {
        for (text, millis) in [("30s", 30_000), ("250ms", 250), ("1.5m", 90_000), ("2h", 7_200_000), ("7", 7000), ("0", 0)] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
        }
        for bad in ["", "s", "-1s", "1d", "1 s", "1.2.3s", "999999999h", "inf", "NaN", "1e3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    /// Goal: a position is a cursor, a seq or a word. Method: a table.
    #[test]
    fn reads_positions() {
        for (text, after_text) in [("beginning", "0"), ("0", "0"), ("1042", "1042"), ("9f3a01c7-1042", "9f3a01c7-1042")] {
            assert_eq!(after(text).unwrap().to_string(), after_text);
        }
        for bad in ["", "end", "-1", "9F3A01C7-1", "1.5"] {
            assert!(after(bad).is_err(), "{bad}");
        }
    }

    /// Goal: a rate is a number between its bounds. Method: both ends, and what lies beyond.
    #[test]
    fn reads_rates() {
        for (text, value) in [("0.1", 0.1), ("3", 3.0), ("500", 500.0), ("1e2", 100.0)] {
            assert_eq!(rate(text), Ok(value), "{text}");
        }
        for bad in ["", "0", "0.09", "500.1", "-3", "NaN", "inf", "fast", "3/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
