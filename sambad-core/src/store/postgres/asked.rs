//! Which phones principals have asked for.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::discovery::{AskedBefore, AskedPhones, Spending};
use crate::store::asked::AskedRows;
use crate::time::Day;

pub(super) const KEY: &str = "select key from discovery";
/// The asker's own row, which has no phone, and the rows of phones, which have no count.
pub(super) const ASKED: &str = "select null::integer, day, spent from askers where asker = $1
    union all select phone, day, null from asked_phones where asker = $1 and phone = any($2)";
const FORGET: &str = "delete from asked_phones where asker = $1 and (day <= $2 or phone in (
    select phone from asked_phones where asker = $1 order by day desc, phone offset $3))";
const NOTE: &str = "with noted as (
        insert into askers (asker, day, spent) values ($1, $2, $3)
        on conflict (asker) do update set day = excluded.day, spent = excluded.spent)
    insert into asked_phones (asker, phone, day) select $1, asked.phone, $2 from unnest($4::integer[]) as asked (phone)
        on conflict (asker, phone) do update set day = excluded.day";
/// An asker goes with the next call once its phones have gone: both see what was there before.
const TIDY: &str = "with phones as (
        delete from asked_phones where (asker, phone) in (
            select p.asker, p.phone from askers a join asked_phones p on p.asker = a.asker where a.day <= $1 limit $2))
    delete from askers where asker in (
        select asker from askers a where day <= $1 and not exists (select 1 from asked_phones p where p.asker = a.asker)
        limit $2)";

impl AskedRows for PgConnection {
    async fn asked_before(&mut self, asked: &AskedPhones) -> Result<AskedBefore, sqlx::Error> {
        before(&sqlx::query(ASKED).bind(asked.asker).bind(&asked.phones).fetch_all(self).await?)
    }

    async fn forget_asked(&mut self, asker: i64, forgotten: Day, kept: i64) -> Result<(), sqlx::Error> {
        sqlx::query(FORGET).bind(asker).bind(forgotten.number()).bind(kept).execute(self).await.map(drop)
    }

    async fn note_asked(&mut self, asker: i64, spending: &Spending) -> Result<(), sqlx::Error> {
        let note = sqlx::query(NOTE).bind(asker).bind(spending.day.number()).bind(spending.spent);
        note.bind(&spending.phones).execute(self).await.map(drop)
    }

    async fn tidy_asked(&mut self, forgotten: Day, limit: usize) -> Result<(), sqlx::Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        sqlx::query(TIDY).bind(forgotten.number()).bind(limit).execute(self).await.map(drop)
    }
}

/// Rows of [`ASKED`].
pub(super) fn before(rows: &[PgRow]) -> Result<AskedBefore, sqlx::Error> {
    let mut before = AskedBefore::default();
    for row in rows {
        let day = Day::from_number(row.try_get(1)?);
        match row.try_get(0)? {
            Some(phone) => before.known.push((phone, day)),
            None => before.spent = Some((day, row.try_get(2)?)),
        }
    }
    Ok(before)
}
