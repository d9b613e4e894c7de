//! Distributions: from a histogram to what is kept, and back.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

use super::latency_kind::LatencyKind;
use super::model::{Latency, Summary};

/// Bytes before the counts: cookie, length, normalisation, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;
/// First word of the V2 encoding; the compressed one has another.
const V2_COOKIE: u32 = 0x1c84_9313;
/// Significant digits that a kept histogram may have: with more, a small file could ask for a great deal of memory.
const DIGITS_MAX: u32 = 3;

impl Latency {
    /// Keeps a histogram of microseconds.
    #[must_use]
    pub(crate) fn from_histogram(kind: LatencyKind, histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(histogram, &mut bytes).expect("counts stay below 2^63 and a Vec takes every write");
        Self { kind, summary: Summary::of(histogram), histogram_v2_base64: STANDARD.encode(bytes) }
    }

    /// Gives the histogram back.
    ///
    /// # Errors
    /// What was kept is no histogram in V2 encoding, or has more than 3 significant digits.
    pub(crate) fn histogram(&self) -> anyhow::Result<Histogram<u64>> {
        let read = || {
            let bytes = STANDARD.decode(&self.histogram_v2_base64).context("not base64")?;
            let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
            // The decoder reserves what the header asks for before it reads: what was read from a file is checked first.
            ensure!(word(0) == Some(V2_COOKIE), "not in V2 encoding");
            ensure!(word(4).map(|length| length as usize + HEADER_BYTES) == Some(bytes.len()), "truncated");
            ensure!(word(12).is_some_and(|digits| digits <= DIGITS_MAX), "more than {DIGITS_MAX} significant digits");
            Ok(Deserializer::new().deserialize(&mut bytes.as_slice())?)
        };
        read().with_context(|| format!("failed to read the histogram {}", self.kind.name()))
    }
}

impl Summary {
    /// The usual figures of a histogram; all 0 when it is empty.
    #[must_use]
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            min_us: histogram.min(),
            // To the nanosecond: more digits would be noise, and might not survive JSON.
            mean_us: (histogram.mean() * 1e3).round() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        for value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    /// Goal: nothing is lost on the way to a file and back. Method: empty, single, extreme and many values, compared as histograms.
    #[test]
    fn histograms_survive() {
        for values in [vec![], vec![0], vec![1_000_000_000], vec![0, 1, u64::from(u32::MAX)], (1..=100_000).collect()] {
            let before = histogram(values);
            let kept = Latency::from_histogram(LatencyKind::Delivery, &before);
            let after = kept.histogram().unwrap();
            assert_eq!(after, before);
            assert_eq!(Summary::of(&after), kept.summary);
        }
    }

    /// Goal: the figures are the usual ones. Method: 1 to 1,000 µs, where each value has a bucket of its own; and none.
    #[test]
    fn summaries_are_right() {
        let summary = Summary::of(&histogram(1..=1000));
        let expected =
            Summary { count: 1000, min_us: 1, mean_us: 500.5, p50_us: 500, p90_us: 900, p99_us: 990, p999_us: 999, max_us: 1000 };
        assert_eq!(summary, expected);
        assert_eq!(Summary::of(&histogram([])), Summary::default());
    }

    /// Goal: a damaged file is an error and takes no memory. Method: text, a cut, a length and digits beyond bounds.
    #[test]
    fn damaged_histograms_are_refused() {
        let kept = Latency::from_histogram(LatencyKind::Response, &histogram([5, 6]));
        let bytes = STANDARD.decode(&kept.histogram_v2_base64).unwrap();
        let with = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            STANDARD.encode(bytes)
        };
        let cut = STANDARD.encode(&bytes[..bytes.len() - 1]);
        for text in ["?".to_owned(), String::new(), cut, with(0, 0), with(4, 0xff), with(15, 5)] {
            let error = Latency { histogram_v2_base64: text, ..kept.clone() }.histogram().unwrap_err();
            assert!(error.to_string().contains("response"), "{error:#}");
        }
    }
}
