//! The authorization server of tests/node as a child process, and its side door.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::Request;
use crate::real_upstreams::{node, root};

pub const CLIENT_ID: &str = "proctor-of-the-tests";
pub const CLIENT_SECRET: &str = "canary-71c0-client-secret";

/// How the authorization server is started.
#[derive(Clone, Copy)]
pub struct Setup {
    /// How long an access token is good.
    pub lifetime_seconds: u32,
    /// Whether clients may register themselves; otherwise it knows one client with a secret.
    pub registration: bool,
    /// Whether it gives out refresh tokens.
    pub renewal: bool,
    /// Whether clients may be named by documents about them; then it knows no other.
    pub documents: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { lifetime_seconds: 3600, registration: false, renewal: true, documents: false }
    }
}

/// A running authorization server. Dropping it ends it.
pub struct Provider {
    child: Child,
    pub url: String,
    address: SocketAddr,
}

impl Provider {
    /// Starts it in front of a resource. `redirect` is where its one client may send people back to.
    pub fn start(resource: &str, redirect: &str, setup: Setup) -> Self {
        let mut command = Command::new(node());
        command.arg(root().join("tests/node/authorization_server.mjs"));
        command.args(["--resource", resource, "--lifetime", &setup.lifetime_seconds.to_string()]);
        if !setup.renewal {
            command.arg("--no-renewal");
        }
        if setup.documents {
            command.arg("--documents");
        } else if setup.registration {
            command.arg("--registration");
        } else {
            command.args(["--client", CLIENT_ID, "--secret", CLIENT_SECRET, "--redirect", redirect]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let address = url.trim_start_matches("http://").parse();
        let address = address.unwrap_or_else(|err| panic!("{err}: the authorization server says {url:?}"));
        Self { child, url, address }
    }

    pub fn jwks(&self) -> Value {
        Request::new("GET", "/jwks").send(self.address).expect(200)
    }

    /// What it was asked, and what it gave out.
    pub fn record(&self) -> Record {
        Record(Request::new("GET", "/test/record").send(self.address).expect(200))
    }

    /// Has documents of clients at this origin from where the server really is.
    pub fn read_documents(&self, of: &str, at: SocketAddr) {
        self.side_door("documents", &json!({ "of": of, "at": format!("http://{at}") }));
    }

    /// Makes all refresh tokens of a user worthless, as when they take the access back over there.
    pub fn forget(&self, user: &str) {
        self.side_door("forget-user", &json!({ "user": user }));
    }

    /// Breaks the next refreshes: `refuse`, `fail`, `delay` or `kill`.
    pub fn break_refreshes(&self, manner: &str, times: u32, milliseconds: u32) {
        self.break_grant("refresh_token", manner, times, milliseconds);
    }

    /// Breaks the next requests for tokens by this grant.
    pub fn break_grant(&self, grant: &str, manner: &str, times: u32, milliseconds: u32) {
        let how = json!({ "grant": grant, "manner": manner, "times": times, "milliseconds": milliseconds });
        self.side_door("breakage", &how);
    }

    /// Breaks the next revocations.
    pub fn break_revocations(&self, manner: &str, times: u32) {
        self.side_door("breakage", &json!({ "manner": manner, "times": times }));
    }

    fn side_door(&self, path: &str, body: &Value) {
        let request = Request::new("POST", &format!("/test/{path}")).body(body.to_string());
        request.send(self.address).expect(200);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the authorization server wrote down.
pub struct Record(Value);

impl Record {
    fn list(&self, name: &str) -> Vec<Value> {
        self.0[name].as_array().unwrap().clone()
    }

    /// Requests to the token endpoint of one grant type, with the status that they were answered with.
    pub fn token_requests(&self, grant_type: &str) -> Vec<Value> {
        let mut requests = self.list("tokens");
        requests.retain(|request| request["grant_type"] == grant_type);
        requests
    }

    pub fn exchanges(&self) -> Vec<Value> {
        self.token_requests("authorization_code")
    }

    pub fn refreshes(&self) -> Vec<Value> {
        self.token_requests("refresh_token")
    }

    pub fn revocations(&self) -> Vec<Value> {
        self.list("revocations")
    }

    /// The query parameters of each authorization request.
    pub fn authorizations(&self) -> Vec<Value> {
        self.list("authorizations")
    }

    /// The clients' documents that it has fetched.
    pub fn documents(&self) -> Vec<Value> {
        self.list("documents")
    }

    pub fn registrations(&self) -> u64 {
        self.0["registrations"].as_u64().unwrap()
    }

    /// Every access and refresh token so far.
    pub fn given_out(&self) -> Vec<String> {
        self.list("given_out").iter().map(|token| token.as_str().unwrap().to_owned()).collect()
    }
}
