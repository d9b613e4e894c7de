//! Users: logging in, finding them.

use sambad_core::UserId;
use sambad_core::model::User;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, PageToken};
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::rest::access::UserTokens;
use crate::rest::write;
use crate::user_ref::UserRef;

/// Who logs in.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Phone number as somebody wrote it; without `+` it is one of the country code's country.
    pub phone: String,
    /// Country code such as `+91`; default `None`: the server's.
    pub country_code: Option<String>,
    /// What the user wants to be called, at most 100 characters; kept from the first login.
    pub name: Option<String>,
}

impl NewUser {
    /// Somebody without a name.
    #[must_use]
    pub fn new(phone: impl Into<String>) -> Self {
        Self { phone: phone.into(), country_code: None, name: None }
    }
}

/// The two forms of the contract: a phone as it is, and the apps' pair of number and country code.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoginBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> From<&'a NewUser> for LoginBody<'a> {
    fn from(user: &'a NewUser) -> Self {
        let number = Some(user.phone.as_str());
        let country_code = user.country_code.as_deref();
        let (phone, mobile_number) = if country_code.is_some() { (None, number) } else { (number, None) };
        Self { phone, mobile_number, country_code, name: user.name.as_deref() }
    }
}

/// The outcome of a login.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct LoggedIn {
    /// Whether this login created the user.
    pub created: bool,
    /// The user.
    pub user: User,
    /// What the user goes on with; `None` from a server that asks nobody who they are.
    #[serde(default, flatten)]
    pub tokens: Option<UserTokens>,
}

/// Which users to list; the default is the first page of all.
#[derive(Debug, Clone, Default)]
pub struct UserQuery {
    /// Prefix of the phone number or the name.
    pub prefix: Option<String>,
    /// Users of a page, 1 to 500; the server's default is 100.
    pub limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub after: Option<PageToken>,
}

impl Client {
    /// Finds the user with a phone number, or creates it. A server that asks who calls wants a `service` token, or one of an
    /// outside issuer who vouches for the phone.
    ///
    /// # Errors
    /// `invalid_phone` and `invalid_field`, among others.
    pub async fn login(&self, user: &NewUser) -> Result<Answer<LoggedIn>, Error> {
        write(self, Call::post("/api/users/login", &LoginBody::from(user))).await
    }

    /// Reads one user.
    ///
    /// # Errors
    /// `user_not_found`, among others.
    pub async fn user(&self, user: &UserRef) -> Result<Answer<User>, Error> {
        // A phone may have slashes, and some proxies read a bare + in a path as a space.
        let escaped = |byte: u8| {
            if byte == b'-' || byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        let name: String = user.to_string().bytes().map(escaped).collect();
        self.call(Call::get(format!("/api/users/{name}"))).await
    }

    /// Lists users, oldest first; `next` of the answer leads on.
    ///
    /// # Errors
    /// `invalid_field`, among others.
    pub async fn users(&self, query: &UserQuery) -> Result<Answer<Vec<User>>, Error> {
        self.call(query.call("/api/users")).await
    }

    /// Lists users, newest first, as the admin dashboard does.
    ///
    /// # Errors
    /// As [`users`](Self::users).
    pub async fn newest_users(&self, query: &UserQuery) -> Result<Answer<Vec<User>>, Error> {
        self.call(query.call("/api/admin/users")).await
    }

    /// The id of a user; costs a request when a phone is given.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    pub async fn resolve(&self, user: &UserRef) -> Result<UserId, Error> {
        match user {
            UserRef::Id(id) => Ok(*id),
            UserRef::Phone(_) => Ok(self.user(user).await?.value.id),
        }
    }
}

impl UserQuery {
    fn call(&self, path: &str) -> Call {
        Call::get(path).query("q", self.prefix.as_ref()).query("limit", self.limit).query("after", self.after.as_ref())
    }
}
