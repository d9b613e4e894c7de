//! The little HTTP that the floor server understands.

use std::ops::Range;

/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a request's body, at most.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

/// What the bytes that a client sent begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// A part of a request.
    Incomplete,
    /// A GET that asks for a WebSocket, with its `Sec-WebSocket-Key`.
    Upgrade(&'a [u8]),
    /// A POST, with where its body lies and, as its end, where the next request begins.
    Publish(Range<usize>),
    /// Nothing that is answered here.
    Refused,
}

/// Reads the first request of `bytes`.
pub(super) fn first(bytes: &[u8]) -> Request<'_> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Request::Refused } else { Request::Incomplete };
    };
    let head = &bytes[..head_end];
    if head_end > HEAD_BYTES_MAX {
        Request::Refused
    } else if head.starts_with(b"GET ") {
        header(head, b"sec-websocket-key").map_or(Request::Refused, Request::Upgrade)
    } else if head.starts_with(b"POST ") {
        let length = header(head, b"content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let Some(length @ 0..=BODY_BYTES_MAX) = length else { return Request::Refused };
        let body = head_end + 4..head_end + 4 + length;
        if bytes.len() < body.end { Request::Incomplete } else { Request::Publish(body) }
    } else {
        Request::Refused
    }
}

/// The value of the header of that name, which is in lower case.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name).then(|| line[colon + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a request is found however it is written, and nothing else is one. Method: texts and what they are.
    #[test]
    fn reads_requests() {
        for (text, expected) in [
            ("", Request::Incomplete),
            ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r", Request::Incomplete),
            ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{", Request::Incomplete),
            ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}POST", Request::Publish(39..41)),
            ("POST / HTTP/1.1\r\nx: y\r\ncontent-LENGTH:0  \r\n\r\n", Request::Publish(45..45)),
            ("GET /ws?after=0 HTTP/1.1\r\nsec-websocket-key: abc \r\n\r\n", Request::Upgrade(b"abc")),
            ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", Request::Refused),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Request::Refused),
            ("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", Request::Refused),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Request::Refused),
            ("DELETE / HTTP/1.1\r\n\r\n", Request::Refused),
        ] {
            assert_eq!(first(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(first(&[b'x'; HEAD_BYTES_MAX + 1]), Request::Refused);
    }
}
