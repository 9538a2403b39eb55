//! The limit: a server that reads so many bytes, writes so many bytes, and does nothing else.
//!
//! A client's first sixteen bytes say how many of each. A thread for each connection, blocking:
//! nothing that serves one call at a time on a socket does less.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value as Json, json};

/// A peer that announces more is not ours.
const MAX_MESSAGE_BYTES: u64 = 1 << 30;

/// Serves for ever; the port is told on standard output.
pub(crate) fn serve_forever() -> Result<Json, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("{}", json!({ "address": address.to_string() }));
    for stream in listener.incoming() {
        let stream = stream.map_err(|error| format!("cannot accept: {error}"))?;
        std::thread::spawn(move || serve_connection(stream));
    }
    Ok(Json::Null)
}

/// Ends with the connection.
fn serve_connection(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut lengths = [[0; 8]; 2];
    for length in &mut lengths {
        stream.read_exact(length).ok()?;
    }
    let [request, answer] = lengths.map(u64::from_be_bytes);
    if request.max(answer) > MAX_MESSAGE_BYTES {
        return None;
    }
    let mut request = vec![0; usize::try_from(request).ok()?];
    let answer = vec![0; usize::try_from(answer).ok()?];
    loop {
        stream.read_exact(&mut request).ok()?;
        stream.write_all(&answer).ok()?;
    }
}
