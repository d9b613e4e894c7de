//! The line that shows how a run goes; on stderr, and only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::Snapshot;

/// Redraws a second: the figures are new once a second, the time more often.
const REDRAWS_HZ: u8 = 5;

/// The live line; nothing when stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Live {
    bar: ProgressBar,
    planned: Duration,
    label: String,
}

impl Live {
    /// `planned`: how long the load lasts.
    pub(crate) fn new(label: impl Into<String>, planned: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS_HZ));
        let style = ProgressStyle::with_template("{spinner:.cyan} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style);
        Self { bar, planned, label: label.into() }
    }

    pub(crate) fn say(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
        self.bar.tick();
    }

    pub(crate) fn show(&self, snapshot: &Snapshot) {
        self.bar.set_message(line(&self.label, self.planned, snapshot));
        self.bar.tick();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(label: &str, planned: Duration, snapshot: &Snapshot) -> String {
    let Snapshot { elapsed, latest, missing, faults, sessions } = snapshot;
    let at = elapsed.as_secs().min(planned.as_secs());
    let (deliveries, acknowledged) = (latest.deliveries, latest.acknowledged);
    let (p50, p99) = (millis(latest.delivery_p50_us), millis(latest.delivery_p99_us));
    format!(
        "{label}{at}/{} s · {acknowledged} writes/s · {deliveries} deliveries/s · p50 {p50} p99 {p99} ms · {sessions} sessions · missing {missing} · faults {faults}",
        planned.as_secs()
    )
}

#[expect(clippy::cast_precision_loss, reason = "latencies are below an hour")]
fn millis(us: u64) -> String {
    format!("{:.1}", us as f64 / 1000.0)
}
