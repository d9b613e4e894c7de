//! Objectives: what a run must keep to, such as `p99<20ms,response.p99<5ms,lost=0`.

use std::fmt;
use std::str::FromStr;

use crate::report::{LatencyKind, Objective, Report, fmt::duration as shown_duration};
use crate::values;

/// Objectives of one command line, at most.
const OBJECTIVES_MAX: usize = 32;
const EXAMPLE: &str = "expected objectives such as p99<20ms, response.max<1s, lost=0 or deliveries_per_s>=100000";

/// Objectives that must all be met.
#[derive(Debug, Clone)]
pub(crate) struct Slo {
    terms: Vec<Term>,
}

/// One of them.
#[derive(Debug, Clone)]
struct Term {
    /// As typed.
    text: String,
    figure: Figure,
    relation: Relation,
    bound: f64,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Figure {
    /// Of that kind; `None` is the headline. In microseconds.
    Latency(Option<LatencyKind>, Statistic),
    Count(fn(&Report) -> u64),
    Rate(fn(&Report) -> f64),
}

#[derive(Debug, Clone, Copy)]
enum Statistic {
    Percentile(f64),
    Mean,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// A figure by its name.
type Named<T> = (&'static str, fn(&Report) -> T);

const STATISTICS: [(&str, Statistic); 7] = [
    ("p50", Statistic::Percentile(50.0)),
    ("p90", Statistic::Percentile(90.0)),
    ("p99", Statistic::Percentile(99.0)),
    ("p999", Statistic::Percentile(99.9)),
    ("p9999", Statistic::Percentile(99.99)),
    ("mean", Statistic::Mean),
    ("max", Statistic::Max),
];
const COUNTS: [Named<u64>; 7] = [
    ("lost", |report| report.audit.lost),
    ("duplicate", |report| report.audit.duplicate),
    ("reordered", |report| report.audit.reordered),
    ("unexplained", |report| report.audit.unexplained),
    ("refused", |report| report.counts.refused),
    ("unanswered", |report| report.counts.unanswered),
    ("late", |report| report.generator.late_sends),
];
const RATES: [Named<f64>; 2] = [
    ("deliveries_per_s", |report| report.counts.deliveries_per_s()),
    ("publishes_per_s", |report| report.counts.publishes_per_s()),
];
/// Longer signs first: `<` also begins `<=`.
const RELATIONS: [(&str, Relation); 5] =
    [("<=", Relation::AtMost), (">=", Relation::AtLeast), ("<", Relation::Below), (">", Relation::Above), ("=", Relation::Equal)];

impl Slo {
    /// Holds each objective against what was measured; one without samples is missed.
    pub(crate) fn judge(&self, report: &Report) -> Vec<Objective> {
        self.terms.iter().map(|term| term.judge(report)).collect()
    }
}

impl Term {
    fn judge(&self, report: &Report) -> Objective {
        let measured = self.figure.measure(report);
        let met = measured.is_some_and(|value| self.relation.holds(value, self.bound));
        let measured = match (measured, self.figure) {
            (None, _) => "no samples".to_owned(),
            (Some(us), Figure::Latency(..)) => shown_duration(whole(us)),
            (Some(value), Figure::Count(..) | Figure::Rate(..)) => whole(value).to_string(),
        };
        Objective { text: self.text.clone(), measured, met }
    }
}

impl Figure {
    fn measure(self, report: &Report) -> Option<f64> {
        match self {
            Self::Count(count) => Some(to_f64(count(report))),
            Self::Rate(rate) => Some(rate(report)),
            Self::Latency(kind, statistic) => {
                // Without dashboards, the answer is what a user waits for.
                let kind = kind.or_else(|| {
                    [LatencyKind::Delivery, LatencyKind::AppDelivery, LatencyKind::Response]
                        .into_iter()
                        .find(|kind| report.latency(*kind).is_some())
                })?;
                let histogram = report.latency(kind)?.histogram().ok().filter(|histogram| !histogram.is_empty())?;
                Some(match statistic {
                    Statistic::Percentile(percentile) => to_f64(histogram.value_at_percentile(percentile)),
                    Statistic::Mean => histogram.mean(),
                    Statistic::Max => to_f64(histogram.max()),
                })
            }
        }
    }

    fn find(name: &str) -> Option<Self> {
        let statistic = |name: &str| STATISTICS.into_iter().find(|(known, _)| *known == name).map(|(_, statistic)| statistic);
        if let Some((kind, name)) = name.split_once('.') {
            let kind = LatencyKind::ALL.into_iter().find(|known| known.name() == kind)?;
            return Some(Self::Latency(Some(kind), statistic(name)?));
        }
        let count = COUNTS.into_iter().find(|(known, _)| *known == name).map(|(_, count)| Self::Count(count));
        let rate = || RATES.into_iter().find(|(known, _)| *known == name).map(|(_, rate)| Self::Rate(rate));
        statistic(name).map(|statistic| Self::Latency(None, statistic)).or(count).or_else(rate)
    }
}

impl Relation {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Equal => (value - bound).abs() < f64::EPSILON,
            Self::AtLeast => value >= bound,
            Self::Above => value > bound,
        }
    }
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let terms: Vec<Term> = text.split(',').map(|term| term.trim().parse()).collect::<Result<_, _>>()?;
        if terms.len() > OBJECTIVES_MAX { Err(format!("more than {OBJECTIVES_MAX} objectives")) } else { Ok(Self { terms }) }
    }
}

