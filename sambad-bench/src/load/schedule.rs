//! When each operation is to start: planned before the run, whatever the server does.
//!
//! Source: G. Tene, wrk2, "coordinated omission": latency counts from the planned start, or a stall hides the very
//! requests it delayed.

use fastrand::Rng;

const NANOS_PER_SECOND: f64 = 1e9;

/// Intended starts of one writer's operations, in nanoseconds since the load began, in order, without end.
///
/// Operation `k` of the whole run belongs to writer `k % writers`.
#[derive(Debug, Clone)]
pub(crate) enum Schedule {
    /// Equal gaps: operation `k` starts at `k / rate`.
    Constant {
        /// Operations a second, all writers together.
        rate: f64,
        /// The next operation of this writer.
        next: u64,
        writers: u64,
    },
    /// Exponential gaps. Every writer draws the whole plan and takes its part, so that the plan depends on the seed alone.
    Poisson {
        /// Operations a second, all writers together.
        rate: f64,
        at_s: f64,
        random: Rng,
        /// Operations of other writers before the next of this one.
        skip: u64,
        writers: u64,
    },
}

impl Schedule {
    pub(crate) fn constant(rate: f64, writer: u64, writers: u64) -> Self {
        Self::Constant { rate, next: writer, writers }
    }

    pub(crate) fn poisson(rate: f64, writer: u64, writers: u64, seed: u64) -> Self {
        Self::Poisson { rate, at_s: 0.0, random: Rng::with_seed(seed), skip: writer, writers }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and exact to the nanosecond for a hundred days"
    )]
    fn next(&mut self) -> Option<u64> {
        Some(match self {
            Self::Constant { rate, next, writers } => {
                let at_s = *next as f64 / *rate;
                *next += *writers;
                (at_s * NANOS_PER_SECOND).round() as u64
            }
            Self::Poisson { rate, at_s, random, skip, writers } => {
                for _ in 0..=*skip {
                    // 1 - f64 is in (0, 1]: the logarithm is finite.
                    *at_s += -(1.0 - random.f64()).ln() / *rate;
                }
                *skip = *writers - 1;
                (*at_s * NANOS_PER_SECOND).round() as u64
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: planned instants are exact and do not drift. Method: known values, also far out.
    #[test]
    fn constant_starts_are_exact() {
        let mut schedule = Schedule::constant(500.0, 0, 1);
        assert_eq!(schedule.by_ref().take(4).collect::<Vec<_>>(), [0, 2_000_000, 4_000_000, 6_000_000]);
        // 500/s for a day: operation 43,200,000 starts at exactly 86,400 s.
        assert_eq!(schedule.nth(43_200_000 - 4), Some(86_400_000_000_000));
        // A rate that divides no nanosecond: every gap is right to the nanosecond, none adds up.
        let thirds: Vec<u64> = Schedule::constant(3.0, 0, 1).take(7).collect();
        assert_eq!(thirds, [0, 333_333_333, 666_666_667, 1_000_000_000, 1_333_333_333, 1_666_666_667, 2_000_000_000]);
    }

    /// Goal: several writers together keep the one plan. Method: three writers' starts, merged, against one writer's.
    #[test]
    fn writers_share_one_plan() {
        let mut merged: Vec<u64> = (0..3).flat_map(|w| Schedule::constant(70.0, w, 3).take(50)).collect();
        merged.sort_unstable();
        assert_eq!(merged, Schedule::constant(70.0, 0, 1).take(150).collect::<Vec<_>>());
    }

    /// Goal: random arrivals have the rate asked for, exponential gaps, and repeat with the seed.
    /// Method: mean and coefficient of variation (1 for an exponential) of 40,000 gaps of two writers.
    #[test]
    fn poisson_arrivals_are_poisson() {
        let mut starts: Vec<u64> = (0..2).flat_map(|w| Schedule::poisson(1000.0, w, 2, 7).take(20_000)).collect();
        starts.sort_unstable();
        assert_eq!(starts, Schedule::poisson(1000.0, 0, 1, 7).take(40_000).collect::<Vec<_>>(), "writers share one plan");
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 1000.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{}", variance.sqrt() / mean);
        let again: Vec<u64> = Schedule::poisson(1000.0, 1, 2, 7).take(100).collect();
        assert_eq!(again, Schedule::poisson(1000.0, 1, 2, 7).take(100).collect::<Vec<_>>());
        assert_ne!(again, Schedule::poisson(1000.0, 1, 2, 8).take(100).collect::<Vec<_>>());
    }
}
