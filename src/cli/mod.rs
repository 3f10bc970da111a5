//! The command line, one file per verb. The only room that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod audit;
mod completions;
mod connection;
mod demo;
mod doctor;
mod document;
mod files;
mod key;
mod keys;
mod logs;
mod openapi;
mod progress;
mod remote;
mod serve;
mod server;
mod session;
mod shown;
mod store;
mod user;
mod vault;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Flags;
use remote::{Refused, Unreachable};

/// Virtual MCP servers: what stands between AI agents and the accounts of users.
#[derive(Debug, Parser)]
#[command(name = "proctor", version, propagate_version = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server.
    ///
    /// Needs PROCTOR_MASTER_KEY (32 random bytes in base64: `openssl rand -base64 32`) and
    /// PROCTOR_ADMIN_KEY (the first administrator's API key, at least 32 characters).
    #[command(after_help = SERVE_HELP)]
    Serve(Place),
    /// Try it: keys, a sample upstream, two virtual servers and a session, all made here.
    #[command(after_help = "Example:\n  proctor demo\n  proctor demo --json --listen 127.0.0.1:0")]
    Demo {
        #[command(flatten)]
        place: Place,
        /// Print one line of JSON: api_url, admin_key, mcp_server_url, token, session_id.
        #[arg(long)]
        json: bool,
    },
    /// Move an installation to another store, or prepare one.
    #[command(subcommand)]
    Store(store::StoreVerb),
    /// Upstream MCP servers: register, test, list, retire.
    Connection(connection::ConnectionCommand),
    /// Virtual servers: define, revise, look at, retire.
    Server(server::ServerCommand),
    /// Agent runs: mint, list, look into, revoke.
    Session(session::SessionCommand),
    /// Your product's users: look into, end their sessions, block.
    User(user::UserCommand),
    /// What happened: tool calls and administrative acts.
    Audit(audit::AuditCommand),
    /// Make connections and virtual servers as files say.
    #[command(after_help = connection::example("proctor apply -f proctor.yaml --dry-run\n  proctor apply -f deploy/ --prune"))]
    Apply(files::Apply),
    /// Write connections and virtual servers in the form that `apply` reads, without secrets.
    #[command(after_help = connection::example("proctor export > proctor.yaml"))]
    Export(files::Export),
    /// Print the JSON Schema of the files that `apply` reads, for editors.
    #[command(after_help = "Example:\n  proctor schema > proctor.schema.json")]
    Schema,
    /// Print the OpenAPI document of the REST API, for those who generate clients.
    #[command(after_help = "Example:\n  proctor openapi > proctor.openapi.json")]
    Openapi,
    /// Look for what is wrong with a server, and say how to mend it.
    #[command(after_help = connection::example(doctor::EXAMPLE))]
    Doctor(doctor::Doctor),
    /// Print what a shell needs to complete this command.
    #[command(after_help = completions::HELP)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Look after the master key.
    #[command(subcommand)]
    Vault(vault::VaultVerb),
    /// Look after the keys that Proctor makes for itself.
    Keys(keys::KeysCommand),
    /// Keys of administrators, backends and auditors: make, list, revoke.
    Key(key::KeyCommand),
}

