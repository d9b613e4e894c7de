//! `/api/users`: log in, list, show.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use sambad_core::access::AuditAction;
use sambad_core::model::User;
use sambad_core::{Command, CountryCode, Error, Outcome, Phone, Seq, UserOrder, UserQuery, UserRef, WrittenPhone, phone};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{OptionalTokens, UserTokens};
use super::unexpected_outcome;
use crate::auth::{Caller, Role, VerifiedPhone, user_or_all};
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{self, JsonBody, Payload, Query, Segment, id_param, page_limit, param};
use crate::limits::Discovery;
use crate::reply;
use crate::router::AppState;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// The phone number. Without `+` it is a national number of `countryCode`.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::ReadIfAlone>)]
    mobile_number: Option<String>,
    /// The calling code of a national number, such as `+91`. Default: the server's own.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::WrittenCallingCode>)]
    country_code: Option<String>,
    /// As `mobileNumber`, with priority over it.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::WrittenPhone>)]
    phone: Option<String>,
    /// The user's name. It is stored at the first login only.
    #[schema(max_length = 100, pattern = r"^[^\x00]*$")]
    name: Option<String>,
}

impl JsonBody for Login {
    fn meaning(&self) -> impl Serialize {
        let code = extract::said(self.country_code.as_deref());
        (self.number().map(|(_, number)| number), code, extract::name(self.name.clone()))
    }
}

impl Login {
    /// What the body asks for.
    pub(crate) fn into_command(self, default: &CountryCode) -> Result<Command, ApiError> {
        Ok(Command::Login { phone: self.phone(default)?, name: extract::name(self.name) })
    }

    /// The number, with the name of the field that it is in.
    fn number(&self) -> Option<(&'static str, &str)> {
        let phone = extract::said(self.phone.as_deref()).map(|phone| ("phone", phone));
        phone.or_else(|| Some(("mobileNumber", extract::said(self.mobile_number.as_deref())?)))
    }

    /// Reads the phone from whichever fields the app sends; a country code it sends stands in for the server's default.
    fn phone(&self, default: &CountryCode) -> Result<WrittenPhone, Error> {
        let code = extract::said(self.country_code.as_deref()).map(str::parse).transpose();
        let code = code.map_err(|reason| Error::InvalidPhone { field: "countryCode", reason })?;
        let (field, number) = match self.number() {
            Some(number) => number,
            None if self.phone.is_some() => ("phone", ""),
            None => return Err(Error::field("mobileNumber", "missing")),
        };
        extract::phone(field, number, code.as_ref().unwrap_or(default))
    }
}

#[derive(Serialize, ToSchema)]
struct LoggedIn<'a> {
    #[serde(flatten)]
    fields: &'a User,
    created: bool,
    seq: Option<Seq>,
    user: &'a User,
    /// Only with authentication on.
    #[serde(flatten)]
    #[schema(value_type = OptionalTokens)]
    tokens: Option<UserTokens>,
}

/// `POST /api/users/login`
#[utoipa::path(
    post,
    path = "/api/users/login",
    operation_id = "login",
    summary = "Log a user in",
    description = "Finds the user with this phone number, or creates the user and stores the event `user_created`. With authentication on, the response has tokens for the user.",
    request_body = Login,
    params(("Idempotency-Key" = Option<schema::Key>, Header)),
    responses((status = 200, description = "The user, and whether the user was created.", body = LoggedIn)),
)]
pub(crate) async fn login(State(state): State<AppState>, caller: Caller, payload: Payload<Login>) -> Result<Response, ApiError> {
    let field = payload.body.number().map_or("phone", |(field, _)| field);
    let mut command = payload.body.into_command(&state.config.default_country_code)?;
    if let (Some(principal), Command::Login { phone, .. }) = (&caller.principal, &mut command)
        && !principal.has(Role::Service)
    {
        let verified = principal.verified_phone.as_ref().and_then(VerifiedPhone::number);
        let verified = verified.filter(|verified| phone.meant() == Ok(*verified));
        let Some(verified) = verified else { return Err(ApiError::Forbidden("token does not verify this phone number")) };
        // Whoever is stored under another spelling is not vouched for.
        *phone = verified.clone().into();
    }
    let receipt = state.sambad.execute(command, payload.key).await.map_err(|error| match error {
        Error::InvalidPhone { reason, .. } => Error::InvalidPhone { field, reason },
        error => error,
    })?;
    let Outcome::LoggedIn { user, created } = &receipt.outcome else { return Err(unexpected_outcome()) };
    let tokens = match &state.auth {
        Some(auth) => Some(auth.begin_family(user.id, &caller, &state).await?),
        None => None,
    };
    let body = LoggedIn { fields: user, created: *created, seq: receipt.seq, user, tokens };
    let mut response = reply::receipt(&receipt, StatusCode::OK, body);
    if state.auth.is_some() {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// The number of rows of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// The position of this page, from the header `Link` of the page before.
    #[param(value_type = Option<schema::PageToken>)]
    after: Option<String>,
    /// The beginning of a phone number, if it has digits and no letters, otherwise of a name.
    q: Option<String>,
}

/// `GET /api/users`
#[utoipa::path(
    get,
    path = "/api/users",
    operation_id = "listUsers",
    summary = "List users",
    description = "Lists users, oldest first. With `q`, lists users whose phone number or name begins with it.",
    params(ListQuery),
    responses((status = 200, description = "A page of the list. The header `Link` has the address of the next page.", body = Vec<User>, headers(("Link" = Option<String>)))),
)]
pub(crate) async fn list(
    state: State<AppState>,
    caller: Caller,
    uri: Uri,
    query: Query<ListQuery>,
) -> Result<Response, ApiError> {
    list_in(UserOrder::OldestFirst, &state, &caller, &uri, &query.0).await
}

