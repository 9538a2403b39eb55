//! Values for time series databases: each target of `push` gets every recorded sample once it can.
//!
//! The history is the queue. A target has a cursor for each series, so that one that is away gets
//! all of it later, and nothing else waits for it. A request may arrive twice, which changes
//! nothing in a database: a sample has its time.

mod cursors;
mod lines;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use history::{Range, Sample, SeriesKey, Store, StoreError};
use lab_config::{Push, Secret};
use outbound::http_client::{Post, PostError, host_of};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use wire::name_pattern::NamePattern;

use crate::history_process::recorder::Recorder;
use crate::os;
use cursors::{Cursor, Cursors};
use lines::LineStart;

/// Time between two requests where the configuration gives none.
const DEFAULT_PUSH_INTERVAL: Duration = Duration::from_secs(10);
/// The longest time between two attempts to reach a target that is away.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(300);
/// Lines of one request, at most.
const MAX_LINES: usize = 5000;
/// How long a refused line is shown.
const REFUSAL_SHOWN: Duration = Duration::from_secs(3600);
/// Lines of one series that a target may refuse one by one before the rest of the series waits for
/// the next time; and of all series together before the target is taken to refuse all.
const MAX_REFUSED: usize = 20;

/// The troubles of all targets, in sentences; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct PushTroubles(Arc<Mutex<Vec<Option<String>>>>);

/// A target and how far it is.
struct PushTarget {
    push: Push,
    patterns: Vec<NamePattern>,
    /// Its host, for people.
    host: String,
    store: Arc<Store>,
    cursors: Cursors,
    /// Series whose cursors were compared with the store since this process began.
    compared: HashSet<SeriesKey>,
    is_new: bool,
    /// Lines that it refused since this process began.
    refused: u64,
    /// Series of which a refused line is in the log, until it takes one again.
    told: HashSet<SeriesKey>,
    /// The last refusal, and when it was.
    last_refusal: Option<(Instant, String)>,
}

/// A line that the target has refused.
#[derive(Debug)]
struct LeftOut {
    key: SeriesKey,
    line: String,
    refusal: String,
}

/// The target's answers to the lines of one round.
#[derive(Debug, Default)]
struct RoundAnswers {
    has_taken: bool,
    /// Refused lines of each series that has any.
    refused: HashMap<SeriesKey, usize>,
    left_out: Vec<LeftOut>,
}

/// Lines for one request, with the cursors after each.
#[derive(Debug, Default)]
struct LineRequest {
    lines: Vec<(String, SeriesKey, Cursor)>,
    /// Cursors of samples that have no line.
    skipped: Vec<(SeriesKey, Cursor)>,
}

impl PushTroubles {
    /// A sentence for each target with a trouble.
    pub(super) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }

    fn set(&self, target: usize, trouble: Option<String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() <= target {
            troubles.resize(target + 1, None);
        }
        match (&troubles[target], &trouble) {
            (None, Some(trouble)) => warn!("{trouble}"),
            (Some(_), None) => info!("`push`: the target takes values again"),
            _ => {}
        }
        troubles[target] = trouble;
    }
}

impl RoundAnswers {
    /// Whether the refusals are about the address or the database, not about the values, which then
    /// wait: nothing was taken, and lines of two series were refused that are not `known` to be at
    /// fault themselves. One series alone, of a target that has taken a line before, may be, and
    /// would wait for ever.
    fn are_about_the_target(&self, has_ever_taken: bool, known: &HashSet<SeriesKey>) -> bool {
        let least = if has_ever_taken { 2 } else { 1 };
        let unknown = self.refused.keys().filter(|key| !known.contains(*key));
        !self.has_taken && unknown.count() >= least
    }
}

/// Sends values to all targets, for ever.
pub(super) async fn follow(
    pushes: Vec<Push>,
    folder: PathBuf,
    recorder: Arc<Recorder>,
    troubles: PushTroubles,
) {
    let mut targets = tokio::task::JoinSet::new();
    for (number, push) in pushes.into_iter().enumerate() {
        let (recorder, folder, troubles) =
            (Arc::clone(&recorder), folder.clone(), troubles.clone());
        targets.spawn(async move {
            let store = recorder.opened().await;
            PushTarget::new(push, &folder, store).follow(number, &troubles).await;
        });
    }
    targets.join_all().await;
    std::future::pending::<()>().await;
}

impl PushTarget {
    fn new(push: Push, folder: &Path, store: Arc<Store>) -> Self {
        let (cursors, is_new) = Cursors::load(folder, &push.url.0);
        PushTarget {
            host: host_of(&push.url.0, "the address of `push`"),
            patterns: push.patterns.iter().map(|pattern| NamePattern::new(pattern)).collect(),
            push,
            store,
            cursors,
            compared: HashSet::new(),
            is_new,
            refused: 0,
            told: HashSet::new(),
            last_refusal: None,
        }
    }

