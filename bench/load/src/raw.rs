//! Baseline server: reads a fixed number of bytes, writes a fixed number, and does nothing else.
//!
//! A client's first 16 bytes are the two numbers. The server has a blocking thread per connection,
//! which is the least work for one call at a time on a socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value as Json, json};

/// Largest message in bytes. A client of ours announces less.
const MAX_MESSAGE_BYTES: u64 = 1 << 30;

/// Serves for ever, after printing its address.
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

/// Serves a connection until it ends.
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