const SERVE_HELP: &str = "\
Settings (environment):
  PROCTOR_MASTER_KEY            32 bytes, base64; seals everything that is secret (required)
  PROCTOR_MASTER_KEY_SECOND     one more master key, which only opens: see `proctor vault rotate`
  PROCTOR_MASTER_KEY_FILE, PROCTOR_MASTER_KEY_SECOND_FILE  files that hold them instead
  PROCTOR_ADMIN_KEY             the first administrator's API key (required)
  PROCTOR_PUBLIC_URL            the URL under which clients reach this server
  DATABASE_URL                  sqlite:PATH or postgres://…; a file in the data folder when absent
  PROCTOR_DATABASE_HOSTS        hosts that may be PostgreSQL's primary, comma separated
  PROCTOR_ALLOWED_HOSTS         further Host values to answer to, comma separated
  PROCTOR_ALLOWED_ORIGINS       web origins that may send requests, comma separated
  PROCTOR_CALL_DEADLINE_MS      longest tool call (60000)
  PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS  first pause of a webhook's message that was not taken (5)
  PROCTOR_WEBHOOK_RETRY_FOR_SECONDS    how long it is tried (262800)
  PROCTOR_CATALOG_SECONDS       how often it is looked what each upstream offers (300; 0: never)
  PROCTOR_SHUTDOWN_GRACE_MS     how long calls may go on when the server stops (10000)
  PROCTOR_LEASE_SECONDS         how long a silent replica counts as alive (30)
  PROCTOR_APP_NAME              your product, as people who connect accounts know it (Proctor)
  PROCTOR_WEB_THREADS           threads that serve requests (one less than cores)
  PROCTOR_ENTITY_IDLE_SECONDS   when an unused entity leaves memory (300)
  PROCTOR_BODY_BYTES_MAX        longest request (4 MiB)
  PROCTOR_RESULT_BYTES_MAX      longest tool result (16 MiB)
  PROCTOR_LOG                   what is logged, such as info or proctor=debug
  PROCTOR_LOG_FORMAT            text or json
  OTEL_EXPORTER_OTLP_ENDPOINT   a collector of traces, OTLP over HTTP, such as http://127.0.0.1:4318
  OTEL_EXPORTER_OTLP_HEADERS    headers for it, as name=value,name=value
  OTEL_TRACES_SAMPLER_ARG       which part of the traces that begin here is told, 0 to 1 (0.1)
  OTEL_SERVICE_NAME             as what this server appears there (proctor)

Example:
  PROCTOR_MASTER_KEY=$(openssl rand -base64 32) PROCTOR_ADMIN_KEY=$(openssl rand -hex 24) \\
    proctor serve --data-dir ./data --listen 127.0.0.1:8700";

#[derive(Debug, Args)]
struct Place {
    /// Where the journal and everything else is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl From<Place> for Flags {
    fn from(place: Place) -> Self {
        Self { data_dir: place.data_dir, listen: place.listen }
    }
}

/// A failure as a person reads it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Command::parse().verb {
        Verb::Serve(place) => serve::run(place.into()),
        Verb::Demo { place, json } => demo::run(place.into(), json),
        Verb::Store(verb) => store::run(verb),
        Verb::Vault(verb) => vault::run(verb),
        Verb::Connection(command) => block_on(connection::run(command)),
        Verb::Server(command) => block_on(server::run(command)),
        Verb::Session(command) => block_on(session::run(command)),
        Verb::User(command) => block_on(user::run(command)),
        Verb::Audit(command) => block_on(audit::run(command)),
        Verb::Apply(wanted) => block_on(files::apply(wanted)),
        Verb::Export(wanted) => block_on(files::export(wanted)),
        Verb::Schema => files::schema(),
        Verb::Openapi => openapi::run(),
        Verb::Doctor(wanted) => block_on(doctor::run(wanted)),
        Verb::Completions { shell } => {
            completions::run(shell);
            Ok(())
        }
        Verb::Keys(command) => block_on(keys::run(command)),
        Verb::Key(command) => block_on(key::run(command)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("proctor: {}", in_full(&*failure));
            exit_code(&*failure)
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    actix_web::rt::System::new().block_on(work)
}

/// Whoever finds no server, or one that cannot serve now, may try again.
fn exit_code(failure: &(dyn std::error::Error + 'static)) -> ExitCode {
    const TRY_AGAIN: u8 = 3;
    let unavailable = failure.is::<Unreachable>()
        || failure.downcast_ref::<Refused>().is_some_and(|refused| refused.status.is_server_error());
    if unavailable { ExitCode::from(TRY_AGAIN) } else { ExitCode::FAILURE }
}

fn in_full(failure: &(dyn std::error::Error + 'static)) -> String {
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent errors repeat their cause.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