    async fn follow(mut self, number: usize, troubles: &PushTroubles) {
        let every = self.push.every.unwrap_or(DEFAULT_PUSH_INTERVAL);
        let mut pause = every;
        loop {
            let sent = self.send_all().await;
            let trouble = match &sent {
                Ok(()) => self.refusal(),
                Err(error) => Some(format!(
                    "`push` to {}: {error}; what waits is in the history, and is sent later",
                    self.host
                )),
            };
            troubles.set(number, trouble);
            pause =
                if sent.is_ok() { every } else { (2 * pause).min(MAX_RETRY_INTERVAL.max(every)) };
            sleep(pause).await;
        }
    }

    /// The last refusal of a line, for a while.
    fn refusal(&self) -> Option<String> {
        let (time, refusal) = self.last_refusal.as_ref()?;
        (time.elapsed() < REFUSAL_SHOWN).then(|| {
            format!(
                "`push` to {}: {} value(s) were refused and left out, the last one with: {refusal}",
                self.host, self.refused
            )
        })
    }

    /// Sends all that is new.
    async fn send_all(&mut self) -> Result<(), String> {
        let found = tokio::task::block_in_place(|| self.find_cursors());
        found.map_err(unreadable)?;
        let before = self.cursors.clone();
        let mut answers = RoundAnswers::default();
        let sent = self.send_from_cursors(&mut answers).await;
        if answers.are_about_the_target(before.has_taken, &self.told) {
            self.cursors = before;
            let last = answers.left_out.last().map(|last| last.refusal.as_str());
            let refuses = || format!("it refuses every value: {}", last.unwrap_or_default());
            return Err(sent.err().unwrap_or_else(refuses));
        }
        let RoundAnswers { left_out, .. } = answers;
        if !left_out.is_empty() {
            self.save().await;
        }
        self.refused += left_out.len() as u64;
        for LeftOut { key, line, refusal } in left_out {
            // The others of the series are in `status`, by their number.
            if self.told.insert(key.clone()) {
                let (database, line) = (&self.host, line.trim_end());
                warn!(database, line, refusal, "a database refuses a value, which is left out");
            }
            let refusal = format!("{refusal} ({}.{})", key.service, key.member);
            self.last_refusal = Some((Instant::now(), refusal));
        }
        sent
    }

