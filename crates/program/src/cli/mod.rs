//! The command line: one file for each command, with its arguments and its run function.
//!
//! Owns the list of them, and how errors are shown.

/// In the place of the standard library's, which panics when standard output is closed.
macro_rules! println {
    () => { $crate::cli::output::print_line(format_args!("")) };
    ($($text:tt)*) => { $crate::cli::output::print_line(format_args!($($text)*)) };
}

/// As [`println`], without the end of the line.
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!($($text)*)) };
}

mod abort;
mod access;
mod act;
mod alarms;
mod ask;
mod audit;
mod call;
mod call_history;
mod calls;
mod cert;
mod common;
mod completions;
mod config;
mod connected;
mod demo;
mod describe;
mod down;
mod export;
mod find;
mod foreground;
mod history;
mod import;
mod info;
mod installed;
mod labs;
mod lock;
mod locks;
mod login;
mod logs;
mod notify;
mod ns;
mod nslist;
mod other_lab;
pub(crate) mod output;
mod progress;
mod ps;
mod readiness;
mod reference;
mod reload;
mod rename;
mod run;
mod service;
mod session;
mod session_holder;
mod shown_value;
mod status;
mod stubs;
mod style;
mod up;
mod upgrade;
mod user;
mod watch;

mod table;
mod target;
mod unlock;
mod values;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use common::{InUse, Outcome, ReloadInUse, explain, paths, runtime, supervisor};

/// Remote laboratory instruments: nameservers, daemons and services, kept running on this host.
#[derive(Debug, Parser)]
#[command(name = "ferrolab", version, arg_required_else_help = true)]
#[command(after_help = "Try it: `ferrolab demo` runs a whole simulated lab until Ctrl-C.\n\n\
    Environment:\n  FERROLAB_HOME  keep configuration, state, sockets and logs in this folder\n  \
    FERROLAB_LOG   what is logged: error, warn, info (default), debug, trace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Arguments),
    Down(down::Arguments),
    Start(act::Start),
    Stop(act::Stop),
    Restart(act::Restart),
    Reload(reload::Arguments),
    Upgrade(upgrade::Arguments),
    Ps(ps::Arguments),
    Status(status::Arguments),
    #[command(subcommand)]
    Logs(logs::LogsCommand),
    Info(info::Arguments),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Rename(rename::Arguments),
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    Nslist(nslist::Arguments),
    #[command(subcommand)]
    Ns(ns::NsCommand),
    Call(call::Arguments),
    Calls(calls::Arguments),
    Describe(describe::Arguments),
    Stubs(stubs::Arguments),
    Abort(abort::Arguments),
    Alarms(alarms::Arguments),
    #[command(subcommand)]
    Cert(cert::CertCommand),
    Lock(lock::Arguments),
    Locks(locks::Arguments),
    Login(login::Arguments),
    #[command(subcommand)]
    User(user::UserCommand),
    #[command(subcommand)]
    Session(session::SessionCommand),
    History(history::Arguments),
    Unlock(unlock::Arguments),
    #[command(subcommand)]
    Access(access::AccessCommand),
    Values(values::Arguments),
    Audit(audit::Arguments),
    Demo(demo::Arguments),
    #[command(subcommand)]
    Service(service::ServiceCommand),
    Completions(completions::Completions),
    Man(completions::Man),
    #[command(subcommand, hide = true)]
    Run(run::RunCommand),
    #[command(hide = true)]
    Reference(reference::Arguments),
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    // Lines as they are: people search for them, and a terminal wraps them by itself.
    // An error means that a hook is set already.
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    }));
    if let Some(command) = run::shortcut(std::env::args_os().skip(1)) {
        return run::run(&command);
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Down(arguments) => down::run(&arguments),
        Command::Start(arguments) => act::start(&arguments),
        Command::Stop(arguments) => act::stop(&arguments),
        Command::Restart(arguments) => act::restart(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Upgrade(arguments) => upgrade::run(&arguments),
        Command::Ps(arguments) => ps::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Logs(command) => logs::run(&command),
        Command::Info(arguments) => info::run(&arguments),
        Command::Config(command) => config::run(&command),
        Command::Rename(arguments) => rename::run(&arguments),
        Command::Notify(command) => notify::run(&command),
        Command::Nslist(arguments) => nslist::run(&arguments),
        Command::Ns(command) => ns::run(&command),
        Command::Call(arguments) => call::run(&arguments, Cli::command),
        Command::Calls(arguments) => calls::run(&arguments),
        Command::Describe(arguments) => describe::run(&arguments),
        Command::Stubs(arguments) => stubs::run(&arguments),
        Command::Abort(arguments) => abort::run(&arguments),
        Command::Alarms(arguments) => alarms::run(&arguments),
        Command::Cert(command) => cert::run(&command),
        Command::Lock(arguments) => lock::run(&arguments),
        Command::Locks(arguments) => locks::run(&arguments),
        Command::Session(command) => session::run(&command),
        Command::History(arguments) => history::run(&arguments),
        Command::Login(arguments) => login::run(&arguments),
        Command::User(command) => user::run(&command),
        Command::Unlock(arguments) => unlock::run(&arguments),
        Command::Access(command) => access::run(&command),
        Command::Values(arguments) => values::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Service(command) => service::run(&command),
        Command::Completions(arguments) => completions::completions(&arguments, Cli::command()),
        Command::Man(arguments) => completions::man(&arguments, Cli::command()),
        Command::Reference(arguments) => reference::run(&arguments),
        Command::Run(command) => return run::run(&command),
    };
    outcome.unwrap_or_else(|report| {
        eprintln!("{report:?}");
        ExitCode::FAILURE
    })
}
