//! Logging in and out: users by refresh tokens, admins by a cookie.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use sambad_core::access::{AccessChange, AccessOutcome, Actor};
use sambad_core::{Error, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::tokens::Grant;
use crate::auth::{Auth, BEYOND_EXPIRY, Caller, Role, SessionCookie, digest, new_secret, passwords};
use crate::error::ApiError;
use crate::extract::{JsonBody, Payload, required};
use crate::router::AppState;

/// Bytes of an account's address, at most.
///
/// Source: RFC 5321, 4.5.3.1.3.
const EMAIL_BYTES_MAX: usize = 254;
/// What a failed login is told, whatever was wrong.
const WRONG: ApiError = ApiError::Unauthorized("wrong e-mail address or password, or too many attempts");

/// Tokens of a user, after a login or a refresh.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserTokens {
    token: String,
    token_expires_at: Timestamp,
    refresh_token: String,
}

/// Tokens of a user, absent while authentication is off.
#[derive(ToSchema)]
#[expect(dead_code, reason = "nothing but its schema is used")]
pub(crate) struct OptionalTokens {
    token: Option<String>,
    token_expires_at: Option<Timestamp>,
    refresh_token: Option<String>,
}

impl Auth {
    /// Begins a family of tokens for a user who has logged in.
    pub(crate) async fn begin_family(&self, user: UserId, caller: &Caller, state: &AppState) -> Result<UserTokens, ApiError> {
        let (family, refresh_token, now) = (Uuid::now_v7().to_string(), new_secret()?, self.now());
        let token_expires_at = now.plus(self.config.token_ttl);
        let change = AccessChange::StartFamily {
            user,
            family: family.clone(),
            digest: digest(&refresh_token),
            expires_at: now.plus(self.config.refresh_ttl),
            revoked_until: token_expires_at.plus(BEYOND_EXPIRY),
            by_service: caller.principal.as_ref().is_some_and(|principal| principal.has(Role::Service)),
        };
        if state.sambad.change_access(change, caller.actor()).await? == AccessOutcome::Evicted {
            self.revocations.read_on(&state.sambad).await?;
        }
        self.user_tokens(user, family, refresh_token, token_expires_at)
    }

    /// Issues an access token that expires when the change said that was stored: its revocation lasts as long, and no longer.
    fn user_tokens(
        &self,
        user: UserId,
        family: String,
        refresh_token: String,
        expires_at: Timestamp,
    ) -> Result<UserTokens, ApiError> {
        let grant = Grant { roles: vec![Role::User], subject: user.to_string(), family: Some(family), expires_at };
        let issued = self.tokens.issue(grant, self.now())?;
        Ok(UserTokens { token: issued.token, token_expires_at: issued.expires_at, refresh_token })
    }
}

/// What nobody on the way may keep.
fn secret(body: impl Serialize) -> Response {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

/// While callers need not say who they are, there is nothing to log in to.
fn auth(state: &AppState) -> Result<&Auth, ApiError> {
    state.auth.as_deref().ok_or(ApiError::NoSuchPath)
}

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RefreshBody {
    #[schema(required, value_type = String, pattern = r"\S")]
    refresh_token: Option<String>,
}

impl JsonBody for RefreshBody {}

/// `POST /api/users/refresh`
#[utoipa::path(
    post,
    path = "/api/users/refresh",
    operation_id = "refresh",
    summary = "Refresh tokens",
    description = "Exchanges a refresh token for new tokens. For 30 s the used token returns the same next refresh token. After that, a second use revokes all tokens of the login. Only with authentication.",
    request_body = RefreshBody,
    responses((status = 200, description = "New tokens.", body = UserTokens)),
)]
pub(crate) async fn refresh(
    State(state): State<AppState>,
    caller: Caller,
    payload: Payload<RefreshBody>,
) -> Result<Response, ApiError> {
    let auth = auth(&state)?;
    let used = required("refresh_token", payload.body.refresh_token.as_deref())?;
    let old = digest(used);
    const INVALID: ApiError = ApiError::Unauthorized("refresh token is not valid");
    // The committer is busy enough: strangers, who know none, are turned away by a look.
    if !state.sambad.knows_refresh_token(&old).await? {
        return Err(INVALID);
    }
    let (mut successors, now) = (auth.tokens.successors(used), auth.now());
    let next = successors.next().ok_or(INVALID)?;
    let token_expires_at = now.plus(auth.config.token_ttl);
    let change = AccessChange::Refresh {
        digest: old,
        next: digest(&next),
        expires_at: now.plus(auth.config.refresh_ttl),
        revoked_until: token_expires_at.plus(BEYOND_EXPIRY),
    };
    match state.sambad.change_access(change, caller.actor()).await? {
        AccessOutcome::Refreshed { user, family, next: stands } => {
            // One that a server with another key file made cannot be repeated here.
            let next = std::iter::once(next).chain(successors).find(|token| digest(token) == stands).ok_or(INVALID)?;
            Ok(secret(auth.user_tokens(user, family, next, token_expires_at)?))
        }
        AccessOutcome::Reused { .. } => {
            auth.revocations.read_on(&state.sambad).await?;
            Err(ApiError::Unauthorized("refresh token was used before: log in again"))
        }
        _ => Err(INVALID),
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct LoggedOut {
    message: &'static str,
}

/// `POST /api/users/logout`: ends the family of the caller's token, with its sessions.
#[utoipa::path(
    post,
    path = "/api/users/logout",
    operation_id = "logout",
    summary = "Log a user out",
    description = "Revokes all tokens of this login and closes their sessions. Only with authentication.",
    responses((status = 200, description = "The tokens were revoked.", body = LoggedOut)),
)]
pub(crate) async fn logout_user(State(state): State<AppState>, caller: Caller) -> Result<Response, ApiError> {
    let auth = auth(&state)?;
    const MISSING: ApiError = ApiError::Unauthorized("credentials are missing");
    let principal = caller.principal.as_ref().ok_or(MISSING)?;
    // The family's id is the last, and enough: every token of the login has it. Its refresh tokens are deleted, so that only
    // access tokens remain, one of which another server may just have issued.
    let (Some(user), Some(id)) = (principal.user, principal.ids.last()) else { return Err(MISSING) };
    let last = auth.now().plus(auth.config.token_ttl).max(principal.expires_at);
    let change = AccessChange::LogoutUser { user, id: id.to_string(), expires_at: last.plus(BEYOND_EXPIRY) };
    state.sambad.change_access(change, caller.actor()).await?;
    auth.revocations.read_on(&state.sambad).await?;
    Ok(secret(LoggedOut { message: "Logged out" }))
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct AdminLogin {
    #[schema(required, value_type = String, pattern = r"\S")]
    email: Option<String>,
    #[schema(required, value_type = String)]
    password: Option<String>,
}

// By hand: a password is in no log.
impl std::fmt::Debug for AdminLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminLogin").field("email", &self.email).finish_non_exhaustive()
    }
}

