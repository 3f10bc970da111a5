//! `proctor store …`: what is done to a store while no server runs on it.

mod copy;
mod migrate;
mod progress;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    /// Move an installation to another store, and prove that nothing was lost.
    ///
    /// Stop every Proctor on the source first. Everything is copied in one transaction and compared,
    /// event by event, before it is committed: an interrupted copy leaves the destination empty. The
    /// source stays as it is. Audit views are not copied: the first server builds them again.
    #[command(after_help = COPY_HELP)]
    Copy(Copy),
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
    /// The store to copy to, which must be empty: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Print one line of JSON: from, to, head, head_leaf, sealed, tables, seconds.
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

Passwords may stand in the URLs, where other users of this machine can see them in the list of
processes; PGPASSWORD or ~/.pgpass keep them out of it.";

const MIGRATE_HELP: &str = "\
Settings (environment): DATABASE_URL, PROCTOR_DATABASE_HOSTS.

Example, as a superuser that becomes the owner of the tables:
  PGOPTIONS='-c role=proctor_owner' DATABASE_URL=postgres://postgres@db.example/proctor \\
    proctor store migrate";

pub(super) fn run(verb: StoreVerb) -> Result<(), Failure> {
    match verb {
        StoreVerb::Copy(wanted) => copy::run(&wanted),
        StoreVerb::Migrate { stray } => migrate::run(&stray),
    }
}

fn refuse_stray(stray: &[String], instead: &str) -> Result<(), Failure> {
    if stray.is_empty() {
        return Ok(());
    }
    Err(format!("failed to read the command line: there is a value without a flag; {instead}").into())
}
