//! `proctor key create`: makes an API key.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::PATH;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whose it is, or what for.
    name: String,
    /// What it may do: everything, open and end sessions, or look at everything.
    #[arg(long, value_enum)]
    role: Role,
    /// When it ends (RFC 3339, such as 2027-12-01T00:00:00Z); never when absent.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Admin,
    Minter,
    Auditor,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Create) -> Result<(), Failure> {
    let role = wanted.role.to_possible_value().map(|value| value.get_name().to_owned());
    let body = json!({ "name": wanted.name, "role": role, "expires_at": wanted.expires });
    let made = client.post(PATH, &body).await?;
    shown.done(&made, || {
        let text = |member: &str| made[member].as_str().unwrap_or_default();
        format!("{}\n\nThis key is not shown again. Its identifier is {}.", text("key"), text("id"))
    });
    Ok(())
}
