//! `/api/users`: log in, list, show.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use sambad_core::model::User;
use sambad_core::{Command, CountryCode, Error, Outcome, Phone, Sambad, Seq, UserOrder, UserQuery, UserRef};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{OptionalTokens, UserTokens};
use super::unexpected_outcome;
use crate::auth::{Caller, Role};
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{self, JsonBody, Payload, Query, Segment, id_param, page_limit, param};
use crate::limits::Discovery;
use crate::reply;
use crate::router::AppState;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// A national number, with spaces, dashes and brackets as one likes.
    mobile_number: Option<String>,
    /// Of the number, where it has none: the server's default otherwise.
    #[schema(pattern = r"^[ ()-]*\+?[ ()-]*[1-9][ ()-]*([0-9][ ()-]*){0,3}$")]
    country_code: Option<String>,
    /// An E.164 number; wins over `mobileNumber`.
    #[schema(pattern = r"^[ ()-]*\+[ ()-]*[1-9][ ()-]*([0-9][ ()-]*){7,14}$")]
    phone: Option<String>,
    /// What the user wants to be called; taken at the first login.
    #[schema(max_length = 100, pattern = r"^[^\x00]*$")]
    name: Option<String>,
}

impl JsonBody for Login {}

impl Login {
    /// What the body asks for.
    pub(crate) fn into_command(self, default: &CountryCode) -> Result<Command, ApiError> {
        Ok(Command::Login { phone: self.phone(default)?, name: extract::name(self.name) })
    }

    /// Reads the phone from whichever fields the app sends; a country code it sends stands in for the server's default.
    fn phone(&self, default: &CountryCode) -> Result<Phone, Error> {
        let code = self.country_code.as_deref().map(str::parse).transpose();
        let code = code.map_err(|_| Error::InvalidPhone { field: "countryCode" })?;
        let (field, number) = match &self.phone {
            Some(phone) => ("phone", phone.as_str()),
            None => ("mobileNumber", extract::required("mobileNumber", self.mobile_number.as_deref())?),
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
    /// Where callers have to say who they are.
    #[serde(flatten)]
    #[schema(value_type = OptionalTokens)]
    tokens: Option<UserTokens>,
}

/// `POST /api/users/login`
#[utoipa::path(
    post,
    path = "/api/users/login",
    operation_id = "login",
    summary = "Finds the user with this phone, or makes it.",
    description = "",
    request_body = Login,
    params(("Idempotency-Key" = Option<schema::Key>, Header)),
    responses((status = 200, description = "The user.", body = LoggedIn)),
)]
pub(crate) async fn login(State(state): State<AppState>, caller: Caller, payload: Payload<Login>) -> Result<Response, ApiError> {
    let command = payload.body.into_command(&state.config.default_country_code)?;
    if let (Some(principal), Command::Login { phone, .. }) = (&caller.principal, &command)
        && !principal.has(Role::Service)
        && principal.verified_phone.as_ref() != Some(phone)
    {
        return Err(ApiError::Forbidden("token does not vouch for this phone"));
    }
    let receipt = state.sambad.execute(command, payload.key).await?;
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
    /// Rows of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// Where the page before ended, from its `Link`.
    #[param(value_type = Option<schema::PageToken>)]
    after: Option<String>,
    /// How the phone begins, if it is digits, else how the name does.
    q: Option<String>,
}

/// `GET /api/users`
#[utoipa::path(
    get,
    path = "/api/users",
    operation_id = "listUsers",
    summary = "Lists users, oldest first.",
    description = "",
    params(ListQuery),
    responses((status = 200, description = "A page.", body = Vec<User>, headers(("Link" = Option<String>)))),
)]
pub(crate) async fn list(state: State<AppState>, uri: Uri, query: Query<ListQuery>) -> Result<Response, ApiError> {
    list_in(UserOrder::OldestFirst, &state, &uri, &query.0).await
}

/// Lists all users in `order`, or those that `q` finds in the order of what it is compared with.
pub(super) async fn list_in(order: UserOrder, state: &AppState, uri: &Uri, query: &ListQuery) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let after = query.after.as_deref();
    let q = query.q.as_deref().map(str::trim_end).filter(|q| !q.trim().is_empty());
    let query = match q.map(|q| phone_prefix(q, &state.config.default_country_code).ok_or(q)) {
        None => UserQuery::All { order, after: param("after", after)? },
        Some(Ok(prefix)) => UserQuery::PhonePrefix { prefix, after: param("after", after)? },
        Some(Err(q)) => UserQuery::NamePrefix { prefix: q.trim_start().to_owned(), after: id_param("after", after)? },
    };
    Ok(reply::page(uri, &state.sambad.users(&query, limit).await?))
}

/// Reads `q` as the beginning of a phone, if it is digits. A `+` that was not percent-encoded arrives as a space.
fn phone_prefix(q: &str, default: &CountryCode) -> Option<String> {
    let international = q.starts_with(['+', ' ']);
    let digits: String = q.trim_start_matches(['+', ' ']).chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let is_phone = digits.bytes().all(|b| b.is_ascii_digit()) && (international || !digits.is_empty());
    let code = if international { "+" } else { default.as_str() };
    is_phone.then(|| format!("{code}{digits}"))
}

/// `GET /api/users/{id}`
#[utoipa::path(
    get,
    path = "/api/users/{id}",
    operation_id = "showUser",
    summary = "Shows a user.",
    description = "",
    params(("id" = schema::UserName, Path)),
    responses((status = 200, description = "The user.", body = User)),
)]
pub(crate) async fn show(
    State(sambad): State<Sambad>,
    caller: Caller,
    Discovery(budget): Discovery,
    Segment(id): Segment,
) -> Result<Response, ApiError> {
    let user = extract::user_ref("id", &id)?;
    caller.must_be(&user, &sambad).await?;
    // Users see themselves, which tells them nothing new.
    if let (None, Some(budget), UserRef::Phone(phone)) = (caller.user(), &budget, &user) {
        sambad.ask_phones(budget, None, std::slice::from_ref(phone)).await?;
    }
    let found = sambad.user(&user).await?;
    let user = found.value.ok_or(Error::UserNotFound { role: "user" })?;
    Ok(reply::at(found.cursor, axum::Json(user)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: digits search phones, anything else names. Method: a table.
    #[test]
    fn digits_search_phones() {
        let india = CountryCode::default();
        for (q, prefix) in [
            ("+9198", Some("+9198")),
            (" 9198", Some("+9198")),
            ("+91 98", Some("+9198")),
            ("98765", Some("+9198765")),
            ("+", Some("+")),
            ("Asha", None),
            ("3M", None),
        ] {
            assert_eq!(phone_prefix(q, &india).as_deref(), prefix, "{q}");
        }
    }
}
