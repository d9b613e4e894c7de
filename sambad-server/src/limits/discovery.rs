//! Whose budget of new phones a request counts against.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sambad_core::discovery::{Asker, PhoneBudget};

use crate::auth::{Principal, Role};
use crate::router::AppState;

/// The budget of whoever asks; `None` for admins, who may list all users, for addresses that no bound is on, and where there is
/// no budget.
#[derive(Debug)]
pub(crate) struct Discovery(pub(crate) Option<PhoneBudget>);

impl FromRequestParts<AppState> for Discovery {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let per_day = state.config.clients.new_phones_per_day;
        if per_day == 0 {
            return Ok(Self(None));
        }
        let asker = match parts.extensions.get::<Principal>() {
            Some(Principal { user: Some(user), .. }) => Some(Asker::User(*user)),
            Some(principal) if principal.has(Role::Service) => Some(Asker::Service(Arc::clone(&principal.subject))),
            Some(_) => None,
            None => state.doorkeeper.client(&parts.extensions).map(|address| Asker::Address(address.to_string())),
        };
        Ok(Self(asker.map(|asker| PhoneBudget { asker, per_day })))
    }
}
