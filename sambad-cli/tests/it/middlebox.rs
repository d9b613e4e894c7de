//! What may stand between a program and a server, with one bad habit each.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does that it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing.
    None,
    /// Passes requests on without what asks for an upgrade.
    StripsUpgrades,
    /// Answers upgrades itself.
    Answers(&'static str),
    /// Cuts connections on which nothing happens for this long.
    CutsQuiet(Duration),
    /// Passes nothing on once nothing has happened for this long, and ends neither side.
    ForgetsQuiet(Duration),
    /// Passes event streams on when they are complete.
    HoldsStreamsBack,
    /// Passes the head of an event stream on, and the rest never.
    HoldsMessagesBack,
    /// Passes event streams on so much later.
    DelaysStreams(Duration),
    /// Passes the server's frames on as if its clock were a century ahead.
    ChangesTimes,
    /// Accepts an upgrade, and of what follows it passes nothing to the server.
    SwallowsFrames,
}

const NEVER: Duration = Duration::from_secs(3600);

/// Starts one before `server`, and gives its address.
pub(crate) async fn middlebox(server: &str, habit: Habit) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move { pass(client, &server, habit).await });
        }
    });
    url
}

/// Serves one connection, which carries one request.
async fn pass(mut client: TcpStream, server: &str, habit: Habit) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let upgrade = head.to_lowercase().contains("upgrade: websocket");
    if let (Habit::Answers(answer), true) = (habit, upgrade) {
        return client.write_all(answer.as_bytes()).await;
    }
    let mut upstream = TcpStream::connect(server).await?;
    let kept = upgrade && habit != Habit::StripsUpgrades;
    upstream.write_all(if kept { head.clone() } else { alone(&head) }.as_bytes()).await?;
    let mut answer = Vec::new();
    match habit {
        _ if !head.contains("/api/events/stream") => {}
        Habit::HoldsStreamsBack => {
            upstream.read_to_end(&mut answer).await?;
            return client.write_all(&answer).await;
        }
        Habit::HoldsMessagesBack => {
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(upstream.read_u8().await?);
            }
            client.write_all(&answer).await?;
            std::future::pending().await
        }
        Habit::DelaysStreams(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    let quiet = if let Habit::CutsQuiet(quiet) | Habit::ForgetsQuiet(quiet) = habit { quiet } else { NEVER };
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read? {
                0 => return Ok(()),
                _ if habit == Habit::SwallowsFrames => {}
                read => upstream.write_all(&up[..read]).await?,
            },
            read = upstream.read(&mut down) => match read? {
                0 => return Ok(()),
                read if habit == Habit::ChangesTimes => client.write_all(&a_century_ahead(&down[..read])).await?,
                read => client.write_all(&down[..read]).await?,
            },
            () = tokio::time::sleep(quiet) => match habit {
                Habit::ForgetsQuiet(_) => std::future::pending().await,
                _ => return Ok(()),
            },
        }
    }
}

/// The bytes with the century of their times changed; they stay as long as their frame's header says.
fn a_century_ahead(bytes: &[u8]) -> Vec<u8> {
    const BEFORE: &[u8] = br#""timestamp":"20"#;
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(BEFORE.len()).position(|window| window == BEFORE) {
        bytes[at + BEFORE.len() - 1] = b'1';
    }
    bytes
}

/// A request without an upgrade, as the only one of its connection.
fn alone(head: &str) -> String {
    let hop = ["connection:", "upgrade:"];
    let lines = head.trim_end().split("\r\n").filter(|line| !hop.iter().any(|name| line.to_lowercase().starts_with(name)));
    lines.chain(["connection: close\r\n\r\n"]).collect::<Vec<_>>().join("\r\n")
}
