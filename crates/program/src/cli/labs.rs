//! Options `--lab` and `--all`: other labs of the configuration beside this one, or instead of it.
//!
//! All labs are asked side by side, each within a deadline. One that does not answer is shown as
//! away, and the command ends with exit code 1.

use std::process::ExitCode;

use clap::Args;
use comfy_table::Cell;
use lab_config::{OtherLab, did_you_mean};
use miette::{Report, miette};
use tokio::time::timeout;

use super::table::{self, for_terminal};
use super::{explain, runtime, style, supervisor};
use crate::labs::{self, DEADLINE, LabReader};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::{LabRow, Listing, Request};

/// Which labs to show; this one if none is given.
#[derive(Debug, Args)]
pub(super) struct LabsArgument {
    /// Show this lab of `labs` in the configuration (several times for several)
    #[arg(long = "lab", value_name = "LAB")]
    labs: Vec<String>,
    /// Show this lab and all of `labs` in the configuration
    #[arg(long, conflicts_with = "labs")]
    all: bool,
}

/// Another lab, as it has answered.
pub(super) struct SeenLab<T> {
    pub(super) lab: OtherLab,
    pub(super) answer: Result<T, String>,
}

/// The labs that a command shows.
pub(super) struct SeenLabs {
    /// This one, where it is asked for.
    pub(super) here: Option<Result<Listing, Report>>,
    pub(super) others: Vec<SeenLab<Listing>>,
}

impl LabsArgument {
    /// Whether other labs are asked for.
    pub(super) fn is_given(&self) -> bool {
        self.all || !self.labs.is_empty()
    }

    /// Whether this lab is asked for.
    pub(super) fn has_this_one(&self) -> bool {
        self.labs.is_empty()
    }

    /// The other labs that are asked for.
    ///
    /// # Errors
    /// There is no such lab in the configuration.
    pub(super) fn others(&self, paths: &Paths) -> Result<Vec<OtherLab>, Report> {
        find(&self.labs, self.all, paths)
    }

    /// The listings of all labs that are asked for.
    ///
    /// # Errors
    /// As [`others`](Self::others).
    pub(super) fn listings(&self, paths: &Paths, looks: bool) -> Result<SeenLabs, Report> {
        let others = self.others(paths)?;
        block_on(async {
            let here = async {
                match self.has_this_one() {
                    true => Some(listing_here(paths, looks).await),
                    false => None,
                }
            };
            let asking = ask_all(others, paths, |lab| async move { lab.listing().await });
            let (here, others) = tokio::join!(here, asking);
            SeenLabs { here, others }
        })
    }

    /// The listing of this lab, or [one of all](Self::merged) that are asked for.
    ///
    /// # Errors
    /// This lab does not answer, or as [`others`](Self::others).
    pub(super) fn listing(&self, paths: &Paths) -> Result<(Listing, ExitCode), Report> {
        if self.is_given() {
            return self.merged(paths);
        }
        let listing = runtime()?.block_on(async {
            let client = supervisor(paths).await?;
            client.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(explain)
        })?;
        Ok((Listing { labs: Vec::new(), ..listing }, ExitCode::SUCCESS))
    }

    /// One listing of all labs that are asked for: names of other labs are `LAB/NAME`. Second,
    /// whether all have answered; who has not is in `labs`, and for this lab on standard error.
    ///
    /// # Errors
    /// As [`others`](Self::others).
    fn merged(&self, paths: &Paths) -> Result<(Listing, ExitCode), Report> {
        let SeenLabs { here, others } = self.listings(paths, false)?;
        let mut code = ExitCode::SUCCESS;
        let mut all = match here {
            Some(Ok(listing)) => listing,
            Some(Err(report)) => {
                eprintln!("this lab: {report}");
                code = ExitCode::FAILURE;
                Listing::default()
            }
            None => Listing::default(),
        };
        all.labs.clear();
        for SeenLab { lab, answer } in others {
            let away = match answer {
                Ok(listing) => {
                    labs::merge(&mut all, labs::qualify(&lab, listing));
                    None
                }
                Err(reason) => {
                    code = ExitCode::FAILURE;
                    Some(reason)
                }
            };
            all.labs.push(LabRow { lab, away });
        }
        Ok((all, code))
    }
}

/// The other labs of these names, or `all` of the configuration.
///
/// # Errors
/// There is no such lab in the configuration.
pub(super) fn find(names: &[String], all: bool, paths: &Paths) -> Result<Vec<OtherLab>, Report> {
    if !all && names.is_empty() {
        return Ok(Vec::new());
    }
    let known = known(paths)?;
    if all {
        return Ok(known);
    }
    let find = |name: &String| {
        known.iter().find(|lab| lab.name == *name).cloned().ok_or_else(|| {
            let names = known.iter().map(|lab| lab.name.as_str());
            let help = did_you_mean(name, names).unwrap_or_else(|| {
                format!("write `labs: {{{name}: {{host: HOST}}}}` in the configuration")
            });
            miette!(help = help, "there is no lab '{name}' in the configuration")
        })
    };
    names.iter().map(find).collect()
}

/// The other labs of the configuration; none where there is no configuration.
pub(super) fn known(paths: &Paths) -> Result<Vec<OtherLab>, Report> {
    if !paths.config_file.exists() {
        return Ok(Vec::new());
    }
    let (configuration, _) = active_config::load(paths).map_err(|error| Report::new(*error))?;
    Ok(configuration.labs)
}

/// Asks other labs side by side.
pub(super) async fn ask_all<T: Send + 'static, F>(
    others: Vec<OtherLab>,
    paths: &Paths,
    ask: impl Fn(LabReader) -> F,
) -> Vec<SeenLab<T>>
where
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let answers = labs::ask_all(&others, paths, ask).await;
    let seen = others.into_iter().zip(answers);
    seen.map(|(lab, answer)| SeenLab { lab, answer }).collect()
}

/// Runs a future. The resolution of a name that still waits does not hold up the end.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Report> {
    let runtime = runtime()?;
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(done)
}

async fn listing_here(paths: &Paths, looks: bool) -> Result<Listing, Report> {
    let ask = async {
        let client = supervisor(paths).await?;
        client.ask(&Request::Ps { looks }, |_| {}).await.map_err(explain)
    };
    let asked = timeout(DEADLINE, ask).await;
    asked.unwrap_or_else(|_| Err(miette!("its supervisor does not answer within {DEADLINE:?}")))
}

/// Prints a line for each lab that was asked, then why some are away.
pub(super) fn print(rows: &[LabRow]) {
    if rows.is_empty() {
        return;
    }
    let mut shown = table::table(&["LAB", "STATUS", "AT"]);
    for LabRow { lab, away } in rows {
        let status = if away.is_some() { "away" } else { "running" };
        shown.add_row([
            Cell::new(for_terminal(&lab.name)),
            style::state(status),
            Cell::new(labs::location(lab)),
        ]);
    }
    println!();
    table::print(&shown);
    print_away(rows);
}

/// Prints on standard error why labs are away.
pub(super) fn print_away(rows: &[LabRow]) {
    for LabRow { lab, away } in rows {
        if let Some(reason) = away {
            eprintln!("lab {} is away: {}", for_terminal(&lab.name), for_terminal(reason));
        }
    }
}
