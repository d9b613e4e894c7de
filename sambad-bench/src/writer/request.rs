//! An operation as a request of the target's dialect.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::load::dialect::Dialect;
use crate::load::plan::Shared;
use crate::load::workload::{COUNTRY_CODE, Op, OpId, UserPhone};

/// Where it goes.
pub(crate) type Path = &'static str;

pub(crate) const LOGIN: Path = "/api/users/login";
pub(super) const CONTACTS: Path = "/api/contacts";
const MESSAGES: Path = "/api/messages";

pub(crate) fn login(phone: UserPhone) -> Bytes {
    format!(r#"{{"mobileNumber":"{}","countryCode":"{COUNTRY_CODE}"}}"#, phone.national()).into()
}

/// Operation `k`, ready to be sent.
pub(super) fn of(shared: &Shared, k: OpId) -> (Path, Bytes) {
    let op = shared.workload.op(k);
    match (shared.plan.dialect, op) {
        (Dialect::Floor, _) => ("/", event(shared, k, op).into()),
        (_, Op::Login { user }) => (LOGIN, login(shared.workload.phone(user))),
        (_, Op::Contact { actor, other }) => {
            let (actor, other) = (id(shared, actor), id(shared, other));
            (CONTACTS, format!(r#"{{"userId":"{actor}","contactUserId":"{other}"}}"#).into())
        }
        (_, Op::Message { actor, other }) => {
            let (actor, other, content) = (id(shared, actor), id(shared, other), shared.workload.content(k));
            (MESSAGES, format!(r#"{{"fromUserId":"{actor}","toUserId":"{other}","content":"{content}","type":"text"}}"#).into())
        }
    }
}

/// The event that a Sambad server would send for it, field for field and so byte for byte as long: what the floor sends.
fn event(shared: &Shared, k: OpId, op: Op) -> String {
    const ID: &str = "019a5f3e-0000-7000-8000-000000000000";
    const AT: &str = "2025-01-15T12:00:00.000000Z";
    let phone = |user| shared.workload.phone(user);
    let mut text = String::with_capacity(512);
    let written = match op {
        Op::Login { user } => write!(
            text,
            r#"{{"type":"user_created","data":{{"id":"{ID}","username":"{}","email":"{}@sambad.local","created_at":"{AT}"}}"#,
            phone(user),
            phone(user).national()
        ),
        Op::Contact { actor, other } => write!(
            text,
            r#"{{"type":"contact_added","data":{{"id":"{ID}","user_id":"{ID}","user_username":"{}","contact_user_id":"{ID}","contact_user_username":"{}","created_at":"{AT}"}}"#,
            phone(actor),
            phone(other)
        ),
        Op::Message { actor, other } => write!(
            text,
            r#"{{"type":"message_sent","data":{{"id":"{ID}","from_user_id":"{ID}","from_username":"{}","to_user_id":"{ID}","to_username":"{}","content":"{}","type":"text","created_at":"{AT}"}}"#,
            phone(actor),
            phone(other),
            shared.workload.content(k)
        ),
    };
    // Writing into a String cannot fail.
    let _ = written.and_then(|()| write!(text, r#","timestamp":"{AT}","seq":{}}}"#, k + 1));
    text
}

fn id(shared: &Shared, user: u64) -> &str {
    usize::try_from(user).ok().and_then(|user| shared.users.ids.get(user)).map_or("", String::as_str)
}
