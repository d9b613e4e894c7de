//! The contract for machines: what is said over HTTP (OpenAPI) and in frames (AsyncAPI), made of the code's own tables.

pub(crate) mod asyncapi;
pub(crate) mod openapi;
mod refusals;
pub(crate) mod schema;