    /// Sends what the series have after their cursors, as far as the target takes it. Cursors go
    /// past refused lines too.
    async fn send_from_cursors(&mut self, answers: &mut RoundAnswers) -> Result<(), String> {
        let mut size = MAX_LINES;
        loop {
            let request = self.gather(size, &answers.refused).await?;
            for (key, cursor) in &request.skipped {
                self.cursors.set(key, *cursor);
            }
            let Some((line, key, _)) = request.lines.first() else {
                let is_undecided = !answers.has_taken && !answers.refused.is_empty();
                if !request.skipped.is_empty() && !is_undecided {
                    self.save().await;
                }
                return Ok(());
            };
            match self.post(&request).await {
                Ok(()) => {
                    answers.has_taken = true;
                    self.cursors.has_taken = true;
                    for (_, key, _) in &request.lines {
                        self.told.remove(key);
                    }
                    self.pass(&request);
                    self.save().await;
                    size = (2 * size).min(MAX_LINES);
                }
                // The database does not understand a line: all others are sent without it.
                Err(PostError::Refused { status, text }) if is_about_lines(status.as_u16()) => {
                    if request.lines.len() > 1 {
                        size = request.lines.len() / 2;
                        continue;
                    }
                    let refusal = format!("{status}{text}");
                    let RoundAnswers { has_taken, refused, left_out } = answers;
                    let count = refused.entry(key.clone()).or_default();
                    // The series with the fewest refusals come first: a line of each was tried.
                    if !*has_taken && *count > 0 && left_out.len() >= MAX_REFUSED {
                        return Ok(());
                    }
                    *count += 1;
                    left_out.push(LeftOut { key: key.clone(), line: line.clone(), refusal });
                    self.pass(&request);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn post(&self, request: &LineRequest) -> Result<(), PostError> {
        let Push { url, token, headers, .. } = &self.push;
        let mut headers = headers.clone();
        if let Some(Secret(token)) = token {
            headers.insert("Authorization".to_owned(), Secret(format!("Token {token}")));
        }
        let body: String = request.lines.iter().map(|(line, ..)| line.as_str()).collect();
        let content_type = "text/plain; charset=utf-8";
        let post = Post { url: &url.0, headers: &headers, content_type };
        post.send(body.into_bytes()).await
    }

    /// Moves the cursors to after a request.
    fn pass(&mut self, request: &LineRequest) {
        for (_, key, cursor) in &request.lines {
            self.cursors.set(key, *cursor);
        }
    }

    async fn save(&self) {
        // A file of some kilobytes, in a process that nothing waits for.
        tokio::task::block_in_place(|| self.cursors.save());
    }

    /// The next lines, from all series in turn. Those with the fewest `refused` lines come first; a
    /// series with too many of them waits.
    async fn gather(
        &mut self,
        most: usize,
        refused: &HashMap<SeriesKey, usize>,
    ) -> Result<LineRequest, String> {
        let gathered = tokio::task::block_in_place(|| self.gather_now(most, refused));
        gathered.map_err(unreadable)
    }

    /// Gives each series that is wanted its cursor.
    fn find_cursors(&mut self) -> Result<(), StoreError> {
        for (key, _) in self.store.series_names() {
            if self.is_wanted(&key) {
                self.cursor(&key)?;
            }
        }
        Ok(())
    }

    fn gather_now(
        &mut self,
        most: usize,
        refused: &HashMap<SeriesKey, usize>,
    ) -> Result<LineRequest, StoreError> {
        let mut request = LineRequest::default();
        let host = os::host_name();
        let mut series = self.store.series_names();
        series.sort_by_key(|(key, _)| refused.get(key).copied().unwrap_or_default());
        for (key, unit) in series {
            let before = request.lines.len();
            let left = most - before;
            if left == 0 {
                break;
            }
            let is_held = refused.get(&key).is_some_and(|count| *count >= MAX_REFUSED);
            if is_held || !self.is_wanted(&key) {
                continue;
            }
            let cursor = self.cursor(&key)?;
            let Some(newer) = self.store.newer(&key, cursor.position, left)? else { continue };
            if newer.next < cursor.position {
                // The store was damaged, and replaced by an empty one.
                self.cursors.set(&key, Cursor::default());
                continue;
            }
            let start = LineStart::new(&host, &key.service, &key.member, &unit);
            let mut skipped = None;
            for (position, sample) in newer.samples.into_iter().take(left) {
                let cursor = Cursor { position: position + 1, time: sample.time };
                let mut line = String::new();
                match start.add(&sample, &mut line) {
                    true => {
                        skipped = None;
                        request.lines.push((line, key.clone(), cursor));
                    }
                    false => skipped = Some(cursor),
                }
            }
            // A cursor never passes a line that is not sent yet.
            let has_lines = request.lines.len() > before;
            request.skipped.extend(skipped.filter(|_| !has_lines).map(|cursor| (key, cursor)));
        }
        if std::mem::take(&mut self.is_new) {
            // Where it begins must outlive this process, even if the target takes nothing before.
            self.cursors.save();
        }
        Ok(request)
    }

    /// Whether a series is among those of the configuration; all are without any.
    fn is_wanted(&self, key: &SeriesKey) -> bool {
        let name = format!("{}.{}", key.service, key.member);
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(&name))
    }

    /// The cursor of a series. It is compared with the store once: a killed process may have lost
    /// the last second, and a damaged store is replaced by an empty one.
    fn cursor(&mut self, key: &SeriesKey) -> Result<Cursor, StoreError> {
        let known = self.cursors.get(key);
        if self.compared.contains(key) {
            return Ok(known.unwrap_or_default());
        }
        let end = || self.store.newer(key, u64::MAX, 0).map(|end| end.map_or(0, |end| end.next));
        let cursor = match known {
            // A new target gets what comes from now on.
            None if self.is_new => Cursor { position: end()?, time: 0 },
            None => Cursor::default(),
            Some(cursor) if cursor.position == 0 || self.is_at(key, cursor)? => cursor,
            Some(Cursor { time, .. }) => {
                let range = Range { start: time.saturating_add(1), end: i64::MAX };
                let page = self.store.page(key, range)?.unwrap_or_default();
                let after = if page.next.is_some() { u64::MAX } else { page.samples.len() as u64 };
                Cursor { position: end()?.saturating_sub(after), time }
            }
        };
        self.compared.insert(key.clone());
        self.cursors.set(key, cursor);
        Ok(cursor)
    }

    /// Whether the sample before the cursor is the one that was sent last.
    fn is_at(&self, key: &SeriesKey, cursor: Cursor) -> Result<bool, StoreError> {
        let last = self.store.newer(key, cursor.position - 1, 1)?.unwrap_or_default();
        let is_it = |(position, sample): &(u64, Sample)| {
            // One that was removed meanwhile is nobody's mistake.
            *position >= cursor.position || sample.time == cursor.time
        };
        // A new target has been sent nothing, and has no time to compare.
        Ok(cursor.time == 0
            || last.samples.first().is_some_and(is_it)
            || last.samples.is_empty() && last.next >= cursor.position)
    }
}

/// Whether an answer is about the lines, so that others may be taken.
fn is_about_lines(status: u16) -> bool {
    matches!(status, 400 | 413 | 422)
}

fn unreadable(error: StoreError) -> String {
    format!("the history cannot be read: {error}")
}
