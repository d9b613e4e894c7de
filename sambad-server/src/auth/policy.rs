//! Who may ask for a route: decided before the handler, by what the route table says.

use axum::extract::{Request, State};
use axum::http::header::UPGRADE;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::{Credentials, Principal, Role, VerifiedPhone};
use crate::error::ApiError;
use crate::router::AppState;
use crate::scheme::Scheme;

/// Who may ask for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever reaches the server.
    Anyone,
    /// A principal with one of these roles.
    Roles(&'static [Role]),
    /// A principal with one of these roles, or somebody whose phone an outside issuer vouches for.
    RolesOrVerifiedPhone(&'static [Role]),
}

impl Who {
    /// As the documentation writes it.
    #[cfg(feature = "testing")]
    pub(crate) fn names(self) -> Vec<&'static str> {
        let of = |roles: &[Role]| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>();
        match self {
            Self::Anyone => vec!["anyone"],
            Self::Roles(roles) => of(roles),
            Self::RolesOrVerifiedPhone(roles) => [of(roles), vec!["verified phone"]].concat(),
        }
    }

    fn includes(self, principal: &Principal) -> bool {
        match self {
            Self::Anyone => true,
            Self::Roles(roles) => roles.iter().any(|role| principal.has(*role)),
            Self::RolesOrVerifiedPhone(roles) => {
                matches!(principal.verified_phone, Some(VerifiedPhone::Number(_)))
                    || roles.iter().any(|role| principal.has(*role))
            }
        }
    }

    /// The reason for which a principal is not among them.
    fn refusal(self, principal: &Principal) -> ApiError {
        match (self, &principal.verified_phone) {
            (Self::RolesOrVerifiedPhone(_), Some(VerifiedPhone::NotE164)) => {
                tracing::warn!("rejected a token of the outside issuer: its phone_number is not E.164, + and 8 to 15 digits");
                ApiError::Forbidden("the token's phone_number is not E.164: expected + and 8 to 15 digits")
            }
            _ => ApiError::Forbidden("the credentials do not allow this request"),
        }
    }
}

/// Lets a request through to its handler if it may, with its principal.
pub(crate) async fn authorise(State((state, who)): State<(AppState, Who)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&state, who, &parts).await {
        Ok(None) => next.run(Request::from_parts(parts, body)).await,
        Ok(Some(principal)) => {
            let mut response = if who.includes(&principal) {
                parts.extensions.insert(principal.clone());
                next.run(Request::from_parts(parts, body)).await
            } else {
                who.refusal(&principal).into_response()
            };
            // For the log, which tells who asked.
            response.extensions_mut().insert(principal);
            response
        }
        Err(refused) => refused.into_response(),
    }
}

async fn admit(state: &AppState, who: Who, request: &Parts) -> Result<Option<Principal>, ApiError> {
    let headers = &request.headers;
    let credentials = Credentials::of(request);
    // A browser sends a cookie along by itself, and so it does with what a proxy authenticates by. It is looked at before
    // anything else: a foreign page learns nothing, not even whether somebody is logged in.
    let acts = match credentials {
        Some(Credentials::Token(_)) => false,
        // A page of a neighbour's site cannot read what comes back, but its reading would be the admin's in the audit log.
        Some(Credentials::Cookie(_)) => !request.method.is_safe() || who != Who::Anyone,
        None => !request.method.is_safe(),
    };
    if headers.contains_key(UPGRADE) || acts {
        state.origins.check(headers, &request.uri, Scheme::of_request(&request.extensions))?;
    }
    let Some(auth) = state.auth.as_ref().filter(|_| who != Who::Anyone) else { return Ok(None) };
    auth.authenticate(credentials).await.map(Some)
}
