//! `proctor demo`: a whole installation with a sample upstream, in one folder, in one command.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::remote::Client;
use super::{Failure, logs};
use crate::config::{Config, Flags};
use crate::server::Server;
use crate::vault::MasterKey;

const DATA_DIR_DEFAULT: &str = "proctor-demo";
const KEYS_FILE: &str = "demo-keys.json";
const CONNECTION: &str = "desk";
const USER: &str = "demo-user";
const SESSION_TTL_SECONDS: u32 = 28_800;

/// Tools for an agent that only looks things up.
const RESEARCHER: &[&str] = &[
    "notes_list",
    "notes_search",
    "notes_read",
    "calendar_list_events",
    "calendar_get_event",
    "calendar_free_slots",
];
/// What an agent that works for its user gets beside them.
const ASSISTANT: &[&str] =
    &["notes_create", "notes_append", "notes_tag", "calendar_create_event", "calendar_move_event"];

/// The keys of a demo installation, which nobody has to bring.
#[derive(Serialize, Deserialize)]
struct Keys {
    master_key: String,
    admin_key: String,
}

pub(super) fn run(mut flags: Flags, json: bool) -> Result<(), Failure> {
    let data_dir = flags.data_dir.get_or_insert_with(|| PathBuf::from(DATA_DIR_DEFAULT)).clone();
    let keys = keys_in(&data_dir)?;
    let config = Config::read(&flags, |name| match name {
        "PROCTOR_MASTER_KEY" => Some(OsString::from(&keys.master_key)),
        "PROCTOR_ADMIN_KEY" => Some(OsString::from(&keys.admin_key)),
        "PROCTOR_LOG" => std::env::var_os(name).or_else(|| Some(OsString::from("warn"))),
        _ => std::env::var_os(name),
    })?;
    logs::start(&config);
    actix_web::rt::System::new().block_on(async {
        let upstream = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream_address = upstream.local_addr()?;
        let upstream_stops = CancellationToken::new();
        let stopped = upstream_stops.clone().cancelled_owned();
        let sample = actix_web::rt::spawn(proctor_sample::serve(upstream, stopped));
        let server = Server::start(config).await?;
        let client =
            Client::new(format!("http://{}", server.address).parse()?, keys.admin_key.clone().into(), None)?;
        let session = furnish(&client, upstream_address).await?;
        let shown = Shown { api_url: server.proctor.public_url.as_str(), keys: &keys, session: &session };
        if json {
            println!("{}", shown.as_json());
        } else {
            println!("{}", shown.as_text(&data_dir));
        }
        std::io::stdout().flush()?;
        server.run_until_signal().await?;
        upstream_stops.cancel();
        sample.await??;
        Ok(())
    })
}

/// The keys in the folder, made at the first start.
fn keys_in(data_dir: &Path) -> Result<Keys, Failure> {
    fs::create_dir_all(data_dir)?;
    let path = data_dir.join(KEYS_FILE);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            format!("failed to read {}: {error}; remove the folder to start anew", path.display()).into()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (_, master_key) = MasterKey::generate();
            let admin_key = format!("demo_{}", hex::encode(rand::random::<[u8; 24]>()));
            let keys = Keys { master_key: master_key.to_string(), admin_key };
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&serde_json::to_vec_pretty(&keys)?)?;
            file.sync_all()?;
            Ok(keys)
        }
        Err(error) => Err(format!("failed to read {}: {error}", path.display()).into()),
    }
}

