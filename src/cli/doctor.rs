//! `proctor doctor`: looks for what is wrong, and says how to mend it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::Failure;
use super::remote::{Client, Refused, Remote, Unreachable, part};
use super::shown::Shown;
use super::vault::Opened;
use crate::actors;
use crate::config::{Config, Custody, Flags};

/// Clocks that differ by more than this confuse whoever compares times. Proctor itself goes by the
/// database's.
const CLOCK_SECONDS_MAX: i64 = 5;
/// Ways to authenticate that are no user's own.
const SHARED_AUTH: [&str; 2] = ["none", "header"];

pub(super) const EXAMPLE: &str = "\
proctor doctor
  proctor doctor --local --data-dir ./data";

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    remote: Remote,
    /// Look at the configuration here as well, and open the store and its keys as a server would that
    /// starts: the schema is brought up to date.
    #[arg(long)]
    local: bool,
    /// Where the journal is kept, where DATABASE_URL names no store.
    #[arg(long, value_name = "DIR", requires = "local")]
    data_dir: Option<PathBuf>,
}

/// What was looked at, in the order in which it is said.
#[derive(Default)]
struct Findings(Vec<Finding>);

struct Finding {
    what: String,
    is_well: bool,
    detail: String,
}

impl Findings {
    fn well(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Finding { what: what.into(), is_well: true, detail: detail.into() });
    }

    fn wrong(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Finding { what: what.into(), is_well: false, detail: detail.into() });
    }

    fn of<T>(&mut self, what: &str, looked: Result<T, Failure>, well: impl FnOnce(T) -> String) {
        match looked {
            Ok(found) => self.well(what, well(found)),
            Err(failure) => self.wrong(what, super::in_full(&*failure)),
        }
    }
}

pub(super) async fn run(wanted: Doctor) -> Result<(), Failure> {
    let mut findings = Findings::default();
    if wanted.local {
        look_here(&mut findings, &Flags { data_dir: wanted.data_dir.clone(), listen: None }).await;
    }
    match wanted.remote.open() {
        Ok((client, _)) => {
            if look_at_server(&mut findings, &client).await && look_at_key(&mut findings, &client).await {
                look_at_upstreams(&mut findings, &client).await?;
                look_at_servers(&mut findings, &client).await?;
            }
        }
        // Whoever looks before the first start has none yet.
        Err(failure) if wanted.local => eprintln!("No server was looked at: {failure}"),
        Err(failure) => return Err(failure),
    }
    let wrong = findings.0.iter().filter(|finding| !finding.is_well).count();
    say(&wanted.remote.shown(), &findings);
    match wrong {
        0 => Ok(()),
        1 => Err("one thing is wrong".into()),
        several => Err(format!("{several} things are wrong").into()),
    }
}

async fn look_here(findings: &mut Findings, flags: &Flags) {
    let lookup = |name: &str| std::env::var_os(name);
    match Config::read(flags, lookup) {
        Ok(_) => findings.well("configuration", "every setting can be used"),
        Err(errors) => {
            for error in errors.0 {
                findings.wrong("configuration", error.to_string());
            }
        }
    }
    let opened = async {
        let custody = Custody::read(flags, lookup)?;
        Opened::open(&custody.store, &custody.master_keys).await
    };
    findings.of("store and keys", opened.await, |_| "the store opens, and so do its keys".to_owned());
}

