//! The command line's end of the conversation with the supervisor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, Changes, Listing, Request};

/// A supervisor says something this often, however long a request takes.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// One that says nothing for so long is stopped or hangs.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// A connection to a running supervisor.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

/// Part of an answer before its end.
pub(crate) enum News<'a> {
    /// How things stand.
    Progress(&'a Listing),
    /// An outcome of the request, in words.
    Note(&'a str),
    /// The changes of a reload.
    Changes(&'a Changes),
    /// The request waits for these uses to end.
    Waiting(&'a [String]),
}

/// Why the supervisor cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// None is running.
    #[error("the lab is not up: no supervisor answers at {}", .socket.display())]
    NotRunning { socket: PathBuf },
    /// The conversation broke.
    #[error("lost the connection to the supervisor: {0}")]
    Lost(#[from] io::Error),
    /// It said something that this version does not understand.
    #[error(
        "the running supervisor speaks another version's language ({0}); run `ferrolab down`, then `ferrolab up`"
    )]
    Language(serde_json::Error),
    /// It says nothing.
    #[error("the supervisor{} says nothing for {MAX_SILENCE:?}: it is stopped, or it hangs", pid(*.supervisor))]
    Silent { supervisor: Option<u32> },
    /// It is about to end.
    #[error("the lab is being stopped")]
    Ending,
    /// Clients use what the request would stop; a sentence for each use.
    #[error("not done, because it is in use: {}", .0.join("; "))]
    InUse(Vec<String>),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Connects to the supervisor at `socket`.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, ControlError> {
        match UnixStream::connect(socket).await {
            Ok(stream) => Ok(Client { stream: BufReader::new(stream) }),
            Err(error) if absent(&error) => {
                Err(ControlError::NotRunning { socket: socket.to_path_buf() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The pid of the supervisor at the other end, where the system tells it.
    pub(crate) fn supervisor(&self) -> Option<u32> {
        let credentials = self.stream.get_ref().peer_cred().ok()?;
        credentials.pid().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Asks and waits for the end of the answer; `progress` sees what comes before.
    pub(crate) async fn ask(
        self,
        request: &Request,
        mut progress: impl FnMut(&Listing),
    ) -> Result<Listing, ControlError> {
        let news = |news: News<'_>| {
            if let News::Progress(listing) = news {
                progress(listing);
            }
        };
        self.ask_for_news(request, news).await
    }

    /// As [`ask`](Self::ask); `hear` is told all that comes before the end.
    pub(crate) async fn ask_for_news(
        mut self,
        request: &Request,
        mut hear: impl FnMut(News<'_>),
    ) -> Result<Listing, ControlError> {
        let mut line = serde_json::to_string(request).map_err(ControlError::Language)?;
        line.push('\n');
        let supervisor = self.supervisor();
        let silent = |_| ControlError::Silent { supervisor };
        let write = self.stream.get_mut().write_all(line.as_bytes());
        timeout(MAX_SILENCE, write).await.map_err(silent)??;
        loop {
            line.clear();
            let read = self.stream.read_line(&mut line);
            if timeout(MAX_SILENCE, read).await.map_err(silent)?? == 0 {
                return Err(ControlError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            match serde_json::from_str(&line).map_err(ControlError::Language)? {
                Answer::Progress(listing) => hear(News::Progress(&listing)),
                Answer::Note { text } => hear(News::Note(&text)),
                Answer::Changes(changes) => hear(News::Changes(&changes)),
                Answer::Waiting { uses } => hear(News::Waiting(&uses)),
                Answer::InUse { uses } => return Err(ControlError::InUse(uses)),
                Answer::Done(listing) => return Ok(listing),
                Answer::Ending => return Err(ControlError::Ending),
                Answer::Refused { reason } => return Err(ControlError::Refused(reason)),
            }
        }
    }
}

fn pid(supervisor: Option<u32>) -> String {
    supervisor.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
