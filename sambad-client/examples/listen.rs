//! Prints the first message that is sent after a cursor: `listen URL CURSOR`.
#![expect(clippy::print_stdout, reason = "the event is this program's output")]

use std::env;

use sambad_client::model::Message;
use sambad_client::{Client, Cursor, EventKind, EventStreamOptions, Item};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::args().nth(1).ok_or("usage: listen URL CURSOR")?;
    let cursor: Cursor = env::args().nth(2).ok_or("usage: listen URL CURSOR")?.parse()?;

    let options = EventStreamOptions { after: Some(cursor.into()), ..EventStreamOptions::default() };
    let mut stream = Client::new(&url)?.stream(options);
    while let Some(item) = stream.next().await {
        match item? {
            Item::Event(event) if event.kind() == Some(EventKind::MessageSent) => {
                let message: Message = event.decode()?;
                println!("event {}: {} wrote: {}", event.seq, message.from_username, message.content);
                break;
            }
            Item::Resync(resync) => println!("events are missing: reload your data, then continue from {}", resync.cursor),
            _ => {}
        }
    }
    Ok(())
}
