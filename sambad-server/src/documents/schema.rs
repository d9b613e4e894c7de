//! Schemas of requests, where a handler reads text: its form.

use sambad_core::{Cursor, Event, Seq};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

macro_rules! texts {
    ($($(#[doc = $about:literal])+ $name:ident $pattern:expr $(, or a number from $min:literal)?;)*) => {$(
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let about = concat!($($about),+).trim();
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some(about)).pattern(Some($pattern));
                $(
                    let types = SchemaType::from_iter([Type::String, Type::Integer]);
                    let text = text.schema_type(types).minimum(Some($min));
                )?
                text.into()
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
    /// A UUID. An empty value counts as absent.
    UuidOrNothing r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$";
    /// A cursor. An empty value counts as absent.
    CursorOrNothing r"^([0-9a-f]{8}-(0|[1-9][0-9]{0,17}))?$";
    /// An opaque token from the header `Link` of the page before.
    ListToken r"^(0|-?[1-9][0-9]{0,17})?$";
    /// An opaque token from the header `Link` of the page before, for the same `q`.
    PageToken r"^(0|-?[1-9][0-9]{0,17}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\+[1-9][0-9]{5,14})?$";
    /// A user: a UUID, or a phone number as people write it.
    UserName USER_PATTERN;
    /// A user: a UUID, or a phone number as people write it, which may be a JSON number.
    WrittenUser USER_PATTERN, or a number from 1;
    /// A user: a UUID, or a phone number as people write it, which may be a JSON number. Blank counts as absent.
    WrittenUserOrNothing format!(r"{USER_PATTERN}|^\s*$"), or a number from 1;
    /// A phone number as people write it, which may be a JSON number. Blank counts as absent.
    WrittenPhone format!(r"{WRITTEN_PHONE_PATTERN}|^\s*$"), or a number from 1;
    /// Text or a JSON number, read only if another field is absent.
    ReadIfAlone r"^", or a number from 0;
    /// A calling code, which may be a JSON number. Blank counts as absent.
    WrittenCallingCode r"^([ ()-]*\+?[ ()-]*[1-9][ ()-]*([0-9][ ()-]*){0,3}|[^A-Za-z]*)$", or a number from 1;
    /// Identifies a request: a retry with the same key within 24 h returns the first response again.
    Key r"^[!-~]{1,255}$";
    /// A cursor, or a seq without leading zeros. Default: the beginning of the log, or from now on for a stream.
    After r"^(([0-9a-f]{8}-)?(0|[1-9][0-9]{0,17}))?$";
}

/// A phone number as people write it. The first half is what most of them write, from which tools make examples; the second allows
/// everything that the server may read: digits of any script, marks, `tel:`. The server checks digits and lengths.
pub(crate) const WRITTEN_PHONE_PATTERN: &str =
    r"^([ ()-]*\+?[ ()-]*[1-9][ ()-]*([0-9][ ()-]*){5,14}|\s*([Tt][Ee][Ll]:)?[^A-Za-z*#,;]*[^A-Za-z*#,;\s][^A-Za-z*#,;]*)$";

/// A UUID, or a phone number as in [`WRITTEN_PHONE_PATTERN`].
pub(crate) const USER_PATTERN: &str = r"^(\s*[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s*|\+[1-9][0-9]{5,14}|\s*([Tt][Ee][Ll]:)?[^A-Za-z*#,;]*[^A-Za-z*#,;\s][^A-Za-z*#,;]*)$";

/// Text, or a JSON number in its place.
pub(crate) fn any_digits() -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Integer, Type::Null]);
    let about = "The user for whom a service requests the match: a UUID or a phone number. Other callers' values are ignored.";
    ObjectBuilder::new().schema_type(types).minimum(Some(0)).description(Some(about)).into()
}

/// A page of the event log.
// As `sambad_core::EventPage` is written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "nothing but its schema is used")]
pub(crate) struct EventPage {
    #[schema(value_type = Vec<AnyEvent>)]
    events: Vec<Event>,
    /// The position to continue from. It can move although the filter leaves no event.
    cursor: Cursor,
    /// The highest committed seq of the log.
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
