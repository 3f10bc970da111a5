//! An MCP client of either era that hides nothing and tidies nothing.

use std::net::SocketAddr;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::{Request, Response, Sent};
use crate::rest::Session;
use crate::world::Server;

pub const MODERN: &str = "2026-07-28";
pub const LEGACY: &str = "2025-11-25";

const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"raw-agent","version":"1.2.3"},"io.modelcontextprotocol/clientCapabilities":"#;

/// One agent with one token.
#[derive(Clone, Debug)]
pub struct Agent {
    pub address: SocketAddr,
    pub path: String,
    pub token: String,
    /// The legacy session id; none in the modern era.
    pub legacy: Option<String>,
    /// What it declares in the modern era to be able to do.
    pub capabilities: &'static str,
}

impl Agent {
    pub fn modern(server: &Server, session: &Session) -> Self {
        Self {
            address: server.address,
            path: session.path.clone(),
            token: session.token.clone(),
            legacy: None,
            capabilities: "{}",
        }
    }

    /// One that can do this.
    pub fn modern_who_can(server: &Server, session: &Session, capabilities: &'static str) -> Self {
        Self { capabilities, ..Self::modern(server, session) }
    }

    /// An agent that has been through the handshake.
    #[track_caller]
    pub fn legacy(server: &Server, session: &Session) -> Self {
        Self::legacy_who_can(server, session, "{}")
    }

    /// One that has been through the handshake and can do this.
    #[track_caller]
    pub fn legacy_who_can(server: &Server, session: &Session, capabilities: &'static str) -> Self {
        let mut agent = Self::modern(server, session);
        let initialize =
            INITIALIZE.replace(r#""capabilities":{}"#, &format!(r#""capabilities":{capabilities}"#));
        let answer = agent.post(&initialize).send(agent.address);
        assert_eq!(answer.status, 200, "{}", answer.text());
        agent.legacy = Some(answer.header("mcp-session-id").unwrap().to_owned());
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let initialized = agent.post(initialized).send(agent.address);
        assert_eq!(initialized.status, 202, "{}", initialized.text());
        agent
    }

    /// A POST of this body, with the headers that every request has.
    pub fn post(&self, body: &str) -> Request {
        let request = Request::new("POST", &self.path)
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(body);
        match &self.legacy {
            Some(session) => {
                request.header("Mcp-Session-Id", session.clone()).header("MCP-Protocol-Version", LEGACY)
            }
            None => request,
        }
    }

    /// A request of the agent's era. `params` is the inner text of a JSON object; `_meta` is
    /// added in the modern era, so it must not be there.
    pub fn request(&self, id: &str, method: &str, params: &str) -> Request {
        self.request_with_meta(id, method, params, "")
    }

    /// As [`Self::request`], with more members of `_meta`, as the inner text of a JSON object.
    pub fn request_with_meta(&self, id: &str, method: &str, params: &str, meta: &str) -> Request {
        let glue = |left: &str, right: &str| {
            let comma = if left.is_empty() || right.is_empty() { "" } else { "," };
            format!("{left}{comma}{right}")
        };
        let meta = match self.legacy {
            Some(_) => meta.to_owned(),
            None => glue(&format!("{META}{}", self.capabilities), meta),
        };
        let meta = if meta.is_empty() { meta } else { format!(r#""_meta":{{{meta}}}"#) };
        let params = glue(params, &meta);
        let request =
            self.post(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#));
        if self.legacy.is_some() {
            request
        } else {
            request.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method)
        }
    }

    /// A `tools/call`; `arguments` is a JSON object as it is to be sent.
    pub fn call_request(&self, id: &str, tool: &str, arguments: &str) -> Request {
        self.call_request_with_meta(id, tool, arguments, "")
    }

    pub fn call_request_with_meta(&self, id: &str, tool: &str, arguments: &str, meta: &str) -> Request {
        let name = Value::from(tool);
        let params = format!(r#""name":{name},"arguments":{arguments}"#);
        let request = self.request_with_meta(id, "tools/call", &params, meta);
        if self.legacy.is_some() { request } else { request.header("Mcp-Name", tool) }
    }

    pub fn send(&self, request: &Request) -> Answer {
        Answer::of(&request.send(self.address))
    }

    pub fn call(&self, tool: &str, arguments: &str) -> Answer {
        self.send(&self.call_request("1", tool, arguments))
    }

    /// Sends a call and does not wait for its answer.
    pub fn start_call(&self, id: &str, tool: &str, arguments: &str) -> Sent {
        self.call_request(id, tool, arguments).start(self.address)
    }

    /// The definitions that `tools/list` shows, over all pages, as they are written there.
    #[track_caller]
    pub fn definitions(&self) -> Vec<String> {
        let mut definitions = Vec::new();
        let mut params = String::new();
        loop {
            let page = self.send(&self.request("1", "tools/list", &params));
            assert_eq!(page.status, 200, "{}", page.text);
            let tools: Vec<&RawValue> = serde_json::from_str(page.result_member("tools")).unwrap();
            definitions.extend(tools.iter().map(|tool| tool.get().to_owned()));
            match page.result()["nextCursor"].as_str() {
                Some(cursor) => params = format!(r#""cursor":{}"#, Value::from(cursor)),
                None => return definitions,
            }
        }
    }

    /// The names that `tools/list` shows, in its order.
    #[track_caller]
    pub fn tools(&self) -> Vec<String> {
        let name = |tool: &String| {
            let tool: Value = serde_json::from_str(tool).unwrap();
            tool["name"].as_str().unwrap().to_owned()
        };
        self.definitions().iter().map(name).collect()
    }
}

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw-agent","version":"1.2.3"}}}"#;

/// An answer of the agents' door.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// The JSON-RPC response as it came, out of a JSON body or the last event of a stream.
    pub text: String,
}

impl Answer {
    pub fn of(response: &Response) -> Self {
        let text = response.text();
        let streams = response.header("content-type").is_some_and(|kind| kind.contains("event-stream"));
        let text = if streams {
            let mut data = text.lines().filter_map(|line| line.strip_prefix("data:"));
            data.rfind(|data| data.contains(r#""jsonrpc""#)).unwrap_or_default().trim().to_owned()
        } else {
            text
        };
        Self { status: response.status, text }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|err| panic!("{err} in an answer with status {}: {}", self.status, self.text))
    }

    /// The result of an answer that must be one.
    #[track_caller]
    pub fn result(&self) -> Value {
        let message = self.json();
        assert!(message.get("result").is_some(), "status {}: {message}", self.status);
        message["result"].clone()
    }

    /// The error code of an answer that must be an error.
    #[track_caller]
    pub fn error_code(&self) -> i64 {
        self.error()["code"].as_i64().unwrap()
    }

    #[track_caller]
    pub fn error(&self) -> Value {
        let message = self.json();
        assert!(message.get("error").is_some(), "status {}: {message}", self.status);
        message["error"].clone()
    }

    /// A member of the result, as it is written.
    #[track_caller]
    pub fn result_member(&self, name: &str) -> &str {
        member(member(&self.text, "result"), name)
    }

    /// The text of the first content block.
    #[track_caller]
    pub fn content(&self) -> String {
        self.result()["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

/// A member of a JSON object, as it is written.
#[track_caller]
pub fn member<'a>(object: &'a str, name: &str) -> &'a str {
    let members: std::collections::HashMap<String, &RawValue> = serde_json::from_str(object).unwrap();
    members.get(name).unwrap_or_else(|| panic!("no {name} in {object}")).get()
}
