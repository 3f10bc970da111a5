//! A small client of the REST API, for verbs that speak to a server.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::Failure;

/// An answer that says that something was wrong.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// The problem document, if it is one.
    pub(super) problem: Value,
    attempted: String,
    detail: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}: the server answered {}: {}", self.attempted, self.status, self.detail)
    }
}

impl std::error::Error for Refused {}

/// Speaks to one server as one administrator.
pub(super) struct Client {
    address: std::net::SocketAddr,
    key: String,
}

impl Client {
    pub(super) fn new(address: std::net::SocketAddr, key: String) -> Self {
        Self { address, key }
    }

    /// Sends one request and reads the answer as JSON.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driven = actix_web::rt::spawn(connection);
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(body.map_or_else(Bytes::new, |body| body.to_string().into())))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        driven.abort();
        let json: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(json);
        }
        let detail =
            json["detail"].as_str().map_or_else(|| String::from_utf8_lossy(&bytes).into(), str::to_owned);
        Err(Box::new(Refused { status, problem: json, attempted: format!("{method} {path}"), detail }))
    }

    /// As [`Client::send`], but nothing when there is no such thing.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.send(Method::GET, path, None).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) => match failure.downcast_ref::<Refused>() {
                Some(refused) if refused.status == StatusCode::NOT_FOUND => Ok(None),
                _ => Err(failure),
            },
        }
    }
}
