//! What a run found out, as it is shown, kept and compared: one value, from which every output is made.

mod escape;
mod facts;
pub(crate) mod file;
pub(crate) mod fmt;
pub(crate) mod hgrm;
pub(crate) mod html;
mod latency;
mod latency_kind;
mod model;
#[cfg(test)]
pub(crate) mod sample;
mod svg;
pub(crate) mod table;
pub(crate) mod words;

pub(crate) use latency_kind::LatencyKind;
pub(crate) use model::{
    Audit, ChaosSummary, Counts, FloorComparison, Generator, Interval, Judgement, Latency, Machine, Mode, Objective, Ratio,
    Report, Scenario, ServerUsage, ServiceUsage, Summary, Target, TargetKind, Tool,
};
