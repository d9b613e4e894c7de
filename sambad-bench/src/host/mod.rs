//! Servers that this program starts on this machine, and what the machine tells about them.

mod child;
mod cluster;
pub(crate) mod disk;
mod hosted;
pub(crate) mod interrupt;
pub(crate) mod limits;
mod link;
mod machine;
pub(crate) mod pin;
mod process;
mod service;
pub(crate) mod usage;

pub(crate) use child::{Kind, ServerProcess, Spec};
pub(crate) use cluster::{Cluster, ClusterSpec, RedisSpec};
pub(crate) use hosted::{HostedArgs, SUBCOMMAND as HOSTED, run_hosted};
pub(crate) use link::State as LinkState;
pub(crate) use machine::{machine, tool};
