//! The part of the command line that makes several servers of one.

use clap::{Args, ValueEnum};

use crate::args::{Cores, TargetArgs};
use crate::engine::{DashboardsOn, Fault};
use crate::exit::Exit;
use crate::host::{ClusterSpec, Kind, RedisSpec};

/// Servers of one run, at most: beyond that one machine measures its scheduler.
const SERVERS_MAX: i64 = 64;

/// Several servers over one database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Start N servers on one PostgreSQL, instead of one server with SQLite
    #[arg(long, value_name = "N", conflicts_with = "url", value_parser = clap::value_parser!(u32).range(1..=SERVERS_MAX))]
    pub(crate) servers: Option<u32>,
    /// PostgreSQL for the servers, with a database for this run [default: start the installed one]
    #[arg(long, value_name = "URL", requires = "servers")]
    postgres: Option<String>,
    /// Redis that notifies the servers of new events, or none [default: start the installed one]
    #[arg(long, value_name = "URL|none", requires = "servers")]
    redis: Option<String>,
    /// Load balancer in front of the servers; with none, writers and sessions use the servers in turn [default: nginx, if
    /// installed]
    #[arg(long, value_enum, requires = "servers")]
    balancer: Option<Balancer>,
    /// Servers that the sessions connect to; with same and other, all writes go to the first server, without a load balancer
    #[arg(long, value_enum, value_name = "WHICH", requires = "servers")]
    dashboards_on: Option<DashboardsOn>,
}

/// What stands in front of several servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Balancer {
    /// An nginx, started for the run
    Nginx,
    /// No load balancer
    None,
}

impl ClusterArgs {
    pub(crate) fn dashboards_on(&self) -> DashboardsOn {
        self.dashboards_on.unwrap_or(DashboardsOn::Any)
    }

    /// What to start; `None` where there is one server.
    ///
    /// # Errors
    /// Usage, when the parts do not fit together.
    pub(crate) fn spec(&self, target: &TargetArgs, cores: &Cores, faults: &[Fault]) -> anyhow::Result<Option<ClusterSpec>> {
        let usage = |why: &str| Err(Exit::Usage.because(why));
        let Some(servers) = self.servers else {
            return if faults.iter().any(|fault| fault.needs_cluster()) {
                usage("--chaos: faults of Redis and PostgreSQL need --servers")
            } else {
                Ok(None)
            };
        };
        let redis = match self.redis.as_deref() {
            None => RedisSpec::Started,
            Some("none") => RedisSpec::None,
            Some(url) => RedisSpec::At(url.to_owned()),
        };
        let has = |wanted: fn(&Fault) -> bool| faults.iter().any(wanted);
        let cut = has(|fault| matches!(fault, Fault::RedisCut { .. }));
        if has(|fault| matches!(fault, Fault::RedisRestart { .. })) && redis != RedisSpec::Started {
            return usage("--chaos redis-restart needs a Redis that sambad-bench starts: omit --redis");
        }
        if cut && redis == RedisSpec::None {
            return usage("--chaos redis-cut needs a Redis");
        }
        if has(|fault| matches!(fault, Fault::PostgresRestart { .. })) && self.postgres.is_some() {
            return usage("--chaos postgres-restart needs a PostgreSQL that sambad-bench starts: omit --postgres");
        }
        let picked = self.dashboards_on() != DashboardsOn::Any;
        if picked && self.balancer == Some(Balancer::Nginx) {
            return usage("--dashboards-on same and --dashboards-on other need --balancer none");
        }
        if self.dashboards_on() == DashboardsOn::Other && servers < 2 {
            return usage("--dashboards-on other needs --servers 2 or more");
        }
        Ok(Some(ClusterSpec {
            servers,
            kind: target.server_bin.clone().map_or(Kind::Sambad, Kind::Program),
            args: target.server_args.iter().map(Into::into).collect(),
            cores: cores.server.clone(),
            // PostgreSQL takes time from both sides alike.
            service_cores: cores.server.iter().chain(&cores.generator).copied().collect(),
            folder: target.data_folder.clone(),
            postgres: self.postgres.clone(),
            redis,
            balancer: if picked { Some(false) } else { self.balancer.map(|balancer| balancer == Balancer::Nginx) },
            links: cut,
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn spec(words: &str) -> Result<Option<ClusterSpec>, String> {
        let words = ["sambad-bench", "run"].into_iter().chain(words.split_whitespace());
        let Some(Command::Run(run)) = Cli::try_parse_from(words).map_err(|error| error.to_string())?.command else {
            panic!("it is a run")
        };
        let cores = Cores { allowed: 2, server: vec![0], generator: vec![1] };
        run.cluster.spec(&run.target, &cores, &run.chaos).map_err(|error| error.to_string())
    }

    /// Goal: what is started is what was asked for. Method: command lines and what comes of them.
    #[test]
    fn clusters_are_as_asked_for() {
        assert!(spec("--chaos kill9=5s").unwrap().is_none());
        let cluster = spec("--servers 3 --chaos kill9=5s,redis-restart=7s").unwrap().unwrap();
        assert_eq!((cluster.servers, cluster.redis, cluster.balancer, cluster.links), (3, RedisSpec::Started, None, false));
        assert_eq!((cluster.cores, cluster.service_cores), (vec![0], vec![0, 1]));
        let cluster = spec("--servers 2 --redis redis://h --balancer nginx --chaos redis-cut=9s").unwrap().unwrap();
        assert_eq!((cluster.redis, cluster.balancer, cluster.links), (RedisSpec::At("redis://h".into()), Some(true), true));
        let cluster = spec("--servers 2 --redis none --dashboards-on other").unwrap().unwrap();
        assert_eq!((cluster.redis, cluster.balancer), (RedisSpec::None, Some(false)));
    }

    /// Goal: what cannot be done is said. Method: command lines and a word of each answer.
    #[test]
    fn what_does_not_fit_is_refused() {
        for (words, word) in [
            ("--chaos redis-restart=5s", "need --servers"),
            ("--servers 2 --redis none --chaos redis-cut=9s", "needs a Redis"),
            ("--servers 2 --redis redis://h --chaos redis-restart=9s", "omit --redis"),
            ("--servers 2 --postgres postgres://h/d --chaos postgres-restart=9s", "omit --postgres"),
            ("--servers 2 --dashboards-on same --balancer nginx", "--balancer none"),
            ("--servers 1 --dashboards-on other", "--servers 2"),
            ("--servers 0", "1..=64"),
        ] {
            let error = spec(words).unwrap_err();
            assert!(error.contains(word), "{words}: {error}");
        }
    }
}