/// Registers the sample, defines two virtual servers from it and mints a session.
async fn furnish(client: &Client, upstream: SocketAddr) -> Result<Value, Failure> {
    let settings = json!({
        "transport": {"type": "http", "url": format!("http://{upstream}/mcp")},
        "auth": {"type": "none"},
        "private_network": true,
    });
    let path = format!("/api/v1/connections/{CONNECTION}");
    if client.find(&path).await?.is_some() {
        // The sample listens at another port after every start.
        client.send(Method::PUT, &path, Some(&settings)).await?;
    } else {
        let mut registration = settings;
        registration["name"] = json!(CONNECTION);
        client.send(Method::POST, "/api/v1/connections", Some(&registration)).await?;
    }
    client.send(Method::POST, &format!("{path}/catalog/refresh"), None).await?;
    let looked_up = "Look things up in the user's notes and calendar. You cannot change anything.";
    let worked = "Work with the user's notes and calendar. Ask before you move an event.";
    define(client, "researcher", "Reads notes and calendar", looked_up, RESEARCHER).await?;
    let all = [RESEARCHER, ASSISTANT].concat();
    define(client, "assistant", "Reads and writes notes and calendar; deletes nothing", worked, &all).await?;
    let mint = json!({
        "virtual_server": "assistant",
        "user": USER,
        "ttl_seconds": SESSION_TTL_SECONDS,
        "labels": {"run": "demo"},
    });
    client.send(Method::POST, "/api/v1/sessions", Some(&mint)).await
}

async fn define(
    client: &Client,
    name: &str,
    description: &str,
    instructions: &str,
    tools: &[&str],
) -> Result<(), Failure> {
    if client.find(&format!("/api/v1/virtual-servers/{name}")).await?.is_some() {
        return Ok(());
    }
    let tools: Vec<Value> =
        tools.iter().map(|tool| json!({"connection": CONNECTION, "tool": tool})).collect();
    let definition = json!({
        "name": name,
        "description": description,
        "instructions": instructions,
        "tools": tools,
    });
    client.send(Method::POST, "/api/v1/virtual-servers", Some(&definition)).await.map(drop)
}

struct Shown<'a> {
    api_url: &'a str,
    keys: &'a Keys,
    session: &'a Value,
}

impl Shown<'_> {
    fn text(&self, field: &str) -> &str {
        self.session[field].as_str().unwrap_or_default()
    }

    fn as_json(&self) -> Value {
        json!({
            "api_url": self.api_url,
            "admin_key": self.keys.admin_key,
            "mcp_server_url": self.text("mcp_server_url"),
            "token": self.text("token"),
            "session_id": self.text("session_id"),
        })
    }

    /// One line that sends a request of the modern era.
    fn curl(&self, method: &str, name: Option<&str>, mut params: Value) -> String {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": crate::upstream::MODERN_VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "curl", "version": "8"},
        });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let name = name.map_or_else(String::new, |name| format!(" -H 'Mcp-Name: {name}'"));
        format!(
            "curl -sS {url} -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
             -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: {version}' \
             -H 'Mcp-Method: {method}'{name} -d '{body}'",
            url = self.text("mcp_server_url"),
            token = self.text("token"),
            version = crate::upstream::MODERN_VERSION,
        )
    }

    fn as_text(&self, data_dir: &Path) -> String {
        let snippet = json!({"mcpServers": {"proctor-demo": {
            "type": "http",
            "url": self.text("mcp_server_url"),
            "headers": {"Authorization": format!("Bearer {}", self.text("token"))},
        }}});
        format!(
            "Proctor's demo runs at {api}. Its data is in {folder}; stop it with Ctrl-C.\n\n\
             An agent gets this URL and token (user {USER}, virtual server \"assistant\", 11 of 20 tools):\n\
             \x20 {url}\n\x20 {token}\n\n\
             List its tools:\n  {list}\n\n\
             Call one:\n  {call}\n\n\
             Try one that it was not given (refused, and on the record):\n  {refused}\n\n\
             For MCP clients:\n  {snippet}\n\n\
             See the audit trail:\n  curl -sS -H 'Authorization: Bearer {key}' '{api}/api/v1/audit/tool-calls?limit=10'",
            api = self.api_url,
            folder = data_dir.display(),
            url = self.text("mcp_server_url"),
            token = self.text("token"),
            list = self.curl("tools/list", None, json!({})),
            call = self.curl(
                "tools/call",
                Some("notes_search"),
                json!({"name": "notes_search", "arguments": {"query": "release"}}),
            ),
            refused = self.curl(
                "tools/call",
                Some("notes_delete"),
                json!({"name": "notes_delete", "arguments": {"id": "note-1"}}),
            ),
            key = self.keys.admin_key,
        )
    }
}
