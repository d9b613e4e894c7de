use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use super::*;

/// Longer than anything here takes, so that a failure is a failure and not a wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a floor in a thread that ends with the process.
fn floor() -> SocketAddr {
    let (mut floor, address) = Floor::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    thread::spawn(move || floor.serve());
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn subscribe(address: SocketAddr) -> WebSocket<TcpStream> {
    client(format!("ws://{address}/ws?after=0"), connect(address)).unwrap().0
}

fn post(body: &str) -> Vec<u8> {
    format!("POST /api/contacts HTTP/1.1\r\nHost: floor\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn expect_answer(stream: &mut TcpStream) {
    let mut answer = vec![0; ANSWER.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ANSWER);
}

fn expect_text(session: &mut WebSocket<TcpStream>, body: &str) {
    assert!(session.read().unwrap() == Message::text(body), "another message than {:?}…", &body[..body.len().min(20)]);
}

/// Goal: every session gets every body once, however the requests arrive.
/// Method: tungstenite sessions; a POST byte by byte, several in one write, the largest body, one connection for all.
#[test]
fn delivers_whatever_the_pieces() {
    let address = floor();
    let mut sessions = [subscribe(address), subscribe(address), subscribe(address)];
    let mut writer = connect(address);
    writer.set_nodelay(true).unwrap();
    for byte in post("in pieces") {
        writer.write_all(&[byte]).unwrap();
    }
    expect_answer(&mut writer);
    let tail = post("three");
    let (head, tail) = tail.split_at(30);
    writer.write_all(&[post("one").as_slice(), &post(""), head].concat()).unwrap();
    expect_answer(&mut writer);
    expect_answer(&mut writer);
    // A ping is no reason to answer, nor to end.
    sessions[0].send(Message::Ping("?".into())).unwrap();
    writer.write_all(tail).unwrap();
    expect_answer(&mut writer);
    let largest = "x".repeat(request::BODY_BYTES_MAX);
    writer.write_all(&post(&largest)).unwrap();
    expect_answer(&mut writer);
    for session in &mut sessions {
        for body in ["in pieces", "one", "", "three", &largest] {
            expect_text(session, body);
        }
    }
}

/// Goal: what it cannot answer ends the connection, and only that one. Method: bad requests, then a good one.
#[test]
fn ends_what_it_cannot_answer() {
    let address = floor();
    let mut session = subscribe(address);
    for request in
        [post(&"x".repeat(request::BODY_BYTES_MAX + 1)), b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"PUT / HTTP/1.1\r\n\r\n".to_vec()]
    {
        let mut writer = connect(address);
        writer.write_all(&request[..request.len().min(1000)]).unwrap();
        assert_eq!(writer.read(&mut [0; 1]).unwrap(), 0);
    }
    let mut writer = connect(address);
    writer.write_all(&post("still there")).unwrap();
    expect_answer(&mut writer);
    expect_text(&mut session, "still there");
}

/// Goal: sessions that leave disturb nobody, and their places are used again.
/// Method: of ten sessions some leave, with and without goodbye, others come; each event's receivers are read.
#[test]
fn sessions_come_and_go() {
    let address = floor();
    let mut writer = connect(address);
    let mut sessions: Vec<_> = (0..10).map(|_| subscribe(address)).collect();
    for round in 0..5 {
        let mut leaving = sessions.remove(round);
        leaving.close(None).unwrap();
        while leaving.read().is_ok() {}
        drop(sessions.swap_remove(0));
        sessions.push(subscribe(address));
        let body = format!("round {round}");
        writer.write_all(&post(&body)).unwrap();
        expect_answer(&mut writer);
        for session in &mut sessions {
            expect_text(session, &body);
        }
    }
    assert_eq!(sessions.len(), 5);
}

/// Goal: a full socket loses whole frames and never a part of one, and gets frames again when it is read.
/// Method: one session that does not read until the floor must have dropped frames, then reads them all; one that reads.
#[test]
fn a_full_socket_gets_whole_frames_or_none() {
    const EVENTS: usize = 1000;
    let address = floor();
    let (mut slow, mut quick) = (subscribe(address), subscribe(address));
    let mut writer = connect(address);
    let body = |number: usize| format!("{number} {}", "x".repeat(20_000));
    // 20 MB are more than the kernel keeps for a socket of a reader that does not read.
    for number in 0..EVENTS {
        writer.write_all(&post(&body(number))).unwrap();
        expect_answer(&mut writer);
        expect_text(&mut quick, &body(number));
    }
    let reading = thread::spawn(move || {
        let mut seen = Vec::new();
        while let Ok(message) = slow.read() {
            let text = message.into_text().unwrap();
            let number: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert!(*text == *body(number), "{number} is not whole");
            seen.push(number);
            if number >= EVENTS {
                break;
            }
        }
        seen
    });
    // What is sent while the socket is still full is dropped: until one arrives.
    let mut number = EVENTS;
    while !reading.is_finished() {
        writer.write_all(&post(&format!("{number} {}", "x".repeat(20_000)))).unwrap();
        expect_answer(&mut writer);
        number += 1;
    }
    let seen = reading.join().unwrap();
    assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(seen.len() < EVENTS && seen.last().is_some_and(|last| *last >= EVENTS), "{} seen", seen.len());
}
