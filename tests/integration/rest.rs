//! What a backend does with the administrators' API, in the words of the tests.

use proctor_test_upstream::Upstream;
use serde_json::{Value, json};

use crate::world::Server;

/// A minted session.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    pub token: String,
    /// The path of `mcp_server_url`.
    pub path: String,
    pub url: String,
}

impl Server {
    /// Registers an HTTP upstream on loopback.
    #[track_caller]
    pub fn connect(&self, name: &str, url: &str) -> Value {
        self.post(
            "/api/v1/connections",
            &json!({
                "name": name, "transport": { "type": "http", "url": url },
                "auth": { "type": "none" }, "private_network": true,
            }),
        )
        .ok()
    }

    /// Registers a child process.
    #[track_caller]
    pub fn connect_stdio(&self, name: &str, command: &str, args: &[&str], env: &Value) -> Value {
        self.post(
            "/api/v1/connections",
            &json!({
                "name": name,
                "transport": { "type": "stdio", "command": command, "args": args, "env": env },
                "auth": { "type": "none" }, "private_network": false,
            }),
        )
        .ok()
    }

    #[track_caller]
    pub fn refresh(&self, connection: &str) -> Value {
        self.post(&format!("/api/v1/connections/{connection}/catalog/refresh"), &json!({})).ok()
    }

    /// Defines a virtual server with these tools of one connection.
    #[track_caller]
    pub fn define(&self, name: &str, connection: &str, tools: &[&str]) -> Value {
        let tools = tools.iter().map(|tool| json!({ "connection": connection, "tool": tool })).collect();
        self.define_with(name, tools)
    }

    #[track_caller]
    pub fn define_with(&self, name: &str, tools: Vec<Value>) -> Value {
        self.post("/api/v1/virtual-servers", &definition(name, tools)).ok()
    }

    #[track_caller]
    pub fn revise(&self, name: &str, tools: Vec<Value>) -> Value {
        self.put(&format!("/api/v1/virtual-servers/{name}"), &definition(name, tools)).ok()
    }

    /// An upstream registered as `fixture`, and all its tools on the virtual server `desk`.
    #[track_caller]
    pub fn desk(&self, upstream: &Upstream) {
        self.connect("fixture", &upstream.url());
        self.define("desk", "fixture", &ALL_TOOLS);
    }

    #[track_caller]
    pub fn mint(&self, virtual_server: &str, user: &str) -> Session {
        self.mint_with(&json!({ "virtual_server": virtual_server, "user": user }))
    }

    #[track_caller]
    pub fn mint_with(&self, opening: &Value) -> Session {
        Session::of(&self.post("/api/v1/sessions", opening).expect(201))
    }

    #[track_caller]
    pub fn revoke(&self, session: &Session) -> Value {
        let path = format!("/api/v1/sessions/{}/revoke", session.id);
        self.post(&path, &json!({ "reason": "the test says so" })).ok()
    }

    /// The rows of the audit trail that a query finds, over all pages, newest first.
    #[track_caller]
    pub fn trail(&self, query: &str) -> Vec<Value> {
        self.pages(&format!("/api/v1/audit/tool-calls?{query}"))
    }

    /// All items of a list, over all its pages.
    #[track_caller]
    pub fn pages(&self, path: &str) -> Vec<Value> {
        Self::pages_by(path, |page| self.get(page).expect(200))
    }

    /// The same, however a page is asked for.
    #[track_caller]
    pub fn pages_by(path: &str, get: impl Fn(&str) -> Value) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = get(&format!("{path}{cursor}"));
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => {
                    let glue = if path.contains('?') { '&' } else { '?' };
                    cursor = format!("{glue}cursor={next}");
                }
                None => return items,
            }
        }
    }

    /// One row of the audit trail with arguments and result.
    #[track_caller]
    pub fn call_on_record(&self, call_id: &str) -> Value {
        self.get(&format!("/api/v1/audit/tool-calls/{call_id}")).expect(200)
    }

    /// The events of a session, decoded.
    #[track_caller]
    pub fn timeline(&self, session: &Session) -> Vec<Value> {
        self.pages(&format!("/api/v1/sessions/{}/timeline", session.id))
    }
}

/// All tools of the fixture upstream.
pub const ALL_TOOLS: [&str; 9] =
    ["echo", "slow", "fail", "tool_error", "big", "read_thing", "delete_thing", "route", "vanish"];

pub fn definition(name: &str, tools: Vec<Value>) -> Value {
    json!({
        "name": name, "description": "For a test.", "instructions": "Use it well.",
        "tools": tools, "capture": "full",
    })
}

impl Session {
    pub fn of(answer: &Value) -> Self {
        let text = |member: &str| answer[member].as_str().unwrap().to_owned();
        let url = text("mcp_server_url");
        let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap();
        Self { id: text("session_id"), token: text("token"), path, url }
    }
}
