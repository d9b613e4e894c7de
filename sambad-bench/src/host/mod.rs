//! Servers that this program starts on this machine, and what the machine tells about them.

mod child;
pub(crate) mod disk;
mod hosted;
pub(crate) mod interrupt;
pub(crate) mod limits;
mod machine;
pub(crate) mod pin;
pub(crate) mod usage;

pub(crate) use child::{Kind, ServerProcess, Spec};
pub(crate) use hosted::{HostedArgs, run_hosted};
pub(crate) use machine::{machine, tool};
