//! Pyro5's own daemon and nameserver, in a separate Python process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use remote::Proxy;

use crate::common::WAIT_DEADLINE;

/// A running stock daemon; it ends with its standard input.
pub(crate) struct Python {
    process: Child,
    /// Of its object.
    pub uri: String,
    /// Of its nameserver, where one was asked for.
    pub nameserver: String,
}

impl Python {
    /// `None` where `FERROLAB_TEST_PYTHON` names no interpreter that has Pyro5 (`cargo xtask venv`
    /// makes one): there is nothing to test against then.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        let interpreter = std::env::var_os("FERROLAB_TEST_PYTHON")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/server.py");
        let mut process = Command::new(interpreter)
            .arg(script)
            .arg(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut told).unwrap();
        assert!(told.starts_with("PYRO:"), "the daemon did not start");
        let mut uris = told.split_whitespace().map(str::to_owned);
        let uri = uris.next().unwrap();
        Some(Python { process, uri, nameserver: uris.next().unwrap_or_default() })
    }

    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::new(&self.uri).unwrap().with_timeout(WAIT_DEADLINE)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
