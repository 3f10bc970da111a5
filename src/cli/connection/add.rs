//! `proctor connection add`: registers an upstream.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::cli::remote::Client;
use crate::cli::shown::Shown;
use crate::cli::{Failure, document};

pub(super) const EXAMPLE: &str = "\
proctor connection add crm --upstream https://mcp.crm.example/mcp --auth header --header X-Api-Key \\
    --secret-file crm.key
  proctor connection add clock --command mcp-server-time --arg --local-timezone=UTC
  proctor connection add -f gmail.yaml";

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The connection's name.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Everything from a file in YAML or JSON (- for standard input), in the form of the REST API, with
    /// secrets as {from_env: NAME} or {from_file: PATH}.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["name", "upstream", "command", "auth"])]
    file: Option<PathBuf>,
    /// The upstream's URL, for streamable HTTP.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    upstream: Option<String>,
    /// The command that the server starts as a child process, for stdio.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// An argument of the command; may stand several times.
    #[arg(long, value_name = "ARG", requires = "command", allow_hyphen_values = true)]
    arg: Vec<String>,
    /// A variable for the command, with the value that it has here; may stand several times.
    #[arg(long, value_name = "NAME", requires = "command")]
    env: Vec<String>,
    /// How calls authenticate at the upstream; all but none and header are each user's own.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Auth::None)]
    auth: Auth,
    /// The header that carries the secret.
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// The variable here that holds the secret that all share (with --auth header).
    #[arg(long, value_name = "NAME", conflicts_with = "secret_file")]
    secret_env: Option<String>,
    /// The file here that holds it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A variable that every user brings to a child process (with --auth environment); may stand several
    /// times.
    #[arg(long, value_name = "NAME", required_if_eq("auth", "environment"))]
    variable: Vec<String>,
    /// The upstream is in a private network.
    #[arg(long)]
    private_network: bool,
    /// All users may share connections and child processes.
    #[arg(long)]
    shared: bool,
    /// Which changes of its tools come into force without an administrator.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Drift::Hold)]
    drift: Drift,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drift {
    /// None: a tool that changed, or is new, is held.
    Hold,
    /// Those that only narrow what a tool takes.
    Narrowing,
    /// All.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Header,
    #[value(name = "api_key")]
    ApiKey,
    Bearer,
    Basic,
    #[value(name = "oauth2")]
    Oauth2,
    Environment,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Add) -> Result<(), Failure> {
    let mut body = match &wanted.file {
        Some(path) => {
            let document = document::read(path)?;
            document::refuse_plain_secrets(&document)?;
            document
        }
        None => wanted.body()?,
    };
    document::with_secrets(&mut body)?;
    let added = client.post("/api/v1/connections", &body).await?;
    let name = added["name"].as_str().unwrap_or_default();
    shown.done(&added, || match added.pointer("/catalog/tools") {
        Some(tools) => format!("Connection {name} is registered; {tools} tools were found."),
        None => format!(
            "Connection {name} is registered. Its catalog is read once a user has connected an account: \
             proctor connection catalog {name} --refresh --user USER"
        ),
    });
    Ok(())
}

impl Add {
    fn body(&self) -> Result<Value, Failure> {
        let transport = match (&self.upstream, &self.command) {
            (Some(url), None) => json!({ "type": "http", "url": url }),
            (None, Some(command)) => {
                let env: Map<_, _> =
                    self.env.iter().map(|name| (name.clone(), json!({ "from_env": name }))).collect();
                json!({ "type": "stdio", "command": command, "args": self.arg, "env": env })
            }
            _ => {
                return Err(
                    "say where the upstream is, with --upstream or --command (or all in a file, with -f)"
                        .into(),
                );
            }
        };
        let mut auth = Map::new();
        let kind = self.auth.to_possible_value().map(|value| value.get_name().to_owned());
        auth.insert("type".into(), kind.into());
        match self.auth {
            Auth::Header => {
                let name =
                    self.header.as_ref().ok_or("--auth header needs the header's name: --header NAME")?;
                auth.insert("name".into(), name.as_str().into());
                auth.insert("value".into(), self.secret()?);
            }
            Auth::ApiKey | Auth::Bearer => {
                auth.extend(self.header.as_ref().map(|name| ("header".to_owned(), json!(name))));
            }
            Auth::Environment => {
                let variables = self.variable.iter().map(|name| json!({ "name": name }));
                auth.insert("variables".into(), variables.collect());
            }
            Auth::None | Auth::Basic | Auth::Oauth2 => {}
        }
        let drift = self.drift.to_possible_value().map(|value| value.get_name().to_owned());
        Ok(json!({
            "name": self.name,
            "transport": transport,
            "auth": auth,
            "private_network": self.private_network,
            "shared": self.shared,
            "drift": drift,
        }))
    }

    fn secret(&self) -> Result<Value, Failure> {
        match (&self.secret_env, &self.secret_file) {
            (Some(name), _) => Ok(json!({ "from_env": name })),
            (None, Some(path)) => Ok(json!({ "from_file": path })),
            (None, None) => {
                Err("--auth header needs the secret: --secret-env NAME or --secret-file FILE".into())
            }
        }
    }
}
