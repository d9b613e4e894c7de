//! What requests say, where it is text that a handler reads: its form.

use sambad_core::{Cursor, Event, Seq};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

macro_rules! texts {
    ($($(#[doc = $told:literal])+ $name:ident $pattern:literal;)*) => {$(
        $(#[doc = $told])+
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let told = concat!($($told),+).trim();
                ObjectBuilder::new().schema_type(Type::String).description(Some(told)).pattern(Some($pattern)).into()
            }
        }

        impl ToSchema for $name {}
    )*

        /// All of them, by name.
        pub(super) fn texts() -> Vec<(String, RefOr<Schema>)> {
            vec![$(($name::name().into_owned(), $name::schema())),*]
        }
    };
}

texts! {
    /// A UUID.
    Uuid r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
    /// A UUID; one that is there but empty counts as not there.
    UuidOrNothing r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$";
    /// A cursor; one that is there but empty counts as not there.
    CursorOrNothing r"^([0-9a-f]{8}-(0|[1-9][0-9]{0,17}))?$";
    /// Opaque, from the `Link` of the page before.
    ListToken r"^(0|-?[1-9][0-9]{0,17})?$";
    /// Opaque, from the `Link` of the page before with the same `q`.
    PageToken r"^(0|-?[1-9][0-9]{0,17}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\+[1-9][0-9]{5,14})?$";
    /// A user: a UUID, or a phone of a length that its country has.
    UserName r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\+[1-9][0-9]{5,14})$";
    /// A retry with the same key within 24 h gets the first answer again.
    Key r"^[!-~]{1,255}$";
    /// A cursor, or a seq without leading zeros; nothing is the beginning, or now on a stream.
    After r"^(([0-9a-f]{8}-)?(0|[1-9][0-9]{0,17}))?$";
}

/// A phone as people write it, which some programs send as a number.
pub(crate) fn written_phone() -> Schema {
    digits(r"^[ ()-]*\+?[ ()-]*[1-9][ ()-]*([0-9][ ()-]*){5,14}$", 999_999_999_999_999)
}

/// A country code, which some programs send as a number.
pub(crate) fn country_code() -> Schema {
    digits(r"^[ ()-]*\+?[ ()-]*[1-9][ ()-]*([0-9][ ()-]*){0,3}$", 9999)
}

/// A text, which some programs send as a number.
pub(crate) fn any_digits() -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Integer, Type::Null]);
    ObjectBuilder::new().schema_type(types).minimum(Some(0)).into()
}

fn digits(pattern: &str, max: i64) -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Integer, Type::Null]);
    ObjectBuilder::new().schema_type(types).pattern(Some(pattern)).minimum(Some(1)).maximum(Some(max)).into()
}

/// A page of the log, as [`sambad_core::EventPage`] is written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "nothing but its schema is used")]
pub(crate) struct EventPage {
    #[schema(value_type = Vec<AnyEvent>)]
    events: Vec<Event>,
    /// Where to go on; it may have moved although a filter left nothing.
    cursor: Cursor,
    /// The highest committed seq.
    head: Seq,
    /// The lowest seq that is still stored.
    first: Seq,
}

/// An event of any kind; `openapi` says which there are.
pub(crate) struct AnyEvent;

impl PartialSchema for AnyEvent {
    fn schema() -> RefOr<Schema> {
        Ref::from_schema_name("Event").into()
    }
}

impl ToSchema for AnyEvent {
    fn name() -> std::borrow::Cow<'static, str> {
        "Event".into()
    }
}
