//! A Redis between servers.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use rustix::process::Signal;

use super::{Place, Program, Service, find};

impl Service {
    /// A Redis that keeps nothing.
    ///
    /// # Errors
    /// When there is none to start, or it does not start.
    pub(crate) fn redis(cores: &[usize], parent: Option<&Path>) -> anyhow::Result<Self> {
        let path = find("redis-server").context(
            "there is no Redis to start: no redis-server on the PATH; install it (Debian: apt install redis-server), name one \
             that runs with --redis URL, or do without by --redis none",
        )?;
        let place = Place::new(parent)?;
        let port = place.address.port().to_string();
        let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"];
        let args = args.into_iter().map(OsString::from).chain([place.folder.path().into()]).collect();
        let program =
            Program { name: "Redis", path, args, account: None, mark: "Ready to accept connections", stop: Signal::TERM };
        Self::start(program, place, cores)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::super::tests::ask;
    use super::*;

    /// Goal: a Redis starts, comes back at the same address, and is gone with its folder. Method: PING before and after.
    #[test]
    fn redis_comes_back() {
        let mut redis = Service::redis(&[], None).unwrap();
        let (address, folder) = (redis.address(), redis.place.folder.path().to_owned());
        assert_eq!(ask(address, "PING\r\n"), "+PONG\r\n");
        assert!(redis.restart().unwrap() > Duration::ZERO);
        assert_eq!(ask(redis.address(), "PING\r\n"), "+PONG\r\n");
        assert!(redis.address() == address && redis.check().is_ok() && redis.cpu().is_some());
        drop(redis);
        assert!(TcpStream::connect(address).is_err() && !folder.exists());
    }
}
