//! Several servers over one PostgreSQL, and what stands around them.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hyper::Uri;

use super::child::{Kind, ServerProcess, SharedStore, Spec};
use super::link::{Link, State};
use super::service::Service;
use super::usage::{self, Usage};

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSpec {
    pub(crate) servers: u32,
    /// Which server each is.
    pub(crate) kind: Kind,
    /// Arguments of each.
    pub(crate) args: Vec<std::ffi::OsString>,
    /// Cores that the servers share.
    pub(crate) cores: Vec<usize>,
    /// Cores of everything else.
    pub(crate) service_cores: Vec<usize>,
    /// Folder for the data of a PostgreSQL that is started; `None` for the system's temporary one.
    pub(crate) folder: Option<PathBuf>,
    /// PostgreSQL that runs; `None` starts one.
    pub(crate) postgres: Option<String>,
    pub(crate) redis: RedisSpec,
    /// Whether nginx stands in front; `None`: if it is installed.
    pub(crate) balancer: Option<bool>,
    /// Whether each server reaches its Redis by a link that can be cut.
    pub(crate) links: bool,
}

/// Which Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RedisSpec {
    /// One that is started for the run.
    Started,
    /// One that runs.
    At(String),
    /// None: the servers wake each other by PostgreSQL.
    None,
}

/// A running cluster; dropping it ends its processes.
#[derive(Debug)]
pub(crate) struct Cluster {
    // In this order: servers end before what they need.
    balancer: Option<Service>,
    servers: Vec<ServerProcess>,
    links: Vec<Link>,
    redis: Option<Service>,
    postgres: Option<Service>,
    has_redis: bool,
}

impl Cluster {
    /// Starts everything and waits until each server listens.
    ///
    /// # Errors
    /// When something cannot be started, with its last words.
    pub(crate) fn start(spec: ClusterSpec) -> anyhow::Result<Self> {
        let cores = &spec.service_cores;
        let postgres = match &spec.postgres {
            Some(_) => None,
            None => Some(Service::postgres(cores, spec.folder.as_deref())?),
        };
        let database = match (&spec.postgres, &postgres) {
            (Some(url), _) => url.clone(),
            (None, Some(service)) => format!("postgres://sambad@{}/postgres", service.address()),
            (None, None) => bail!("there is no PostgreSQL"),
        };
        let (redis, redis_url) = match &spec.redis {
            RedisSpec::None => (None, None),
            RedisSpec::At(url) => (None, Some(url.clone())),
            RedisSpec::Started => {
                let service = Service::redis(cores, None)?;
                let url = format!("redis://{}", service.address());
                (Some(service), Some(url))
            }
        };
        let (mut servers, mut links) = (Vec::new(), Vec::new());
        for _ in 0..spec.servers {
            let mut redis = redis_url.clone();
            if let (true, Some(url)) = (spec.links, &redis_url) {
                let link = Link::to(address_of(url)?)?;
                redis = Some(by_way_of(url, link.address())?);
                links.push(link);
            }
            servers.push(ServerProcess::start(Spec {
                kind: spec.kind.clone(),
                cores: spec.cores.clone(),
                args: spec.args.clone(),
                folder: None,
                shared: Some(SharedStore { database: database.clone(), redis }),
            })?);
        }
        let addresses: Vec<SocketAddr> = servers.iter().map(ServerProcess::address).collect();
        let balancer = if spec.balancer == Some(false) { None } else { Service::nginx(cores, &addresses)? };
        ensure!(
            spec.balancer != Some(true) || balancer.is_some(),
            "nginx is not installed: install it (Debian: apt install nginx), or use --balancer none"
        );
        Ok(Self { balancer, servers, links, redis, postgres, has_redis: redis_url.is_some() })
    }

    /// Where clients connect: the balancer, else each server.
    pub(crate) fn urls(&self) -> Vec<String> {
        match &self.balancer {
            Some(balancer) => vec![format!("http://{}", balancer.address())],
            None => self.servers.iter().map(ServerProcess::url).collect(),
        }
    }

