//! One file a subcommand: its arguments, and what it does.

pub(crate) mod compare;
pub(crate) mod connect;
pub(crate) mod find_max;
pub(crate) mod report;
mod run;
pub(crate) mod simulate;