/// Whether it can be asked more.
async fn look_at_server(findings: &mut Findings, client: &Client) -> bool {
    let ready = match client.exchange(Method::GET, "/readyz", None).await {
        Ok(ready) => ready,
        Err(failure) => {
            findings.wrong("server", super::in_full(&*failure));
            return false;
        }
    };
    let said: Value = serde_json::from_slice(ready.body()).unwrap_or(Value::Null);
    if ready.status() == StatusCode::OK {
        findings.well(
            "server",
            format!("{} takes work (journal at position {})", client.url(), said["position"]),
        );
    } else {
        let reasons: Vec<&str> =
            said["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        findings.wrong("server", format!("{} takes no work: {}", client.url(), reasons.join("; ")));
    }
    let its_time =
        ready.headers().get("date").and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let ours = DateTime::<Utc>::from_timestamp_micros(actors::now().0).unwrap_or_default();
    match its_time.map(|its| (ours - its.to_utc()).num_seconds()) {
        Some(apart) if apart.abs() > CLOCK_SECONDS_MAX => findings.wrong(
            "clock",
            format!(
                "the server's clock and this machine's are {} s apart: let both follow a time server (NTP)",
                apart.abs()
            ),
        ),
        Some(_) => findings.well("clock", "the server's clock and this machine's agree"),
        None => {}
    }
    true
}

async fn look_at_key(findings: &mut Findings, client: &Client) -> bool {
    match client.get("/api/v1/connections?limit=1").await {
        Ok(_) => {
            findings.well("key", "the API key may look at everything that is looked at here");
            true
        }
        Err(failure) => {
            let mend = match failure.downcast_ref::<Refused>().map(|refused| refused.status) {
                Some(StatusCode::UNAUTHORIZED) => ": set PROCTOR_API_KEY to a key of this server",
                Some(StatusCode::FORBIDDEN) => ": use the key of an administrator",
                _ => "",
            };
            findings.wrong("key", format!("{}{mend}", super::in_full(&*failure)));
            false
        }
    }
}

async fn look_at_upstreams(findings: &mut Findings, client: &Client) -> Result<(), Failure> {
    let (connections, _) = client.list("/api/v1/connections", &[], usize::MAX).await?;
    for connection in connections.iter().filter(|connection| connection["state"] != "retired") {
        let text = |place: &str| connection.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let name = text("/name");
        let what = format!("connection {name}");
        if connection["catalog"].is_null() {
            let mend = "its catalog was never read: proctor connection catalog";
            findings.wrong(&what, format!("{mend} {name} --refresh"));
        }
        match connection["held"].as_u64().unwrap_or_default() {
            0 => {}
            held => findings.wrong(
                &what,
                format!(
                    "{held} of its tools are held, since its upstream offers them otherwise than it is in force: \
                     see proctor connection diff {name}, then proctor connection approve {name}"
                ),
            ),
        }
        if !SHARED_AUTH.contains(&text("/auth/type")) {
            findings.well(&what, format!("not tried, since every user brings an account: proctor connection test {name} --user USER"));
            continue;
        }
        match client.post(&format!("/api/v1/connections/{}/test", part(name)), &json!({})).await {
            Ok(found) => findings.well(&what, format!("answers, protocol {}", found["protocol_version"])),
            Err(failure) if failure.is::<Unreachable>() => return Err(failure),
            Err(failure) => findings.wrong(&what, super::in_full(&*failure)),
        }
    }
    Ok(())
}

async fn look_at_servers(findings: &mut Findings, client: &Client) -> Result<(), Failure> {
    let (servers, _) = client.list("/api/v1/virtual-servers", &[], usize::MAX).await?;
    for server in servers.iter().filter(|server| server["state"] != "retired") {
        let name = server["name"].as_str().unwrap_or_default();
        let manifest = client.get(&format!("/api/v1/virtual-servers/{}/manifest", part(name))).await?;
        let shown = manifest["tools"].as_array().map_or(0, Vec::len);
        let listed = server["tools"].as_array().map_or(0, Vec::len);
        let what = format!("virtual server {name}");
        if shown == listed {
            findings.well(what, format!("its agents see {shown} tools"));
        } else {
            let missing = listed - shown.min(listed);
            findings.wrong(
                what,
                format!("{missing} of its {listed} tools are not shown, since they are held or not there any more: approve what is held of its connections, or see proctor server manifest {name} and revise it"),
            );
        }
    }
    Ok(())
}

fn say(shown: &Shown, findings: &Findings) {
    let items: Vec<Value> = findings
        .0
        .iter()
        .map(|finding| json!({ "what": finding.what, "ok": finding.is_well, "detail": finding.detail }))
        .collect();
    shown.done(&Value::Array(items), || {
        let lines = findings.0.iter().map(|finding| {
            let Finding { what, is_well, detail } = finding;
            format!("{:<6}{what}: {detail}", if *is_well { "ok" } else { "WRONG" })
        });
        lines.collect::<Vec<_>>().join("\n")
    });
}