/// Lists all users in `order`, or those that `q` finds in the order of what it is compared with.
pub(super) async fn list_in(
    order: UserOrder,
    state: &AppState,
    caller: &Caller,
    uri: &Uri,
    query: &ListQuery,
) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let after = query.after.as_deref();
    let q = query.q.as_deref().map(str::trim_end).filter(|q| !q.trim().is_empty());
    let query = match q.map(|q| phone_prefixes(q, &state.config.default_country_code).ok_or(q)) {
        None => UserQuery::All { order, after: param("after", after)? },
        Some(Ok(prefixes)) => UserQuery::PhonePrefix { prefixes, after: param("after", after)? },
        Some(Err(q)) => UserQuery::NamePrefix { prefix: q.trim_start().to_owned(), after: id_param("after", after)? },
    };
    caller.count_reading(AuditAction::UsersRead, user_or_all(None), &state.sambad).await?;
    Ok(reply::page(uri, &state.sambad.users(&query, limit).await?))
}

/// Reads `q` as the beginning of a phone, if it is digits: letter by letter, and as people write phones. A `+` that was not
/// percent-encoded arrives as a space.
fn phone_prefixes(q: &str, default: &CountryCode) -> Option<[String; 2]> {
    let international = q.starts_with(['+', ' ']);
    let rest = q.trim_start_matches(['+', ' ']);
    let digits: String = rest.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let plus = if international { "+" } else { "" };
    let read = phone::beginning(&format!("{plus}{rest}"), default);
    let is_literal = digits.bytes().all(|b| b.is_ascii_digit()) && (international || !digits.is_empty());
    let literal = is_literal.then(|| format!("{}{digits}", if international { "+" } else { default.as_str() }));
    let one = literal.clone().or_else(|| read.clone())?;
    Some([one, read.or(literal)?])
}

/// `GET /api/users/{id}`
#[utoipa::path(
    get,
    path = "/api/users/{id}",
    operation_id = "showUser",
    summary = "Show a user",
    description = "Finds a user by id or phone number. A user can only get themselves.",
    params(("id" = schema::UserName, Path)),
    responses((status = 200, description = "The user.", body = User)),
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Discovery(budget): Discovery,
    Segment(id): Segment,
) -> Result<Response, ApiError> {
    let user = extract::user_ref("id", &id, &state.config.default_country_code)?;
    caller.must_be(&user, &state.sambad).await?;
    // Users see themselves, which tells them nothing new.
    if let (None, Some(budget), UserRef::Phone(phone)) = (caller.user(), &budget, &user) {
        let phones: Vec<Phone> = phone.readings().cloned().collect();
        state.sambad.ask_phones(budget, None, &phones).await?;
    }
    let found = state.sambad.user(&user).await?;
    let who = found.value.as_ref().map_or_else(|| "no such user".to_owned(), |user| user.id.to_string());
    caller.count_reading(AuditAction::UsersRead, who, &state.sambad).await?;
    let user = found.value.ok_or_else(|| user.missing("id", "user"))?;
    Ok(reply::at(found.cursor, axum::Json(user)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: digits search phones, anything else names. Method: a table.
    #[test]
    fn digits_search_phones() {
        let india = CountryCode::default();
        for (q, prefixes) in [
            ("+9198", Some(["+9198", "+9198"])),
            (" 9198", Some(["+9198", "+9198"])),
            ("+91 98", Some(["+9198", "+9198"])),
            ("98765", Some(["+9198765", "+9198765"])),
            ("+", Some(["+", "+"])),
            ("098765", Some(["+91098765", "+9198765"])),
            ("919876543210", Some(["+91919876543210", "+919876543210"])),
            ("98765.43", Some(["+919876543", "+919876543"])),
            ("0044 7911", Some(["+9100447911", "+447911"])),
            ("Asha", None),
            ("3M", None),
        ] {
            let expected = prefixes.map(|prefixes| prefixes.map(str::to_owned));
            assert_eq!(phone_prefixes(q, &india), expected, "{q}");
        }
    }
}
