//! `proctor store …`: what is done to a store while no server runs on it.

mod copy;
mod migrate;
mod reopen;

use clap::{Args, Subcommand};

use super::Failure;
use crate::config::{DatabaseUrl, StoreConfig};
use crate::journal::postgres::PostgresConfig;

#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    /// Move an installation to another store, and prove that nothing was lost.
    ///
    /// Stop every Proctor on the source first. Everything is copied in one transaction and compared,
    /// event by event, before it is committed: an interrupted copy leaves the destination empty. Then
    /// the source is marked as moved, and no Proctor starts on it any more; its events stay as they are.
    /// Audit views are not copied: the first server builds them again.
    ///
    /// The same command again does no harm: it compares what the destination holds, and marks the source
    /// if that was not done.
    #[command(after_help = COPY_HELP)]
    Copy(Copy),
    /// Open the store of DATABASE_URL again, which `store copy` has marked as moved.
    ///
    /// It lacks whatever was written where it was moved to: revocations above all. For a move that was
    /// called off.
    #[command(after_help = REOPEN_HELP)]
    Reopen {
        /// Whatever was meant for DATABASE_URL is not repeated in an error.
        #[arg(hide = true)]
        stray: Vec<String>,
    },
    /// Bring the schema of DATABASE_URL up to date, as a role that may, and nothing else.
    #[command(after_help = MIGRATE_HELP)]
    Migrate {
        /// Whatever was meant for DATABASE_URL is not repeated in an error.
        #[arg(hide = true)]
        stray: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The store to copy from: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The store to copy to, which must be empty or hold this very copy: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Do not mark the source as moved: for a rehearsal.
    #[arg(long)]
    leave_open: bool,
    /// Print one line of JSON: outcome (copied, was_there, has_gone_on), from, to, source_moved_to, head,
    /// head_leaf, sealed, tables, seconds; after has_gone_on head_there instead of the digests.
    #[arg(long)]
    json: bool,
    /// A URL in the wrong place must not be repeated in an error: it may hold a password.
    #[arg(hide = true)]
    stray: Vec<String>,
}

const COPY_HELP: &str = "\
Example:
  proctor store copy --from sqlite:proctor-data/journal.sqlite \\
    --to postgres://proctor_admin@db.example/proctor

Settings (environment):
  PROCTOR_DATABASE_HOSTS  hosts that may be PostgreSQL's primary, comma separated. They belong to the end
                          that DATABASE_URL names or, where that names no PostgreSQL, to the only end that
                          is one; where that is not plain, nothing is copied
  DATABASE_URL            whose hosts these are; not read otherwise

Exit status: 0 when the destination holds all of the source (and the source is marked); 1 otherwise, with the
reason on standard error; 2 for an unknown flag. Progress is on standard error.

Passwords may stand in the URLs, where other users of this machine can see them in the list of
processes; PGPASSWORD or ~/.pgpass keep them out of it.";

const REOPEN_HELP: &str = "\
Settings (environment): DATABASE_URL, PROCTOR_DATABASE_HOSTS.

Example:
  DATABASE_URL=sqlite:proctor-data/journal.sqlite proctor store reopen";

const MIGRATE_HELP: &str = "\
Settings (environment): DATABASE_URL, PROCTOR_DATABASE_HOSTS.

A superuser can become the owner of the tables for it.

Example:
  PGOPTIONS='-c role=proctor_owner' DATABASE_URL=postgres://postgres@db.example/proctor \\
    proctor store migrate";

pub(super) fn run(verb: StoreVerb) -> Result<(), Failure> {
    match verb {
        StoreVerb::Copy(wanted) => copy::run(&wanted),
        StoreVerb::Migrate { stray } => migrate::run(&stray),
        StoreVerb::Reopen { stray } => reopen::run(&stray),
    }
}

/// The store that the environment names.
fn named_store(which: &str) -> Result<StoreConfig, Failure> {
    StoreConfig::read(|name| std::env::var_os(name))?.ok_or_else(|| {
        format!("failed to read the configuration: DATABASE_URL is missing: set it to the store {which}")
            .into()
    })
}

fn postgres_config(url: &DatabaseUrl, hosts: &[String]) -> PostgresConfig {
    PostgresConfig { hosts: hosts.to_vec(), ..PostgresConfig::new(url.expose()) }
}

fn refuse_stray(stray: &[String], instead: &str) -> Result<(), Failure> {
    if stray.is_empty() {
        return Ok(());
    }
    Err(format!("failed to read the command line: there is a value without a flag; {instead}").into())
}