impl FromStr for Term {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("{what}: {EXAMPLE}");
        let at = text.find(['<', '>', '=']).ok_or_else(|| wrong(format!("{text:?} has no comparison")))?;
        let (name, rest) = text.split_at(at);
        let (sign, relation) =
            RELATIONS.into_iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(|| wrong(text.to_owned()))?;
        let bound = rest[sign.len()..].trim();
        let figure = Figure::find(name.trim()).ok_or_else(|| wrong(format!("there is no measured figure {:?}", name.trim())))?;
        let bound = match figure {
            Figure::Latency(..) => {
                let duration = values::duration(bound).map_err(|error| wrong(format!("in {text:?}, {error}")))?;
                duration.as_secs_f64() * 1e6
            }
            Figure::Count(..) | Figure::Rate(..) => {
                let plain = !bound.is_empty() && bound.bytes().all(|byte| byte.is_ascii_digit());
                let number = bound.parse::<u32>().ok().filter(|_| plain);
                f64::from(
                    number.ok_or_else(|| wrong(format!("in {text:?}, {bound:?} is not a whole number up to {}", u32::MAX)))?,
                )
            }
        };
        Ok(Self { text: text.to_owned(), figure, relation, bound })
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<&str> = self.terms.iter().map(|term| &*term.text).collect();
        f.write_str(&terms.join(","))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds stay far below 2^52")]
fn to_f64(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^52")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Goal: objectives are read as typed, or said what is wrong with. Method: good and bad texts.
    #[test]
    fn reads_objectives() {
        for text in ["p99<20ms", "p99<20ms,p999<80ms,lost=0", "response.p50<=1.5ms, connect.max>1us", "deliveries_per_s>=100000"]
        {
            assert_eq!(text.parse::<Slo>().unwrap().to_string().replace(' ', ""), text.replace(' ', ""));
        }
        for (text, word) in [
            ("", "has no comparison"),
            ("p99", "has no comparison"),
            ("p99<", "is not a time"),
            ("p99<20", "is not a time"),
            ("p99<-1ms", "is not a time"),
            ("p99<nanms", "is not a time"),
            ("p99<20ms,,", "has no comparison"),
            ("lost<0ms", "is not a whole number"),
            ("lost=-1", "is not a whole number"),
            ("lost=99999999999", "is not a whole number"),
            ("p98<1ms", "\"p98\""),
            ("frob.p99<1ms", "\"frob.p99\""),
            ("<5ms", "\"\""),
        ] {
            let error = text.parse::<Slo>().unwrap_err();
            assert!(error.contains(word) && error.contains("expected"), "{text}: {error}");
        }
        assert!(vec!["lost=0"; 33].join(",").parse::<Slo>().is_err());
    }

    /// Goal: met and missed are told apart at the bound. Method: a report with known figures.
    #[test]
    fn judges_by_the_figures() {
        let mut report = sample::empty();
        report.latencies = vec![sample::latency(LatencyKind::Response, (1..=100).map(|ms| ms * 1000))];
        report.audit.lost = 2;
        for (text, met) in [
            ("p50<51ms", true),
            ("p50<50ms", false),
            ("response.max<=101ms", true),
            ("max>90ms", true),
            ("lost=2", true),
            ("lost<2", false),
            ("lost>=2", true),
            ("delivery.p99<1h", false),
            ("publishes_per_s>=1", false),
        ] {
            let objectives = text.parse::<Slo>().unwrap().judge(&report);
            assert_eq!(objectives[0].met, met, "{text}: {objectives:?}");
        }
        let none = "delivery.p99<1s".parse::<Slo>().unwrap().judge(&report);
        assert_eq!(none[0].measured, "no samples");
    }
}