impl JsonBody for AdminLogin {}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminSession)]
struct LoggedIn {
    email: String,
    expires_at: Timestamp,
}

/// `POST /api/admin/login`: the same answer, after the same time, whatever is wrong.
#[utoipa::path(
    post,
    path = "/api/admin/login",
    operation_id = "loginAdmin",
    summary = "Log an admin in",
    description = "Starts an admin session and sets its cookie. After 5 failures in a row, the address is locked out of the account for 30 s or longer. Only with authentication.",
    request_body = AdminLogin,
    responses((status = 200, description = "The session was started.", body = LoggedIn, headers(("Set-Cookie" = String)))),
)]
pub(crate) async fn login_admin(
    State(state): State<AppState>,
    caller: Caller,
    session_cookie: SessionCookie,
    payload: Payload<AdminLogin>,
) -> Result<Response, ApiError> {
    let auth = auth(&state)?;
    let AdminLogin { email, password } = payload.body;
    let email = required("email", email.as_deref())?.trim().to_lowercase();
    let password = password.ok_or_else(|| Error::field("password", "missing"))?;
    if email.len() > EMAIL_BYTES_MAX || password.len() > passwords::BYTES_MAX {
        return Err(WRONG);
    }
    let network = caller.network();
    let account = state.sambad.admin(&email, &network).await?;
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let right = auth.passwords.are_equal(password, hash.clone()).await?;
    let is_locked = account.as_ref().is_some_and(|account| account.locked_until > auth.now());
    let (Some(password_hash), true, false) = (hash, right, is_locked) else {
        let change = AccessChange::FailLogin { email: account.map(|account| account.email), network };
        state.sambad.change_access(change, caller.actor()).await?;
        return Err(WRONG);
    };
    let (cookie, expires_at) = (new_secret()?, auth.now().plus(auth.config.admin_session_ttl));
    let (email_of_account, digest) = (email.clone(), digest(&cookie));
    let change = AccessChange::LoginAdmin { email: email_of_account, password_hash, network, digest, expires_at };
    // The password was right: from here on it is known who acts.
    let actor = Actor { name: email.clone(), ..caller.actor() };
    if state.sambad.change_access(change, actor).await? != AccessOutcome::Done {
        return Err(WRONG);
    }
    let mut response = secret(LoggedIn { email, expires_at });
    let lives = auth.config.admin_session_ttl.as_secs();
    response.headers_mut().insert(SET_COOKIE, session_cookie.set(&cookie, lives));
    Ok(response)
}

/// `POST /api/admin/logout`: ends the session of the cookie.
#[utoipa::path(
    post,
    path = "/api/admin/logout",
    operation_id = "logoutAdmin",
    summary = "Log an admin out",
    description = "Ends the session of the cookie. Only with authentication.",
    responses((status = 200, description = "The session was ended.", body = LoggedOut, headers(("Set-Cookie" = String)))),
)]
pub(crate) async fn logout_admin(
    State(state): State<AppState>,
    caller: Caller,
    session_cookie: SessionCookie,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let auth = auth(&state)?;
    if let Some(cookie) = session_cookie.find(&headers) {
        state.sambad.change_access(AccessChange::LogoutAdmin { digest: digest(cookie) }, caller.actor()).await?;
        auth.revocations.read_on(&state.sambad).await?;
    }
    let mut response = secret(LoggedOut { message: "Logged out" });
    response.headers_mut().insert(SET_COOKIE, session_cookie.set("", 0));
    Ok(response)
}
