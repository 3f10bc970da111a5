//! The door on a real journal in a folder of its own, with the sample upstream behind it.

mod connections;
mod door;
mod purpose_keys;
mod sessions;
mod trail;
mod virtual_servers;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::http::header::HeaderMap;
use actix_web::{App, test, web};
use proctor_domain::By;
use proctor_domain::api_key::{ApiKey, ApiKeyCommand, Role};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::actors::ApiKeys;
use crate::config::{Config, Flags};
use crate::proctor::Proctor;
use crate::server::Server;

const ADMIN_KEY: &str = "an-administrators-key-for-tests-only-0123456789";
const MASTER_KEY: &str = "dGhpcnR5LXR3byBieXRlcyBvZiBrZXksIGZvciB1cyE=";

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running Proctor and the sample upstream.
struct World {
    server: Server,
    upstream: String,
    stop_upstream: CancellationToken,
    _folder: Folder,
}

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl World {
    async fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("proctor-api-{}-{number}", std::process::id()));
        let flags = Flags { data_dir: Some(folder.clone()), listen: Some("127.0.0.1:0".to_owned()) };
        let config = Config::read(&flags, |name| match name {
            "PROCTOR_MASTER_KEY" => Some(OsString::from(MASTER_KEY)),
            "PROCTOR_ADMIN_KEY" => Some(OsString::from(ADMIN_KEY)),
            "PROCTOR_BODY_BYTES_MAX" => Some(OsString::from("65536")),
            _ => None,
        });
        let server = Server::start(config.unwrap()).await.unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let upstream = format!("http://{}/mcp", listener.local_addr().unwrap());
        let stop_upstream = CancellationToken::new();
        actix_web::rt::spawn(proctor_sample::serve(listener, stop_upstream.clone().cancelled_owned()));
        Self { server, upstream, stop_upstream, _folder: Folder(folder) }
    }

    async fn stop(self) {
        self.stop_upstream.cancel();
        self.server.stop().await.unwrap();
    }

    fn proctor(&self) -> &Arc<Proctor> {
        &self.server.proctor
    }

    /// Sends a request as the holder of a key.
    async fn send(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = test::TestRequest::with_uri(path)
            .method(method.parse().unwrap())
            .insert_header(("Authorization", format!("Bearer {key}")));
        let request = match body {
            Some(body) => request.set_json(body),
            None => request,
        };
        self.request(request).await
    }

    async fn request(&self, request: test::TestRequest) -> Answer {
        let app = App::new()
            .app_data(web::Data::from(Arc::clone(self.proctor())))
            .configure(super::configure)
            .default_service(web::to(super::not_found));
        let app = test::init_service(app).await;
        let response = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = test::read_body(response).await;
        // What is no JSON is text.
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_else(|_| text()) }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(ADMIN_KEY, "GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(ADMIN_KEY, "POST", path, Some(&body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(ADMIN_KEY, "PUT", path, Some(&body)).await
    }

    /// Makes a key of this role valid.
    async fn key(&self, key: &str, role: Role) {
        let by = By::Replica(self.proctor().replica.clone());
        let command = ApiKeyCommand::Create { by, name: "test".to_owned(), role, expires_at: None };
        self.proctor().directory.tell::<ApiKey>(ApiKeys::id_of(key).as_str(), command).await.unwrap();
    }

    async fn revoke_key(&self, key: &str) {
        let by = By::Replica(self.proctor().replica.clone());
        let command = ApiKeyCommand::Revoke { by, reason: "test".to_owned(), remaining: None };
        self.proctor().directory.tell::<ApiKey>(ApiKeys::id_of(key).as_str(), command).await.unwrap();
    }

    /// Registers the sample upstream as `desk`.
    async fn connect(&self) -> Value {
        let body = json!({
            "name": "desk", "transport": { "type": "http", "url": self.upstream },
            "private_network": true,
        });
        self.post("/api/v1/connections", body).await.expect(201)
    }

    /// Registers the sample upstream and defines `reader` with two of its tools.
    async fn define(&self) {
        self.connect().await;
        self.post("/api/v1/virtual-servers", definition("reader", &["notes_list", "notes_create"]))
            .await
            .expect(201);
    }

    async fn mint(&self, user: &str) -> Value {
        let body = json!({ "virtual_server": "reader", "user": user });
        self.post("/api/v1/sessions", body).await.expect(201)
    }
}

fn definition(name: &str, tools: &[&str]) -> Value {
    let tools: Vec<_> = tools.iter().map(|tool| json!({ "connection": "desk", "tool": tool })).collect();
    json!({ "name": name, "description": "d", "instructions": "i", "tools": tools })
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The body of a problem document with this status and code.
    #[track_caller]
    fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers.get("content-type").unwrap(), "application/problem+json");
        assert_eq!(self.body["code"], code, "{}", self.body);
        assert_eq!(self.body["status"], status);
        self.body
    }

    fn position(&self) -> u64 {
        self.headers.get("proctor-position").unwrap().to_str().unwrap().parse().unwrap()
    }
}
