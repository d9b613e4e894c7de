//! One line an event, for people: when, what sort, who did what to whom.

use sambad_client::EventKind;

use super::field::Shown;
use crate::output::{Output, Role};
use crate::text::{Local, excerpt, harmless};

/// The width of the longest type.
const TYPE_WIDTH: usize = 15;

pub(super) fn line(shown: &Shown<'_>, latency: bool, output: &Output) -> String {
    let event = shown.event;
    let kind = event.kind();
    let time = Local::of(event.timestamp).brief();
    let seq = output.paint(Role::Aside, format_args!("#{:<6}", event.seq));
    let event_type = output.paint(role(kind), format_args!("{:TYPE_WIDTH$}", harmless(&event.event_type)));
    let latency = if latency { output.paint(Role::Aside, format_args!("  {} ms", shown.latency_ms())) } else { String::new() };
    format!("{time}  {seq} {event_type}  {}{latency}", story(kind, shown))
}

fn role(kind: Option<EventKind>) -> Role {
    match kind {
        Some(EventKind::UserCreated | EventKind::ContactAdded) => Role::Good,
        Some(EventKind::ContactRemoved) => Role::Warning,
        Some(EventKind::MessageSent) => Role::Speech,
        None => Role::Aside,
    }
}

/// Who did what to whom.
fn story(kind: Option<EventKind>, shown: &Shown<'_>) -> String {
    let who = |key| shown.text(key).map_or_else(|| "?".into(), harmless);
    match kind {
        Some(EventKind::UserCreated) => format!("{} joined", who("username")),
        Some(EventKind::ContactAdded) => format!("{} added {}", who("user_username"), who("contact_user_username")),
        Some(EventKind::ContactRemoved) => format!("{} removed {}", who("user_username"), who("contact_user_username")),
        Some(EventKind::MessageSent) => {
            let content = shown.text("content").map(excerpt).unwrap_or_default();
            format!("{} to {}: {content}", who("from_username"), who("to_username"))
        }
        None => excerpt(shown.event.data.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::sample;
    use super::*;

    /// Goal: each type reads as a sentence, an unknown one shows what it has. Method: one event of each.
    #[test]
    fn tells_who_did_what_to_whom() {
        for (event_type, data, sentence) in [
            ("user_created", r#"{"username":"+1"}"#, "user_created     +1 joined"),
            ("contact_added", r#"{"user_username":"+1","contact_user_username":"+2"}"#, "contact_added    +1 added +2"),
            ("contact_removed", r#"{"user_username":"+1","contact_user_username":"+2"}"#, "contact_removed  +1 removed +2"),
            ("message_sent", r#"{"from_username":"+1","to_username":"+2","content":"hi\n"}"#, r"message_sent     +1 to +2: hi\n"),
            ("contact_added", "{}", "contact_added    ? added ?"),
            ("from_the_future", r#"{"x":1}"#, r#"from_the_future  {"x":1}"#),
        ] {
            let event = sample(event_type, data);
            let line = line(&Shown::now(&event), false, &Output::new(crate::output::Color::Never, false));
            assert!(line.ends_with(&format!("#7      {sentence}")), "{line}");
        }
    }
}
