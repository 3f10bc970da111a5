//! The OpenID Connect provider of the tests, a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::Request;
use crate::real_upstreams::{node, root};

pub struct Provider {
    child: Child,
    pub issuer: String,
}

impl Provider {
    pub fn start() -> Self {
        Self::start_at(0)
    }

    /// At a port that may be its former one; its keys are new.
    pub fn start_at(port: u16) -> Self {
        let mut command = Command::new(node());
        command.arg(root().join("tests/node/login_provider.mjs")).arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut issuer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        assert!(issuer.starts_with("http://"), "the provider did not start");
        Self { child, issuer: issuer.trim().to_owned() }
    }

    pub fn address(&self) -> SocketAddr {
        self.issuer.trim_start_matches("http://").parse().unwrap()
    }

    /// An access token for `user` at `resource`; `more` goes into the request.
    #[track_caller]
    pub fn token(&self, user: &str, resource: &str, more: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=agent&client_secret=a-secret-for-tests\
             &resource={resource}&user={user}{more}"
        );
        let request = Request::new("POST", "/token")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = request.send(self.address()).expect(200);
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Whatever, signed with the provider's own key.
    pub fn forge(&self, header: &Value, claims: &Value) -> String {
        let body = json!({ "header": header, "claims": claims }).to_string();
        Request::new("POST", "/forge").body(body).send(self.address()).text()
    }

    /// All keys are replaced.
    pub fn rotate(&self) {
        assert_eq!(Request::new("POST", "/rotate").send(self.address()).status, 200);
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> u32 {
        Request::new("GET", "/asked").send(self.address()).text().parse().unwrap()
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}
