//! Checks the promise of the event log on the receiving side.

use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;

use sambad_core::Seq;

/// Holes remembered, so that a late event is told from a repeated one; the oldest hole is forgotten first.
const HOLES_MAX: usize = 1024;

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    /// Events are missing (so far).
    Gap {
        /// The seq before the missing ones.
        last: Seq,
        /// The seq that came instead of the next.
        got: Seq,
    },
    /// An event came again.
    Repeat {
        /// Its seq.
        seq: Seq,
        /// The highest seq so far.
        last: Seq,
    },
    /// An event came after a later one.
    Reorder {
        /// Its seq.
        seq: Seq,
        /// The highest seq so far.
        last: Seq,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { last, got } => {
                let missing = got.0 - last.0 - 1;
                write!(f, "gap: {missing} missing between seq {last} and seq {got}")
            }
            Self::Repeat { seq, last } => write!(f, "repeat: seq {seq} arrived again, after seq {last}"),
            Self::Reorder { seq, last } => write!(f, "reorder: seq {seq} arrived after seq {last}"),
        }
    }
}

/// Judges a sequence of seqs: unfiltered, each is the last + 1; filtered, each is higher than the last.
///
/// Pure and cheap: the state is one number, unless something was missing.
///
/// # Examples
/// ```
/// use sambad_client::{Anomaly, Seq, Verifier};
///
/// let mut verifier = Verifier::unfiltered(Seq(41));
/// assert_eq!(verifier.check(Seq(42)), Ok(()));
/// assert_eq!(verifier.check(Seq(44)), Err(Anomaly::Gap { last: Seq(42), got: Seq(44) }));
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    dense: bool,
    last: Seq,
    holes: VecDeque<RangeInclusive<u64>>,
    missing: u64,
}

impl Verifier {
    /// For a stream of all events after `start`.
    #[must_use]
    pub fn unfiltered(start: Seq) -> Self {
        Self { dense: true, last: start, holes: VecDeque::new(), missing: 0 }
    }

    /// For a stream of some events after `start`: what is missing cannot be told from what was not asked for.
    #[must_use]
    pub fn filtered(start: Seq) -> Self {
        Self { dense: false, ..Self::unfiltered(start) }
    }

    /// The highest seq so far.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// How many events are missing so far; those of holes that were forgotten count as well.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The seqs that are missing so far, of the latest 1,024 holes, in no particular order.
    pub fn holes(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.holes.iter().cloned()
    }

    /// Judges the next seq and goes on from the highest so far.
    ///
    /// # Errors
    /// What is wrong with it. Events of a gap that come later are reported again, as `Reorder`.
    pub fn check(&mut self, seq: Seq) -> Result<(), Anomaly> {
        let last = self.last;
        if seq <= last {
            let late = seq < last && (!self.dense || self.fill_hole(seq.0));
            return Err(if late { Anomaly::Reorder { seq, last } } else { Anomaly::Repeat { seq, last } });
        }
        self.last = seq;
        if self.dense && seq != last.next() {
            if self.holes.len() == HOLES_MAX {
                self.holes.pop_front();
            }
            self.missing += seq.0 - last.0 - 1;
            self.holes.push_back(last.0 + 1..=seq.0 - 1);
            return Err(Anomaly::Gap { last, got: seq });
        }
        Ok(())
    }

    /// Takes `seq` out of the hole it belongs to; false when it was not missing.
    fn fill_hole(&mut self, seq: u64) -> bool {
        let Some(index) = self.holes.iter().position(|hole| hole.contains(&seq)) else { return false };
        let Some(hole) = self.holes.remove(index) else { return false };
        self.missing -= 1;
        let rest = [*hole.start()..=seq - 1, seq + 1..=*hole.end()];
        self.holes.extend(rest.into_iter().filter(|part| !part.is_empty()));
        self.holes.truncate(HOLES_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(mut verifier: Verifier, seqs: &[u64]) -> String {
        let verdict = |seq: &u64| match verifier.check(Seq(*seq)) {
            Ok(()) => '.',
            Err(Anomaly::Gap { .. }) => 'g',
            Err(Anomaly::Repeat { .. }) => 'p',
            Err(Anomaly::Reorder { .. }) => 'o',
        };
        seqs.iter().map(verdict).collect()
    }

    /// Goal: each anomaly is named for what it is. Method: sequences with their verdicts, starting after 10.
    #[test]
    fn unfiltered_streams_are_dense() {
        for (seqs, expected) in [
            (&[11, 12, 13][..], "..."),
            (&[12, 13], "g."),
            (&[11, 11], ".p"),
            (&[10], "p"),
            (&[3], "p"),
            (&[11, 15, 13, 12, 14, 14, 16], ".gooop."),
            (&[12, 11, 11, 13], "gop."),
        ] {
            assert_eq!(verdicts(Verifier::unfiltered(Seq(10)), seqs), expected, "{seqs:?}");
        }
    }

    /// Goal: a filter may leave holes, but not the order. Method: as above.
    #[test]
    fn filtered_streams_rise() {
        for (seqs, expected) in [(&[11, 20, 90][..], "..."), (&[20, 20], ".p"), (&[20, 15, 21], ".o."), (&[10], "p")] {
            assert_eq!(verdicts(Verifier::filtered(Seq(10)), seqs), expected, "{seqs:?}");
        }
    }

    /// Goal: memory stays bounded, whatever arrives. Method: more holes than are remembered.
    #[test]
    fn remembers_a_bounded_number_of_holes() {
        let mut verifier = Verifier::unfiltered(Seq(0));
        for seq in (2..20_000).step_by(2) {
            assert!(verifier.check(Seq(seq)).is_err());
        }
        assert_eq!(verifier.holes.len(), HOLES_MAX);
        assert_eq!(verifier.missing(), 9_999);
        assert_eq!(verifier.check(Seq(19_997)), Err(Anomaly::Reorder { seq: Seq(19_997), last: Seq(19_998) }));
        assert_eq!(verifier.missing(), 9_998);
    }
}
