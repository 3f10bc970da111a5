//! `proctor audit search`: tool calls, newest first.

use clap::Args;

use crate::cli::Failure;
use crate::cli::remote::{Client, Period, Wanted};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// For this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// In this session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// In sessions with this label.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// On this virtual server.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Of this connection.
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// By this method: tools/call, prompts/get, resources/list, resources/read or completion/complete.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Of this tool or prompt, or of the resources that this URI or template exposes.
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// That ended so: refused, in_flight, succeeded, failed, cancelled,
    /// abandoned or input_required.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), filter: &Filter) -> Result<(), Failure> {
    let of_these = [
        ("user", filter.user.as_deref()),
        ("session", filter.session.as_deref()),
        ("label", filter.label.as_deref()),
        ("virtual_server", filter.server.as_deref()),
        ("connection", filter.connection.as_deref()),
        ("method", filter.method.as_deref()),
        ("tool", filter.tool.as_deref()),
        ("outcome", filter.outcome.as_deref()),
    ];
    let query = [&of_these[..], &filter.period.query()].concat();
    let columns = [
        ("CALL", "/call_id"),
        ("STARTED", "/started_at"),
        ("USER", "/user"),
        ("SERVER", "/virtual_server"),
        ("METHOD", "/method"),
        ("TOOL", "/tool"),
        ("OUTCOME", "/outcome"),
        ("REASON", "/reason"),
        ("MS", "/duration_ms"),
    ];
    filter.wanted.show(opened, "/api/v1/audit/tool-calls", &query, &columns).await
}
