//! `doctor`: what stands between this machine and a server, examined from outside.
//!
//! Each file examines one thing and gives a [`Finding`](finding::Finding); this one decides what still makes sense to ask.

use std::time::Duration;

use clap::Args;
use sambad_client::Client;

use crate::exit::Exit;
use crate::output::Output;
use crate::values;

mod access;
mod clock;
mod ending;
mod environment;
mod finding;
mod greeting;
mod pings;
mod poll;
mod quiet;
mod reach;
mod report;
mod socket;
mod sse;
mod target;

use clock::Clock;
use report::Report;
use target::Target;

/// How patient the examination is.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DoctorArgs {
    /// How long to hold quiet connections, to see whether they are cut; 0s skips this test
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::duration)]
    hold: Duration,
    /// Time limit of every other test
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    timeout: Duration,
}

const AFTER_HELP: &str = "\
Run it on the clients' network, with the URL that they use. It shows how proxies, firewalls and load balancers on the path \
handle WebSockets, event streams, long polls and quiet (idle) connections. It writes nothing to the server. `sambad-server \
check` checks a server on its own machine.

Exit code: 0 if there is no fault (warnings do not count), 1 otherwise.";

impl DoctorArgs {
    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<Exit> {
        let mut report = Report::new(output);
        self.examine(client, &Target::new(client, self.timeout)?, &mut report).await?;
        report.end()
    }

    async fn examine(&self, client: &Client, target: &Target, report: &mut Report<'_>) -> anyhow::Result<()> {
        if let Some(finding) = environment::examine(target) {
            report.tell(finding)?;
        }
        let Some(addresses) = report.take(reach::look_up(target).await)? else { return Ok(()) };
        if report.take(reach::connect(target, &addresses).await)?.is_none() {
            return Ok(());
        }
        // Something else than Sambad would only fail the same way ten times more.
        let Some(server) = report.take(reach::server(client, target).await)? else { return Ok(()) };
        report.tell(reach::readiness(client, target).await)?;
        if report.take(access::examine(client, target.limit).await)?.is_none() {
            return Ok(());
        }

        let mut clock = Clock::default();
        let socket = report.take(socket::examine(target, &mut clock).await)?;
        // One over which nothing comes back would only be silent for longer.
        let mut upgrades = false;
        if let Some(mut socket) = socket {
            upgrades = report.take(pings::application(&mut socket, target.limit).await)?.is_some();
            if upgrades {
                report.tell(pings::protocol(&mut socket, target.limit).await)?;
                socket.close().await;
            }
        }
        let streams = report.take(sse::examine(target, server.took, &mut clock).await)?.is_some();
        if let Some(head) = server.head {
            report.tell(poll::examine(client, head, target.limit).await)?;
        }
        if !self.hold.is_zero() {
            for finding in quiet::examine(target, self.hold, quiet::What { upgrades, streams }, report).await {
                report.tell(finding)?;
            }
        }
        clock.finding().map_or(Ok(()), |finding| report.tell(finding))
    }
}
