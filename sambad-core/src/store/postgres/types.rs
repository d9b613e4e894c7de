//! Our values as PostgreSQL's: ids as `uuid`, instants as `timestamptz`, both in their binary form.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use uuid::Uuid;

use crate::id::{ContactId, MessageId, UserId};
use crate::time::Timestamp;

/// PostgreSQL counts microseconds from the beginning of 2000, UTC.
///
/// Source: <https://www.postgresql.org/docs/15/datatype-datetime.html>.
const EPOCH_OF_POSTGRES_US: i64 = 946_684_800_000_000;

/// Type numbers that never change: `timestamptz` and its arrays. A name would have to be looked up by each connection.
///
/// Source: `pg_type.dat`.
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Postgres>>::encode(self.as_micros().saturating_sub(EPOCH_OF_POSTGRES_US), buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let us = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self::from_micros(us.saturating_add(EPOCH_OF_POSTGRES_US)))
    }
}

macro_rules! id {
    ($($name:ident),*) => {$(
        impl Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <Uuid as Type<Postgres>>::type_info()
            }
        }

        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                <Uuid as PgHasArrayType>::array_type_info()
            }
        }

        impl Encode<'_, Postgres> for $name {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                <Uuid as Encode<Postgres>>::encode(self.uuid(), buffer)
            }
        }

        impl Decode<'_, Postgres> for $name {
            fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
                <Uuid as Decode<Postgres>>::decode(value).map(Self::new)
            }
        }
    )*};
}

id!(UserId, ContactId, MessageId);
