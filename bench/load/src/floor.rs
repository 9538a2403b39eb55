//! Floor server: the least that a call of a Python driver takes through a daemon.
//!
//! Two bare hops: a frame of the client is passed on as a frame of `marshal` to a Python loop
//! (`bench/floor.py`), which calls the driver and answers with another. Nothing but lengths is
//! decoded. The client gets the answer that a real server gave to the same call before, so that
//! every client takes this server for a daemon. One call at a time, on blocking sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde_json::{Value as Json, json};
use wire::message::HEADER_LEN;

use crate::job::CallTarget;
use crate::requests;

/// Offsets in a message's header: its type, its sequence number, the lengths of its two parts.
const TYPE: usize = 6;
const SEQUENCE: usize = 10;
const LENGTHS: [usize; 2] = [12, 16];
/// Type of a client's handshake.
const CONNECT: u8 = 1;
/// Bytes of a frame's length and of the head of `bytes` in marshal.
const FRAME_HEAD: usize = 4 + 5;
/// Largest message or frame in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// Size of the first read of a message or a frame in bytes: mostly the only one.
const READ_BYTES: usize = 64 * 1024;

/// Serves a call for ever, after printing its address. Standard input is the socket of the Python
/// loop, and `target` the server that is asked for the messages.
pub(crate) fn serve_call(target: &CallTarget) -> Result<Json, String> {
    let (mut handshake, mut answer) = requests::record_messages(target)?;
    let failed = |error: std::io::Error| error.to_string();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let mut python = UnixStream::from(socket);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    println!("{}", json!({ "address": address.to_string() }));
    for stream in listener.incoming() {
        let stream = stream.map_err(|error| format!("cannot accept: {error}"))?;
        serve_connection(stream, &mut python, &mut handshake, &mut answer);
    }
    Ok(Json::Null)
}

/// Serves a connection until it ends.
fn serve_connection(
    mut stream: TcpStream,
    python: &mut UnixStream,
    handshake: &mut [u8],
    answer: &mut [u8],
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    // The message begins where the frame for Python has its content, so that nothing is copied.
    let mut request = vec![0; FRAME_HEAD + READ_BYTES];
    let mut frame = vec![0; READ_BYTES];
    loop {
        let length = read_message(&mut stream, &mut request).ok()?;
        let message = request.get(FRAME_HEAD..FRAME_HEAD + length)?;
        let kind = *message.get(TYPE)?;
        let sequence = <[u8; 2]>::try_from(message.get(SEQUENCE..SEQUENCE + 2)?).ok()?;
        if kind == CONNECT {
            repeat_sequence(handshake, sequence);
            stream.write_all(handshake).ok()?;
            continue;
        }
        let [content, bytes] = [length + 5, length].map(u32::try_from);
        request.get_mut(..4)?.copy_from_slice(&content.ok()?.to_be_bytes());
        *request.get_mut(4)? = b's';
        request.get_mut(5..FRAME_HEAD)?.copy_from_slice(&bytes.ok()?.to_le_bytes());
        python.write_all(request.get(..FRAME_HEAD + length)?).ok()?;
        read_frame(python, &mut frame).ok()?;
        repeat_sequence(answer, sequence);
        stream.write_all(answer).ok()?;
    }
}

fn repeat_sequence(message: &mut [u8], sequence: [u8; 2]) {
    if let Some(place) = message.get_mut(SEQUENCE..SEQUENCE + 2) {
        place.copy_from_slice(&sequence);
    }
}

/// Reads a message to the place that a frame's content has; returns its length.
fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    read_announced(stream, buffer, FRAME_HEAD, HEADER_LEN, |header| {
        let part = |at: usize| header.get(at..at + 4).and_then(|part| part.try_into().ok());
        let parts = LENGTHS.map(|at| part(at).map_or(0, u32::from_be_bytes) as usize);
        parts.iter().sum()
    })
}

/// Reads a frame of the Python loop; returns its length.
fn read_frame(socket: &mut UnixStream, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    read_announced(socket, buffer, 0, 4, |head| {
        head.try_into().map_or(0, u32::from_be_bytes) as usize
    })
}

/// Reads a head of so many bytes and what it announces into `buffer`, from `start` on; in one read
/// if all is there. Returns the length of both.
fn read_announced(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    start: usize,
    head: usize,
    announced: impl Fn(&[u8]) -> usize,
) -> std::io::Result<usize> {
    let (mut done, mut end) = (start, start + head);
    loop {
        let read = stream.read(buffer.get_mut(done..).unwrap_or_default())?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        done += read;
        if done >= start + head {
            let length = announced(buffer.get(start..start + head).unwrap_or_default());
            if length > MAX_MESSAGE_BYTES {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            end = start + head + length;
            if buffer.len() < end {
                buffer.resize(end, 0);
            }
        }
        if done >= end {
            return Ok(done - start);
        }
    }
}
