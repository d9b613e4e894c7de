//! The search for the highest load that meets an objective; knows nothing of servers.
//!
//! First the load is doubled until it is missed, then the space between is halved. A level is measured several times and
//! the majority decides: a single stall of a shared machine must not set the maximum. Levels at which the generator was
//! the limit decide nothing: then the search names no maximum, only what was reached.

use serde::Serialize;

/// Where to search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// First level; at least 1.
    pub(crate) start: u64,
    /// Last level.
    pub(crate) max: u64,
    /// Ends when the space between met and missed is at most this part of the met level.
    pub(crate) precision: f64,
    /// Measurements a level.
    pub(crate) repeats: u32,
}

/// What one measurement says about its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The generator was the limit: nothing is known about the server.
    GeneratorLimited,
}

/// How the search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// The highest level that meets the objective, and the lowest that was seen to miss it.
    Highest { met: u64, missed: u64 },
    /// Even the first level misses it.
    NotEven { start: u64 },
    /// The last level meets it.
    AtMax { met: u64 },
    /// The generator was the limit before the server was.
    GeneratorLimited { met: Option<u64>, limited: u64 },
}

/// Searches; `measure` is called with the level and the number of the repeat.
///
/// # Errors
/// Those of `measure`.
pub(crate) fn highest(range: Range, mut measure: impl FnMut(u64, u32) -> anyhow::Result<Verdict>) -> anyhow::Result<Found> {
    let mut level = |level: u64| majority(range.repeats, |repeat| measure(level, repeat));
    let mut met = None;
    let mut next = range.start.clamp(1, range.max);
    let mut missed = loop {
        match level(next)? {
            Verdict::Met if next == range.max => return Ok(Found::AtMax { met: next }),
            Verdict::Met => met = Some(next),
            Verdict::Missed => break next,
            Verdict::GeneratorLimited => return Ok(Found::GeneratorLimited { met, limited: next }),
        }
        next = next.saturating_mul(2).min(range.max);
    };
    let Some(mut met) = met else { return Ok(Found::NotEven { start: missed }) };
    while missed - met > 1 && to_f64(missed - met) > to_f64(met) * range.precision {
        let middle = met + (missed - met) / 2;
        match level(middle)? {
            Verdict::Met => met = middle,
            Verdict::Missed => missed = middle,
            Verdict::GeneratorLimited => return Ok(Found::GeneratorLimited { met: Some(met), limited: middle }),
        }
    }
    Ok(Found::Highest { met, missed })
}

/// What most of `repeats` measurements say, as soon as that is settled; a tie is a miss.
fn majority(repeats: u32, mut measure: impl FnMut(u32) -> anyhow::Result<Verdict>) -> anyhow::Result<Verdict> {
    let (mut met, mut missed, mut limited) = (0, 0, 0);
    for repeat in 1..=repeats {
        match measure(repeat)? {
            Verdict::Met => met += 1,
            Verdict::Missed => missed += 1,
            Verdict::GeneratorLimited => limited += 1,
        }
        let enough = repeats / 2 + 1;
        if met >= enough || missed >= enough || limited >= enough {
            break;
        }
    }
    Ok(if met > missed + limited {
        Verdict::Met
    } else if limited > 0 && limited >= missed {
        Verdict::GeneratorLimited
    } else {
        Verdict::Missed
    })
}

#[expect(clippy::cast_precision_loss, reason = "levels stay far below 2^52")]
fn to_f64(level: u64) -> f64 {
    level as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { start: 100, max: 1_000_000, precision: 0.05, repeats: 3 };

    /// Goal: the maximum is found, within the precision, in few measurements. Method: servers with a known limit.
    #[test]
    fn finds_a_known_limit() {
        for limit in [100, 101, 150, 777, 12_345, 999_999] {
            let mut measured = 0;
            let found = highest(RANGE, |level, _| {
                measured += 1;
                Ok(if level <= limit { Verdict::Met } else { Verdict::Missed })
            });
            let Found::Highest { met, missed } = found.unwrap() else { panic!("nothing found at {limit}") };
            assert!(met <= limit && limit < missed, "{met} {limit} {missed}");
            assert!(to_f64(missed - met) <= to_f64(met) * 0.05 + 1.0, "{met} {missed}");
            assert!(measured <= 50, "{measured} measurements");
        }
    }

    /// Goal: the ends are told. Method: a server below the first level, and one above the last.
    #[test]
    fn tells_the_ends() {
        assert_eq!(highest(RANGE, |_, _| Ok(Verdict::Missed)).unwrap(), Found::NotEven { start: 100 });
        assert_eq!(highest(RANGE, |_, _| Ok(Verdict::Met)).unwrap(), Found::AtMax { met: 1_000_000 });
    }

    /// Goal: one bad measurement in three changes nothing. Method: every first repeat of a level misses.
    #[test]
    fn the_majority_decides() {
        let found = highest(RANGE, |level, repeat| Ok(if level > 5000 || repeat == 1 { Verdict::Missed } else { Verdict::Met }));
        assert!(matches!(found.unwrap(), Found::Highest { met, .. } if met > 4700 && met <= 5000));
    }

    /// Goal: a limit of the generator is never named as the server's. Method: a generator that ends before, while doubling
    /// and while halving.
    #[test]
    fn names_no_limit_of_its_own() {
        let limited = |generator: u64, server: u64| {
            highest(RANGE, move |level, _| {
                Ok(match level {
                    level if level > server => Verdict::Missed,
                    level if level > generator => Verdict::GeneratorLimited,
                    _ => Verdict::Met,
                })
            })
        };
        assert_eq!(limited(3000, 1_000_000).unwrap(), Found::GeneratorLimited { met: Some(1600), limited: 3200 });
        assert_eq!(limited(50, 1_000_000).unwrap(), Found::GeneratorLimited { met: None, limited: 100 });
        assert_eq!(limited(1700, 3000).unwrap(), Found::GeneratorLimited { met: Some(1600), limited: 2400 });
    }
}
