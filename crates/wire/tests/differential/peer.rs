//! Python process that runs peer.py, and the requests to it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use wire::serializer::Serializer;
use wire::value::Value;

use crate::notation;

/// An answer of Python: bytes, or the text of an exception.
pub type PeerAnswer = Result<Vec<u8>, String>;

/// One command for Python; peer.py lists the letters.
pub struct Ask {
    op: u8,
    serializer: Serializer,
    payload: Vec<u8>,
}

impl Ask {
    pub fn value(op: char, serializer: Serializer, value: &Value) -> Ask {
        Ask { op: op as u8, serializer, payload: notation::write(value) }
    }

    pub fn bytes(op: char, serializer: Serializer, bytes: &[u8]) -> Ask {
        Ask { op: op as u8, serializer, payload: bytes.to_vec() }
    }
}

/// Sends all commands in one round trip.
pub fn ask(asks: &[Ask]) -> Vec<PeerAnswer> {
    static PEER: Mutex<Option<PythonPeer>> = Mutex::new(None);
    // A test that fails poisons the mutex, but leaves no half of a batch behind.
    let mut peer = PEER.lock().unwrap_or_else(PoisonError::into_inner);
    peer.get_or_insert_with(PythonPeer::start).ask(asks)
}

/// The value in an answer.
pub fn value(answer: &PeerAnswer) -> Result<Value, String> {
    answer.as_ref().map(|bytes| notation::read(bytes)).map_err(Clone::clone)
}

struct PythonPeer {
    // It ends with this process, when its standard input does.
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl PythonPeer {
    fn start() -> PythonPeer {
        const HELP: &str = "run `cargo xtask test`, or set FERROLAB_TEST_PYTHON to a Python with \
                            Pyro5, serpent and msgpack";
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("FERROLAB_TEST_PYTHON")
            .map_or_else(|| here.join("../../target/test-venv/bin/python"), PathBuf::from);
        let mut child = Command::new(&python)
            .arg(here.join("tests/differential/peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; {HELP}", python.display()));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut peer = PythonPeer { _child: child, stdin, stdout };
        let ready = peer.exchange(&[Ask::value('p', Serializer::Serpent, &Value::None)]);
        assert!(ready.is_ok_and(|answers| answers == [Ok(b"None".to_vec())]), "{HELP}");
        peer
    }

    fn ask(&mut self, asks: &[Ask]) -> Vec<PeerAnswer> {
        self.exchange(asks).expect("the Python peer has ended")
    }

    fn exchange(&mut self, asks: &[Ask]) -> std::io::Result<Vec<PeerAnswer>> {
        let mut request = (asks.len() as u32).to_be_bytes().to_vec();
        for ask in asks {
            request.extend([ask.op, ask.serializer.id()]);
            request.extend((ask.payload.len() as u32).to_be_bytes());
            request.extend(&ask.payload);
        }
        self.stdin.write_all(&request)?;
        self.stdin.flush()?;
        asks.iter().map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> std::io::Result<PeerAnswer> {
        let mut head = [0; 5];
        self.stdout.read_exact(&mut head)?;
        let [failed, len @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes(len) as usize];
        self.stdout.read_exact(&mut payload)?;
        Ok(match failed {
            0 => Ok(payload),
            _ => Err(String::from_utf8_lossy(&payload).into_owned()),
        })
    }
}
