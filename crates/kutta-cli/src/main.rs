//! `kutta`: trains, follows, compares and measures with Runge-Kutta methods.

#[macro_use]
extern crate kutta_cli;

mod adapters;
mod compare;
mod curve;
mod flow;
mod hashes;
mod methods;
mod numbers;
mod plot;
mod profile;
mod race;
mod roofline;
mod samples;
mod study;
mod train;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};
use kutta_cli::output;

/// Trains by solving the gradient flow with Runge-Kutta methods, and measures how that goes.
#[derive(Debug, Parser)]
#[command(name = "kutta", version, arg_required_else_help = true)]
struct Kutta {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Flow(Box<flow::Options>),
    Compare(compare::Args),
    Race(race::Args),
    Study(study::Options),
    Methods(methods::Args),
    Profile(Box<profile::Args>),
    Roofline(roofline::Args),
    Hashes(hashes::Args),
    /// Lists the adapters of this machine and says which one kutta takes
    ///
    /// Ends with 1 if there is no adapter at all, and with 2 if there are some, but none that
    /// was asked for or that works.
    Adapters,
}

fn main() -> ExitCode {
    output::main_with(|| read(std::env::args_os().collect()), run)
}

fn read(line: Vec<OsString>) -> Result<Command, clap::Error> {
    let mut kutta = output::command::<Kutta>();
    let mut matches = kutta.try_get_matches_from_mut(line.iter())?;
    let read = Kutta::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut kutta))?;
    match read.command {
        // A training keeps its options as they were written.
        Command::Train(_) => {
            let line = line.into_iter().skip(1);
            train::Args::read(line).map(|args| Command::Train(Box::new(args)))
        }
        command => Ok(command),
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Train(args) => train::run(*args),
        Command::Flow(options) => flow::run(&options),
        Command::Compare(args) => compare::run(&args),
        Command::Race(args) => race::run(&args),
        Command::Study(options) => study::run(&options),
        Command::Methods(args) => methods::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Roofline(args) => roofline::run(&args),
        Command::Hashes(args) => hashes::run(&args),
        Command::Adapters => adapters::run(),
    }
}
