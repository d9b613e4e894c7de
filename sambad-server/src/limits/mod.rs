//! How much one address, one principal and one session may take, and what is said beyond.
//!
//! A rate is a bucket that holds a second's worth (a minute's, of logins) and fills evenly. What is kept of an address or a
//! principal is one number, and only while its bucket is not full: [`Doorkeeper::forget`] lets go of the others.

mod address;
mod discovery;
mod pace;
mod rate;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sambad_core::UserId;

use crate::auth::{Principal, Role};
use crate::config::ClientLimits;
use crate::error::ApiError;
use crate::router::AppState;
use crate::sessions::Remote;
use rate::Rates;

pub(crate) use address::{AddressKey, Proxies};
pub(crate) use discovery::Discovery;
pub(crate) use pace::Pace;
pub(crate) use tally::{Counted, Tally};

/// How often what is known of addresses that went quiet is let go of.
pub(crate) const FORGET_INTERVAL: Duration = Duration::from_secs(5);

/// What a principal is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PrincipalKey(Arc<str>, Option<UserId>);

impl PrincipalKey {
    /// `None` without authentication, and for services: those act for everybody, and their own operator bounds them.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let principal = extensions.get::<Principal>().filter(|principal| !principal.has(Role::Service))?;
        Some(Self(Arc::clone(&principal.subject), principal.user))
    }
}

/// All that is counted of clients.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    pub(crate) proxies: Proxies,
    limit_loopback: bool,
    requests: Rates<AddressKey>,
    logins: Rates<AddressKey>,
    admin_logins: Rates<AddressKey>,
    handshakes: Rates<AddressKey>,
    principals: Rates<PrincipalKey>,
    principal_logins: Rates<PrincipalKey>,
    connections: Tally<()>,
    connections_by_address: Tally<AddressKey>,
    connection_rates: Rates<AddressKey>,
    sessions_by_address: Tally<AddressKey>,
    sessions_by_principal: Tally<PrincipalKey>,
}

/// A connection that is counted, for as long as it lasts.
pub(crate) type CountedConnection = (Option<Counted<()>>, Option<Counted<AddressKey>>);
/// A session that is counted, for as long as it lasts.
pub(crate) type CountedSession = (Option<Counted<AddressKey>>, Option<Counted<PrincipalKey>>);

impl Doorkeeper {
    pub(crate) fn new(limits: &ClientLimits) -> Self {
        Self {
            proxies: Proxies::new(limits.trusted_proxies.clone()),
            limit_loopback: limits.limit_loopback,
            requests: Rates::per_second(limits.address_requests_per_s),
            logins: Rates::per_minute(limits.address_logins_per_min),
            admin_logins: Rates::per_minute(limits.address_admin_logins_per_min),
            handshakes: Rates::per_second(limits.address_handshakes_per_s),
            principals: Rates::per_second(limits.principal_requests_per_s),
            principal_logins: Rates::per_minute(limits.principal_logins_per_min),
            connections: Tally::new(limits.connections_max),
            connections_by_address: Tally::new(limits.address_connections_max),
            connection_rates: Rates::per_second(limits.address_connections_per_s),
            sessions_by_address: Tally::new(limits.address_sessions_max),
            sessions_by_principal: Tally::new(limits.principal_sessions_max),
        }
    }

    /// Counts a connection from `peer`; `None` when it is one too many, or too soon.
    pub(crate) fn connection(&self, peer: Remote) -> Option<CountedConnection> {
        // A proxy's connections are those of many clients.
        let key = self.key(peer).filter(|_| !self.proxies.trusts(peer));
        key.is_none_or(|key| self.connection_rates.take(&key).is_ok()).then_some(())?;
        Some((self.connections.enter(Some(())).ok()?, self.connections_by_address.enter(key).ok()?))
    }

    /// Counts a session that a request with these extensions begins.
    pub(crate) fn session(&self, extensions: &Extensions) -> Result<CountedSession, ApiError> {
        let address = self.sessions_by_address.enter(self.client(extensions)).map_err(|_| ApiError::TooManySessions)?;
        let principal = self.sessions_by_principal.enter(PrincipalKey::of(extensions));
        Ok((address, principal.map_err(|_| ApiError::TooManySessions)?))
    }

