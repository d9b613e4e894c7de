//! Bodies made comparable: what differs from run to run is replaced, so that a test shows the contract's literal text.

use uuid::Uuid;

/// Replaces ids by `ID1`, `ID2`, … in order of appearance (the same id gets the same name), times by `TIME` and the
/// epoch of cursors by `EPOCH`.
pub(crate) fn masked(text: &str) -> String {
    let (mut out, mut ids, mut rest) = (String::new(), Vec::new(), text);
    while let Some(next) = rest.chars().next() {
        let id = rest.get(..36).filter(|id| Uuid::try_parse(id).is_ok());
        let time = rest.get(..27).filter(|time| is_time(time));
        let epoch = rest.get(..9).filter(|epoch| is_epoch(epoch) && (out.ends_with(['"', '=']) || out.ends_with("id: ")));
        let used = if let Some(id) = id {
            let place = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                ids.push(id);
                ids.len() - 1
            });
            out.push_str(&format!("ID{}", place + 1));
            id
        } else if let Some(time) = time {
            out.push_str("TIME");
            time
        } else if let Some(epoch) = epoch {
            out.push_str("EPOCH-");
            epoch
        } else {
            out.push(next);
            &rest[..next.len_utf8()]
        };
        rest = &rest[used.len()..];
    }
    out
}

/// Whether `text` is of the form `2025-01-15T12:00:00.000000Z`.
fn is_time(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000000Z";
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(|(b, f)| if f == b'0' { b.is_ascii_digit() } else { b == f })
}

fn is_epoch(text: &str) -> bool {
    let (hex, dash) = text.split_at(8);
    dash == "-" && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Goal: nothing but what varies is masked, and equal ids stay equal. Method: a table.
#[test]
fn masks_what_varies() {
    let (a, b) = ("0197a3f0-0000-7000-8000-000000000001", "0197a3f0-0000-7000-8000-000000000002");
    for (text, expected) in [
        (format!(r#"{{"x":"{a}","y":"{b}","z":"{a}"}}"#), r#"{"x":"ID1","y":"ID2","z":"ID1"}"#),
        (r#"{"t":"2025-01-15T12:00:00.000000Z"}"#.into(), r#"{"t":"TIME"}"#),
        (r#"{"t":"2025-01-15T12:00:00Z"}"#.into(), r#"{"t":"2025-01-15T12:00:00Z"}"#),
        (r#"{"c":"9f3a01c7-1042","d":"9F3a01c7-1042"}"#.into(), r#"{"c":"EPOCH-1042","d":"9F3a01c7-1042"}"#),
        ("id: 9f3a01c7-1042 9f3a01c7-1042".into(), "id: EPOCH-1042 9f3a01c7-1042"),
        ("स".into(), "स"),
    ] {
        assert_eq!(masked(&text), expected);
    }
}
