//! `proctor vault …`: what is done to keys while servers run.

mod opened;
mod rotate;
mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::config::{Custody, Flags};
pub(super) use opened::Opened;

#[derive(Debug, Subcommand)]
pub(super) enum VaultVerb {
    /// Seal everything anew under PROCTOR_MASTER_KEY, while servers run.
    ///
    /// What the master key seals (subjects' keys, shared secrets, Proctor's own keys) is opened with
    /// PROCTOR_MASTER_KEY_SECOND and sealed under PROCTOR_MASTER_KEY, row by row. Nothing else changes:
    /// sessions, tokens and calls go on. Interrupted, it goes on where it was when it is run again.
    #[command(after_help = ROTATE_HELP)]
    Rotate(Wanted),
    /// Say which master keys seal how much, and which servers know which.
    #[command(after_help = STATUS_HELP)]
    Status(Wanted),
}

#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Where the journal is kept, where DATABASE_URL names no store.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

const ROTATE_HELP: &str = "\
Settings (environment): PROCTOR_MASTER_KEY, PROCTOR_MASTER_KEY_SECOND (or …_FILE), DATABASE_URL,
PROCTOR_DATABASE_HOSTS, PROCTOR_DATA_DIR. On PostgreSQL the role must own Proctor's tables: the one that
servers use may not change what is there.

A rotation, without a pause for anybody:
  1. Make a new key: openssl rand -base64 32
  2. Start every server anew with PROCTOR_MASTER_KEY_SECOND set to the new key, one after the other.
  3. Start every server anew with the two exchanged: PROCTOR_MASTER_KEY is the new key, …_SECOND the old.
  4. Run `proctor vault rotate` with these settings.
  5. Start every server anew without PROCTOR_MASTER_KEY_SECOND. Keep the old key with the backups that
     were made before.
Where there is only one server, step 2 is not needed.

Exit status: 0 when everything is sealed under PROCTOR_MASTER_KEY and every server that runs seals under
it; 1 otherwise, with the reason on standard error. Progress is on standard error. With --json: outcome
(rotated, nothing_to_do), master_key, resealed, total, seconds.

Example:
  PROCTOR_MASTER_KEY_FILE=new.key PROCTOR_MASTER_KEY_SECOND_FILE=old.key \\
    proctor vault rotate --data-dir ./data";

const STATUS_HELP: &str = "\
Settings (environment): PROCTOR_MASTER_KEY (or …_FILE), DATABASE_URL, PROCTOR_DATABASE_HOSTS,
PROCTOR_DATA_DIR. Master keys are shown by their names, which say nothing about them. The store's schema is
brought up to date first, as a server that starts does.

Example:
  PROCTOR_MASTER_KEY_FILE=master.key proctor vault status --data-dir ./data";

pub(super) fn run(verb: VaultVerb) -> Result<(), Failure> {
    let (VaultVerb::Rotate(wanted) | VaultVerb::Status(wanted)) = &verb;
    let flags = Flags { data_dir: wanted.data_dir.clone(), listen: None };
    let custody = Custody::read(&flags, |name| std::env::var_os(name))?;
    let keys = &custody.master_keys;
    actix_web::rt::System::new().block_on(async {
        let opened = Opened::open(&custody.store, keys).await?;
        match &verb {
            VaultVerb::Rotate(wanted) => rotate::run(opened, keys, wanted.json).await,
            VaultVerb::Status(wanted) => status::run(&opened, keys, wanted.json).await,
        }
    })
}
