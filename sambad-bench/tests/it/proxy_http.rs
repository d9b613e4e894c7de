//! The proxy's HTTP: requests and answers with a `Content-Length`, and what becomes of an answer.

use std::io::{Error, ErrorKind, Result};

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What happens to a write and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    Pass,
    /// Carried out, and answered with this status and code.
    Answer(u16, &'static str),
    /// Carried out, and acknowledged as the event after the one that it caused.
    OtherSeq,
    /// Carried out, and the connection closed instead of an answer.
    Close,
    /// Carried out, and the connection closed within the answer.
    CutAnswer,
    /// Not carried out, and the connection closed.
    CloseBefore,
    /// Not carried out, and refused.
    Refuse,
    /// Not carried out, and acknowledged as the event that was acknowledged last.
    Pretend,
}

impl Treatment {
    pub(crate) fn reaches_server(self) -> bool {
        !matches!(self, Self::CloseBefore | Self::Refuse | Self::Pretend)
    }
}

/// A request or an answer.
#[derive(Debug)]
pub(crate) struct Message {
    /// First line and headers, with the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What the client gets.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) message: Message,
    pub(crate) is_whole: bool,
}

impl Message {
    pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head).await? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "closed"));
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "not understood: {head}");
        let mut body = vec![0; length.unwrap_or(0)];
        from.read_exact(&mut body).await?;
        Ok(Self { head, body })
    }

    pub(crate) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let bytes = [self.head.as_bytes(), &self.body].concat();
        to.write_all(&bytes).await
    }

    /// Whether this is a write of the load: a message or a contact.
    pub(crate) fn is_load(&self) -> bool {
        ["POST /api/messages ", "POST /api/contacts "].iter().any(|begin| self.head.starts_with(begin))
    }

    fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        Self { head, body }
    }

    fn seq(&self) -> Option<u64> {
        serde_json::from_slice::<Value>(&self.body).ok()?["seq"].as_u64()
    }
}

/// What the client gets for what the server answered; nothing means that the connection is closed.
pub(crate) fn answer(treatment: Treatment, answered: Option<Message>, last_seq: &mut u64) -> Option<Given> {
    let seq = answered.as_ref().and_then(Message::seq);
    let acknowledged = |seq| Message::json(201, &serde_json::json!({ "id": "x", "seq": seq }));
    let error = |status, code| Message::json(status, &serde_json::json!({ "error": "as the test says", "code": code }));
    let message = match treatment {
        Treatment::Pass => {
            *last_seq = seq.unwrap_or(*last_seq);
            answered?
        }
        Treatment::Answer(status, code) => error(status, code),
        Treatment::Refuse => error(400, "invalid_field"),
        Treatment::OtherSeq => acknowledged(seq? + 1),
        Treatment::Pretend => acknowledged(*last_seq),
        Treatment::Close | Treatment::CloseBefore => return None,
        Treatment::CutAnswer => {
            let Message { head, mut body } = answered?;
            body.truncate(body.len() / 2);
            return Some(Given { message: Message { head, body }, is_whole: false });
        }
    };
    Some(Given { message, is_whole: true })
}
