//! `proctor session mint`: opens a session for a user.

use clap::Args;
use serde_json::{Map, Value, json};

use super::PATH;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Mint {
    /// The virtual server's name.
    virtual_server: String,
    /// The user, as your product knows them.
    user: String,
    /// For so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    ttl: u32,
    /// Only tools that read.
    #[arg(long)]
    read_only: bool,
    /// Only this tool; may stand several times.
    #[arg(long, value_name = "TOOL")]
    tool: Vec<String>,
    /// By which the session is found; may stand several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// It ends after so many calls.
    #[arg(long, value_name = "N")]
    calls_max: Option<u32>,
    /// It admits so many calls in any 60 seconds.
    #[arg(long, value_name = "N")]
    calls_per_minute_max: Option<u32>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give a key and a value, as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Mint) -> Result<(), Failure> {
    let mut body = json!({
        "virtual_server": wanted.virtual_server,
        "user": wanted.user,
        "ttl_seconds": wanted.ttl,
    });
    if wanted.read_only {
        body["access"] = "read_only".into();
    }
    if !wanted.tool.is_empty() {
        body["tools"] = wanted.tool.clone().into();
    }
    if !wanted.label.is_empty() {
        let labels: Map<_, _> =
            wanted.label.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        body["labels"] = labels.into();
    }
    let limits = [("calls_max", wanted.calls_max), ("calls_per_minute_max", wanted.calls_per_minute_max)];
    let limits: Map<_, _> =
        limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into()))).collect();
    if !limits.is_empty() {
        body["limits"] = limits.into();
    }
    let minted = client.post(PATH, &body).await?;
    shown.whole(&minted);
    Ok(())
}
