//! Whether somebody is there, and whether that is a Sambad.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sambad_client::{Answer, Client, Error, Health, Seq};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::{Finding, Trouble, span};
use super::target::Target;

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Seconds that the log may be ahead of the server's clock: servers of one database may differ.
const LOG_AHEAD_MAX_S: u64 = 5;

const NAME: &str = "name";
const TCP: &str = "TCP connection";
const SERVER: &str = "server";
const READINESS: &str = "readiness";

/// What is known of the server once it has answered.
#[derive(Debug)]
pub(super) struct Server {
    /// How long an answer takes on this way.
    pub(super) took: Duration,
    pub(super) head: Option<Seq>,
}

/// Looks the name up.
pub(super) async fn look_up(target: &Target) -> (Finding, Option<Vec<SocketAddr>>) {
    const ADVICE: &str = "check the spelling of --server, /etc/hosts and the name server (/etc/resolv.conf)";
    let (host, begun) = (target.host(), Instant::now());
    let trouble = match timeout(target.limit, lookup_host((host, target.port()))).await {
        Ok(Ok(found)) => {
            let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
            if !addresses.is_empty() {
                let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
                let detail = if host.parse::<IpAddr>().is_ok() {
                    format!("{host} is an IP address")
                } else {
                    format!("{host} resolves to {} (in {})", list.join(", "), span(begun.elapsed()))
                };
                return (Finding::fine(NAME, detail).fact("addresses", list), Some(addresses));
            }
            Trouble::new(format!("{host} has no address"), ADVICE)
        }
        Ok(Err(error)) => Trouble::new(format!("{host}: {error}"), ADVICE),
        Err(_) => Trouble::new(format!("{host}: no response within {}", span(target.limit)), ADVICE),
    };
    (Finding::fault(NAME, trouble), None)
}

/// Connects to the first address that lets us.
pub(super) async fn connect(target: &Target, addresses: &[SocketAddr]) -> (Finding, Option<()>) {
    let each = target.limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let (mut failed, mut refused) = (Vec::new(), false);
    for address in addresses {
        let begun = Instant::now();
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let took = begun.elapsed();
                failed.insert(0, format!("{address} in {}", span(took)));
                return (Finding::fine(TCP, failed.join("; ")).time("connect_ms", took), Some(()));
            }
            Ok(Err(error)) => {
                refused |= error.kind() == std::io::ErrorKind::ConnectionRefused;
                failed.push(format!("{address}: {error}"));
            }
            Err(_) => failed.push(format!("{address}: no response within {}", span(each))),
        }
    }
    let advice = if refused {
        "no program listens there: start the server, or check the port\na server that listens on 127.0.0.1 accepts connections \
         from its own machine only"
    } else {
        "the machine does not respond at this port: check the address, the firewall and the security group"
    };
    (Finding::fault(TCP, Trouble::new(failed.join("; "), advice)), None)
}

/// Asks for the server's health; the answer also tells whether it is a Sambad.
pub(super) async fn server(client: &Client, target: &Target) -> (Finding, Option<Server>) {
    let begun = Instant::now();
    let answer = timeout(target.limit, client.health()).await;
    let took = begun.elapsed();
    let trouble = match answer {
        // Others also have a health to tell; what the store is doing only Sambad says.
        Ok(Ok(answer)) if !answer.value.database.is_empty() => {
            let head = answer.value.head;
            return (health(&answer, took), Some(Server { took, head }));
        }
        Ok(Ok(answer)) => not_sambad(&format!("its health is {}", brief(answer.json.get()))),
        Ok(Err(Error::Api { status: 502..=504, code, message, .. })) if code.is_empty() => Trouble::new(
            format!("a proxy responds, but cannot reach the server behind it: {message}"),
            "check the proxy's upstream address, and the server on its own machine",
        ),
        Ok(Err(error)) if error.api_code().is_some() || matches!(error, Error::Protocol { .. }) => {
            not_sambad(&format!("GET /api/health: {error}"))
        }
        Ok(Err(error)) => Trouble::new(format!("no HTTP response: {error}"), NO_HTTP),
        Err(_) => Trouble::new(
            format!("connected, but no response within {}", span(target.limit)),
            "the process hangs, or the program that listens there expects another protocol (TLS?)",
        ),
    };
    (Finding::fault(SERVER, trouble), None)
}

const NO_HTTP: &str = "\
the program that listens there does not speak HTTP (or HTTPS), or a proxy or firewall cuts the connection
if the error names a certificate: --ca-file trusts it, and --server must have a name that the certificate has";

fn not_sambad(what: &str) -> Trouble {
    Trouble::new(
        format!("not a Sambad server: {what}"),
        "another program listens there, or a proxy does not forward /api: check the host, the port and the path of --server",
    )
}

fn health(answer: &Answer<Health>, took: Duration) -> Finding {
    let Health { status, database, version, head, writable, log_ahead_s, .. } = &answer.value;
    let version = if version.is_empty() { "unknown" } else { version };
    let mut detail = format!("{status}, version {version}");
    if let Some(head) = head {
        detail += &format!(", head {head}");
    }
    let finding = if !answer.value.is_healthy() {
        let detail = format!("{detail}, database {database}");
        Finding::fault(SERVER, Trouble::new(detail, "run `sambad-server check` on its machine, and check its log"))
    } else if *writable == Some(false) {
        let advice = "its disk is full or fails: run `sambad-server check` on its machine; reads continue meanwhile";
        Finding::fault(SERVER, Trouble::new(format!("{detail}, and its last write did not reach the disk"), advice))
    } else if let Some(ahead) = log_ahead_s.filter(|ahead| *ahead > LOG_AHEAD_MAX_S) {
        let advice = "its clock is or was wrong: run `sambad-server check` on its machine, and see docs/guides/production.md";
        let detail = format!("{detail}, and its last event is {} ahead of its clock", span(Duration::from_secs(ahead)));
        Finding::fault(SERVER, Trouble::new(format!("{detail}: all events get the same timestamp"), advice))
    } else {
        Finding::fine(SERVER, format!("{detail}, responded in {}", span(took)))
    };
    let head = head.map(|head| head.0);
    finding
        .fact("version", version)
        .fact("head", head)
        .fact("writable", *writable)
        .fact("log_ahead_s", *log_ahead_s)
        .time("answer_ms", took)
}

/// Asks whether the server wants traffic.
pub(super) async fn readiness(client: &Client, target: &Target) -> Finding {
    let (detail, advice) = match timeout(target.limit, client.ready()).await {
        Ok(Ok(true)) => return Finding::fine(READINESS, "accepts traffic"),
        Ok(Ok(false)) => {
            ("not ready: it is starting, draining, or cannot read its database".into(), "run the doctor again in a few seconds")
        }
        Ok(Err(error)) => (format!("GET /readyz: {error}"), "clients do not need it; a load balancer does"),
        Err(_) => (format!("no response within {}", span(target.limit)), "clients do not need it; a load balancer does"),
    };
    Finding::warning(READINESS, detail, advice)
}

/// The beginning of a text that somebody else wrote, fit for one line.
fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut brief: String = text.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        brief.push('…');
    }
    brief
}
