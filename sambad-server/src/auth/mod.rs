//! Who may come in, and who may do what.

mod principal;

pub(crate) use principal::{Principal, Role};