    /// Counts a request against the bounds of its address.
    fn request(&self, request: &Request) -> Result<(), ApiError> {
        let Some(key) = self.client(request.extensions()) else { return Ok(()) };
        self.requests.take(&key).map_err(|retry_after| ApiError::RateLimited { retry_after })?;
        let (limited, handshake) = match (request.method(), request.uri().path()) {
            (&Method::POST, "/api/users/login" | "/api/users/refresh") => (self.logins.take(&key), false),
            (&Method::POST, "/api/admin/login") => (self.admin_logins.take(&key), false),
            // A route for GET takes HEAD as well.
            (&Method::GET | &Method::HEAD, "/ws" | "/api/events/stream") => (self.handshakes.take(&key), true),
            _ => return Ok(()),
        };
        limited.map_err(|retry_after| {
            if handshake { ApiError::TooManyHandshakes { retry_after } } else { ApiError::RateLimited { retry_after } }
        })
    }

    /// Counts a request against the bounds of whoever makes it.
    fn principal(&self, extensions: &Extensions, path: &str) -> Result<(), ApiError> {
        let Some(key) = PrincipalKey::of(extensions) else { return Ok(()) };
        let logins = if path == "/api/users/login" { self.principal_logins.take(&key) } else { Ok(()) };
        logins.and_then(|()| self.principals.take(&key)).map_err(|retry_after| ApiError::RateLimited { retry_after })
    }

    /// Lets go of what is known of clients that have been quiet, so that nobody can fill the memory by having many addresses.
    pub(crate) fn forget(&self) {
        for rates in [&self.requests, &self.logins, &self.admin_logins, &self.handshakes, &self.connection_rates] {
            rates.forget();
        }
        self.principals.forget();
        self.principal_logins.forget();
    }

    fn client(&self, extensions: &Extensions) -> Option<AddressKey> {
        self.key(*extensions.get::<Remote>()?)
    }

    /// `None` for an address that is not counted.
    fn key(&self, client: Remote) -> Option<AddressKey> {
        (self.limit_loopback || !client.ip().is_loopback()).then(|| AddressKey::of(client))
    }
}

/// Refuses what is beyond the bounds of an address: before anybody is authenticated, as that costs.
pub(crate) async fn per_address(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.doorkeeper.request(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Refuses what is beyond the bounds of a principal.
pub(crate) async fn per_principal(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.doorkeeper.principal(request.extensions(), request.uri().path()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use sambad_core::Timestamp;

    use super::*;

    fn acting(role: Role, subject: &str) -> Extensions {
        let (ids, expires_at) = (Vec::new(), Timestamp::now());
        let (user, verified_phone) = (None, None);
        let mut extensions = Extensions::new();
        extensions.insert(Principal { roles: vec![role], subject: subject.into(), user, verified_phone, ids, expires_at });
        extensions
    }

    /// Goal: users and admins have bounds of their own, wherever they come from; services have none. Method: one request and
    /// one session each may have, by turns.
    #[test]
    fn a_principal_has_bounds_wherever_it_comes_from() {
        let limits = ClientLimits { principal_requests_per_s: 1, principal_sessions_max: 1, ..ClientLimits::default() };
        let doorkeeper = Doorkeeper::new(&limits);
        let (asha, ravi, admin) = (acting(Role::User, "asha"), acting(Role::User, "ravi"), acting(Role::Admin, "admin"));
        let sessions: Vec<_> = [&asha, &ravi, &admin].map(|who| doorkeeper.session(who).unwrap()).into();
        for who in [&asha, &ravi, &admin] {
            assert!(doorkeeper.principal(who, "/ws").is_ok());
            assert!(
                matches!(doorkeeper.principal(who, "/ws"), Err(ApiError::RateLimited { retry_after }) if !retry_after.is_zero())
            );
            assert!(matches!(doorkeeper.session(who), Err(ApiError::TooManySessions)));
        }
        drop(sessions);
        assert!(doorkeeper.session(&asha).is_ok());
        for anybody in [acting(Role::Service, "backend"), Extensions::new()] {
            let sessions: Vec<_> = (0..10).map(|_| doorkeeper.session(&anybody).unwrap()).collect();
            assert!((0..10).all(|_| doorkeeper.principal(&anybody, "/api/users/login").is_ok()));
            drop(sessions);
        }
    }
    /// Goal: one person logs in so often and no more, whatever else they ask for. Method: two logins a minute, and other requests
    /// between.
    #[test]
    fn a_person_logs_in_so_often() {
        let doorkeeper = Doorkeeper::new(&ClientLimits { principal_logins_per_min: 2, ..ClientLimits::default() });
        let asha = acting(Role::User, "asha");
        let login = || doorkeeper.principal(&asha, "/api/users/login");
        assert!(login().is_ok() && login().is_ok() && login().is_err());
        assert!(doorkeeper.principal(&asha, "/api/messages").is_ok());
    }
}
