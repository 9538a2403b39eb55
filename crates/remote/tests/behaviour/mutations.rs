//! Packets with a few wrong bytes, sent to a daemon that must not mind.
//!
//! A short run each time; with `FERROLAB_TEST_EXTENDED=1` (`cargo xtask test --extended`) it is
//! 100,000 packets for each serializer.

use remote::{DaemonConfig, Limits, Location, Serializer, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::message::{HEADER_LEN, Header, MessageType};
use wire::serializer::CallRef;
use wire::value::Dict;

use crate::common::{Serving, WAIT_DEADLINE, frame, hello};

/// A small generator: the same packets in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn packet(serializer: Serializer, random: &mut Random) -> Vec<u8> {
    let mut dict = Dict::new();
    dict.insert("key", vec![Value::Float(2.5), Value::None]);
    let args =
        [7.into(), "text of some length".repeat(8).into(), Value::Dict(dict), Value::Bool(true)];
    let mut payload = Vec::new();
    let call = CallRef { object: "echo", method: "echo", args: &args, kwargs: &[] };
    serializer.encode_call(call, &mut payload).unwrap();
    let mut packet = frame(MessageType::Invoke, serializer, &payload, random.below(4) == 0);
    for _ in 0..=random.below(4) {
        // The header's beginning is looked at too, but not most of the time.
        let from = if random.below(8) == 0 { 0 } else { HEADER_LEN };
        let at = from + random.below(packet.len() - from);
        packet[at] = random.below(256) as u8;
    }
    if random.below(16) == 0 {
        packet.truncate(random.below(packet.len()));
    }
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_packets_harm_nobody() {
    let extended =
        std::env::var_os("FERROLAB_TEST_EXTENDED").is_some_and(|value| !value.is_empty());
    let count = if extended { 100_000 } else { 1000 };
    let serving = Serving::echo(DaemonConfig::default()).await;
    let mut honest = serving.proxy("echo");
    let mut random = Random(0x5eed);
    for serializer in Serializer::ALL {
        let mut sent = 0;
        while sent < count {
            let mut peer = Peer::connect(&serving.location, serializer).await;
            // As many as it takes for one that ends the connection.
            while sent < count {
                sent += 1;
                if !peer.survives(&packet(serializer, &mut random)).await {
                    break;
                }
            }
        }
        let echoed = honest.call("echo", vec![sent.into()], Vec::new()).await.unwrap();
        assert_eq!(echoed, Value::List(vec![sent.into()]), "{serializer:?}");
    }
    if let Some(most) = most_memory() {
        println!("at most {most} MiB");
        assert!(most < MEMORY, "{most} MiB");
    }
}

/// MiB that daemon and peers, which share this process, may take together at any time.
const MEMORY: usize = 200;

/// The peak of this process, as Linux tells it.
fn most_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(most.split_whitespace().next()?.parse::<usize>().ok()? / 1024)
}

struct Peer {
    stream: TcpStream,
}

impl Peer {
    async fn connect(location: &Location, serializer: Serializer) -> Self {
        let Location::Tcp { host, port } = location else { panic!("TCP only") };
        let mut stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&hello(serializer)).await.unwrap();
        let mut peer = Peer { stream };
        assert!(peer.answered(MessageType::ConnectOk).await);
        peer
    }

    /// Sends a packet, and then a ping; false where that gets no answer.
    async fn survives(&mut self, packet: &[u8]) -> bool {
        let ping = frame(MessageType::Ping, Serializer::Serpent, b"ping", false);
        if self.stream.write_all(packet).await.is_err()
            || self.stream.write_all(&ping).await.is_err()
        {
            return false;
        }
        // A packet that announces more than it brings swallows the ping, and waits.
        let whole = packet
            .first_chunk::<HEADER_LEN>()
            .and_then(|head| Header::decode(head, &Limits::default()).ok())
            .is_some_and(|header| HEADER_LEN + header.body_len() == packet.len());
        if !whole {
            return false;
        }
        self.answered(MessageType::Ping).await
    }

    /// Reads messages until one is of this kind.
    async fn answered(&mut self, kind: MessageType) -> bool {
        loop {
            let mut head = [0; HEADER_LEN];
            let reading = self.stream.read_exact(&mut head);
            let read = tokio::time::timeout(WAIT_DEADLINE, reading).await;
            if read.expect("no answer").is_err() {
                return false;
            }
            let header = Header::decode(&head, &Limits::default()).unwrap();
            let mut body = vec![0; header.body_len()];
            if self.stream.read_exact(&mut body).await.is_err() {
                return false;
            }
            if header.kind == kind {
                return true;
            }
        }
    }
}