    /// Servers that can be killed and paused.
    pub(crate) fn servers(&mut self) -> &mut [ServerProcess] {
        &mut self.servers
    }

    /// The links between servers and Redis, one a server; none where there are none.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// # Errors
    /// When it does not come back, or is not of this run.
    pub(crate) fn restart_redis(&mut self) -> anyhow::Result<Duration> {
        self.redis.as_mut().context("no Redis was started for this run")?.restart()
    }

    /// # Errors
    /// When it does not come back, or is not of this run.
    pub(crate) fn restart_postgres(&mut self) -> anyhow::Result<Duration> {
        self.postgres.as_mut().context("no PostgreSQL was started for this run")?.restart()
    }

    /// What all servers together have needed; `None` while one does not run.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let mut sum = Usage { cpu: Duration::ZERO, rss_bytes: 0 };
        for server in &self.servers {
            let usage = usage::of(server.pid()?)?;
            sum.cpu += usage.cpu;
            sum.rss_bytes += usage.rss_bytes;
        }
        Some(sum)
    }

    /// CPU time of each process that was started around the servers, by its name.
    pub(crate) fn services(&self) -> Vec<(&'static str, Duration)> {
        let services = [&self.postgres, &self.redis, &self.balancer].into_iter().flatten();
        services.filter_map(|service| Some((service.name(), service.cpu()?))).collect()
    }

    /// What it is made of, in words.
    pub(crate) fn description(&self, program: &str) -> String {
        let redis = if self.has_redis { " and Redis" } else { "" };
        let behind = if self.balancer.is_some() { " behind nginx" } else { "" };
        format!("{} × {program} over PostgreSQL{redis}{behind}", self.servers.len())
    }

    /// Says what is gone, if something is, with its last words.
    ///
    /// # Errors
    /// When something is gone.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            server.check()?;
        }
        [&mut self.balancer, &mut self.redis, &mut self.postgres].into_iter().flatten().try_for_each(Service::check)
    }

    /// Ends everything; a server that cannot end properly is a finding.
    ///
    /// # Errors
    /// When one failed as it ended.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        for link in &self.links {
            link.set(State::Open);
        }
        drop(self.balancer.take());
        self.servers.into_iter().try_for_each(ServerProcess::stop)
    }
}

/// Host and port of a `redis://` URL.
fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let uri: Uri = url.parse().ok().context("the Redis URL is invalid")?;
    ensure!(uri.scheme_str() == Some("redis"), "--chaos redis-cut needs a redis:// URL");
    let host = uri.host().context("the Redis URL has no host")?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(6379);
    let mut addresses = (host, port).to_socket_addrs().with_context(|| format!("{host} has no address"))?;
    addresses.next().with_context(|| format!("{host} has no address"))
}

/// The same URL at another address.
fn by_way_of(url: &str, address: SocketAddr) -> anyhow::Result<String> {
    let uri: Uri = url.parse().ok().context("the Redis URL is invalid")?;
    let authority = uri.authority().context("the Redis URL has no host")?.as_str();
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    let rest = uri.path_and_query().map_or("", |rest| rest.as_str());
    Ok(format!("redis://{user}{address}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a link takes the place of a Redis and of nothing else in its URL. Method: URLs and what becomes of them.
    #[test]
    fn links_stand_in_urls() {
        let link = "127.0.0.1:7000".parse().unwrap();
        for (url, port, linked) in [
            ("redis://127.0.0.1", 6379, "redis://127.0.0.1:7000/"),
            ("redis://127.0.0.1:1234", 1234, "redis://127.0.0.1:7000/"),
            ("redis://user:pass@[::1]:5/3", 5, "redis://user:pass@127.0.0.1:7000/3"),
        ] {
            assert_eq!(address_of(url).unwrap().port(), port);
            assert_eq!(by_way_of(url, link).unwrap(), linked);
        }
        for url in ["rediss://127.0.0.1", "unix:///run/redis", "nonsense"] {
            let error = format!("{:#}", address_of(url).unwrap_err());
            assert!(error.contains("Redis") || error.contains("redis"), "{error}");
        }
    }
}
