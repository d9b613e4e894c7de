//! What the values look like in JSON, for documents about the wire.
//!
//! Structs say it of themselves by a derive; here are those that are more than their fields.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::event::{ContactData, UserData};
use crate::model::Message;
use crate::{ContactId, Cursor, Day, EventKind, MessageId, Phone, Seq, Timestamp, UserId};

/// An integer that JSON readers with floating numbers only can hold.
const INTEGER_MAX: i64 = 1 << 53;

macro_rules! text {
    ($($type:ty, $told:literal, $format:literal, $pattern:literal, $example:literal;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($told));
                let text = if $format.is_empty() { text } else { text.format(Some(SchemaFormat::Custom($format.into()))) };
                text.pattern(Some($pattern)).examples([$example]).into()
            }
        }

        impl ToSchema for $type {}
    )*};
}

text! {
    UserId, "The id of a user: a UUID v7 in lower case.", "uuid", r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "0197f0c0-5e9a-7c1e-8b5d-3f1d2c4b5a69";
    ContactId, "The id of a contact: a UUID v7 in lower case.", "uuid", r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "0197f0c0-5e9a-7c1e-8b5d-3f1d2c4b5a6a";
    MessageId, "The id of a message: a UUID v7 in lower case.", "uuid", r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "0197f0c0-5e9a-7c1e-8b5d-3f1d2c4b5a6b";
    Phone, "A phone number in E.164 form: `+` and 6 to 15 digits.", "", r"^\+[1-9][0-9]{5,14}$", "+919876543210";
    Timestamp, "A time in UTC (RFC 3339), with microseconds.", "date-time",
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$", "2025-01-15T10:30:00.123456Z";
    Day, "A day in UTC.", "date", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2025-01-15";
    Cursor, "A position in the event log: the epoch of the log, and the last seq that the client has processed.", "", r"^[0-9a-f]{8}-(0|[1-9][0-9]*)$",
        "9f3a01c7-1042";
}

impl PartialSchema for Seq {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).description(Some("A position in the event log: 1, 2, 3, …"));
        number.minimum(Some(0)).maximum(Some(INTEGER_MAX)).examples([1042]).into()
    }
}

impl ToSchema for Seq {}

/// Name and schema of `data` in events of `kind`.
#[must_use]
pub fn event_data(kind: EventKind) -> (&'static str, RefOr<Schema>) {
    match kind {
        EventKind::UserCreated => ("UserData", UserData::schema()),
        EventKind::ContactAdded | EventKind::ContactRemoved => ("ContactData", ContactData::schema()),
        EventKind::MessageSent => ("Message", Message::schema()),
    }
}

/// The values that other schemas refer to, by name.
#[must_use]
pub fn values() -> Vec<(String, RefOr<Schema>)> {
    fn named<T: ToSchema>() -> (String, RefOr<Schema>) {
        (T::name().into_owned(), T::schema())
    }
    vec![
        named::<UserId>(),
        named::<ContactId>(),
        named::<MessageId>(),
        named::<Phone>(),
        named::<Timestamp>(),
        named::<Day>(),
        named::<Cursor>(),
        named::<Seq>(),
        named::<EventKind>(),
    ]
}
