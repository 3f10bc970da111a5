//! `proctor keys …`: the keys that Proctor makes for its own purposes, by way of a server that runs.
//!
//! It speaks to the REST API, so that whoever rotates keys needs an administrator's key and neither the
//! master key nor the database.

mod list;
mod rotate;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use super::client::Client;
use crate::server::LISTEN_FILE;

/// Where `proctor serve` keeps its data when nothing is said.
const DATA_DIR_DEFAULT: &str = "proctor-data";

#[derive(Debug, Subcommand)]
pub(super) enum KeysVerb {
    /// Make new keys, while servers run.
    ///
    /// A new key is taken in by every server first, and signs and seals only after that. What older keys
    /// have signed and sealed stays good: tokens to their end, cursors, links, and users and labels,
    /// which are found under any key.
    #[command(after_help = ROTATE_HELP)]
    Rotate {
        #[command(flatten)]
        server: Place,
        /// What the key is for: token_signing, digests, blind_indexes, cursors, mcp_sessions, connect, or
        /// all of them.
        #[arg(long, value_name = "PURPOSE", default_value = "all")]
        purpose: String,
        /// When the new key comes into force (360 for token_signing, 30 otherwise).
        #[arg(long, value_name = "SECONDS")]
        after_seconds: Option<u32>,
    },
    /// Say which keys there are, and how each is used.
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        server: Place,
    },
}

/// Which server is spoken to.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The server, http://HOST:PORT. The one whose data folder it is when absent.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The server's data folder, which says where it listens.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

const ROTATE_HELP: &str = "\
Settings (environment): PROCTOR_API_KEY, an administrator's key (PROCTOR_ADMIN_KEY when absent);
PROCTOR_DATA_DIR.

Interrupted, or where a server is killed meanwhile, each purpose has its new key or has not: run it again.
A purpose whose last new key still waits is left alone, and that is said.

Exit status: 0 when every purpose has a new key that is in force or waits; 1 otherwise, with the reason on
standard error. With --json: keys (purpose, kid, state, active_at, made).

Example:
  PROCTOR_API_KEY=… proctor keys rotate --purpose token_signing --url http://127.0.0.1:8700";

const LIST_HELP: &str = "\
Settings (environment): PROCTOR_API_KEY, a key with the role auditor or admin (PROCTOR_ADMIN_KEY when
absent); PROCTOR_DATA_DIR. Keys are shown by their names, which say nothing about them.

Example:
  PROCTOR_API_KEY=… proctor keys list --url http://127.0.0.1:8700";

pub(super) fn run(verb: &KeysVerb) -> Result<(), Failure> {
    let (KeysVerb::Rotate { server, .. } | KeysVerb::List { server }) = verb;
    actix_web::rt::System::new().block_on(async {
        let client = Client::new(server.address().await?, api_key()?);
        match verb {
            KeysVerb::Rotate { purpose, after_seconds, .. } => {
                rotate::run(&client, purpose, *after_seconds, server.json).await
            }
            KeysVerb::List { .. } => list::run(&client, server.json).await,
        }
    })
}

fn api_key() -> Result<String, Failure> {
    ["PROCTOR_API_KEY", "PROCTOR_ADMIN_KEY"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|key| !key.is_empty()))
        .ok_or_else(|| "PROCTOR_API_KEY is missing: set it to an administrator's key".into())
}

impl Place {
    async fn address(&self) -> Result<SocketAddr, Failure> {
        let Some(url) = &self.url else { return self.address_in_folder() };
        let wrong = || format!("{url:?} is no server's address: write it as http://HOST:PORT");
        // A token in the clear is for this machine or a network of one's own, as any request to a server
        // behind its proxy is.
        let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).ok_or_else(wrong)?;
        let mut found =
            tokio::net::lookup_host(host).await.map_err(|error| format!("{}: {error}", wrong()))?;
        found.next().ok_or_else(|| wrong().into())
    }

    fn address_in_folder(&self) -> Result<SocketAddr, Failure> {
        let named = || std::env::var_os("PROCTOR_DATA_DIR").map(PathBuf::from);
        let folder = self.data_dir.clone().or_else(named).unwrap_or_else(|| DATA_DIR_DEFAULT.into());
        let file = folder.join(LISTEN_FILE);
        std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
            let file = file.display();
            format!("no server says in {file} where it listens: name it with --url http://HOST:PORT").into()
        })
    }
}
