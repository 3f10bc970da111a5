//! A client of the REST API, for verbs that speak to a server.
//!
//! **Invariants.** The key stands in no error, and is sent to nobody but the server that is named.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;
use zeroize::Zeroizing;

use crate::actors::new_id;
use crate::cli::Failure;
use crate::named_server::{self, NamedServer};

/// How long an answer takes at most: a revocation waits for every replica, a test for an upstream.
const ANSWER_WAIT: Duration = Duration::from_secs(90);

/// An answer that says that something was wrong.
#[derive(Debug)]
pub(in crate::cli) struct Refused {
    pub(in crate::cli) status: StatusCode,
    attempted: String,
    /// What the server says of it: a problem document (RFC 9457), where it is one.
    pub(in crate::cli) problem: Value,
    /// What it says otherwise.
    text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, attempted, problem, text } = self;
        write!(f, "failed to {attempted}: the server answered {status}")?;
        if let Some(code) = problem["code"].as_str() {
            write!(f, " ({code})")?;
        }
        write!(f, ": {}", problem["detail"].as_str().unwrap_or(text))
    }
}

impl std::error::Error for Refused {}

/// Nobody answered.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to reach {url}: {reason}: is Proctor running there? (PROCTOR_URL, --url or a profile says where)"
)]
pub(in crate::cli) struct Unreachable {
    url: String,
    reason: String,
}

/// Speaks to one server with one key.
pub(in crate::cli) struct Client {
    server: NamedServer,
    key: Zeroizing<String>,
}

impl Client {
    /// Speaks to the server at `url`; over TLS it must show a certificate of a known authority, or of
    /// the one in the file `authority`.
    pub(in crate::cli) fn new(
        url: Url,
        key: Zeroizing<String>,
        authority: Option<&Path>,
    ) -> Result<Self, Failure> {
        Ok(Self { server: NamedServer::new(url, authority)?, key })
    }

    /// Where the server is.
    pub(in crate::cli) fn url(&self) -> &Url {
        self.server.url()
    }

    /// Sends one request and reads the answer as JSON.
    pub(in crate::cli) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self.exchange(method.clone(), path, body).await?;
        let (status, bytes) = (answer.status(), answer.into_body());
        let json: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(json);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // What was asked for stands in the query, and may be a person's name.
        let path = path.split('?').next().unwrap_or_default();
        Err(Box::new(Refused { status, attempted: format!("{method} {path}"), problem: json, text }))
    }

    pub(in crate::cli) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None).await
    }

    pub(in crate::cli) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(in crate::cli) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// As [`Client::get`], but nothing when there is no such thing.
    pub(in crate::cli) async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) => match failure.downcast_ref::<Refused>() {
                Some(refused) if refused.status == StatusCode::NOT_FOUND => Ok(None),
                _ => Err(failure),
            },
        }
    }

    /// The items of a list, page by page, until there are `wanted`, and whether there are more.
    pub(in crate::cli) async fn list(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        wanted: usize,
    ) -> Result<(Vec<Value>, bool), Failure> {
        const PAGE_ITEMS_MAX: usize = 500;
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = (wanted - items.len()).min(PAGE_ITEMS_MAX).to_string();
            let page = [("limit", Some(limit.as_str())), ("cursor", cursor.as_deref())];
            let mut answer = self.get(&with_query(path, &[query, &page].concat())).await?;
            if let Value::Array(page) = answer["items"].take() {
                items.extend(page);
            }
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= wanted {
                return Ok((items, cursor.is_some()));
            }
        }
    }

    /// Sends one request, and reads what comes back whatever it says. Where the answer is lost, it is sent
    /// once more, with a name by which the server knows that it is the same.
    pub(in crate::cli) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Bytes>, Failure> {
        let name = new_id("cli");
        let connect = async || self.server.connect().await.map_err(|error| self.unreachable(&error));
        let stream = connect().await?;
        match self.exchange_on(stream, &method, path, body, &name).await {
            Err(_) => self.exchange_on(connect().await?, &method, path, body, &name).await,
            answer => answer,
        }
        .map_err(|reason| self.unreachable(&format!("the answer was lost ({reason})")))
    }

    async fn exchange_on(
        &self,
        stream: TcpStream,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        name: &str,
    ) -> Result<Response<Bytes>, named_server::Error> {
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.url().path().trim_end_matches('/')))
            .header("host", self.server.host())
            .header("user-agent", concat!("proctor/", env!("CARGO_PKG_VERSION")))
            .header("authorization", format!("Bearer {}", *self.key))
            .header("content-type", "application/json")
            .header("idempotency-key", name)
            .body(Full::new(body.map_or_else(Bytes::new, |body| body.to_string().into())))?;
        match tokio::time::timeout(ANSWER_WAIT, self.server.exchange(stream, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("nothing came within {} s", ANSWER_WAIT.as_secs()).into()),
        }
    }

    fn unreachable(&self, reason: &dyn fmt::Display) -> Failure {
        Box::new(Unreachable { url: self.url().to_string(), reason: reason.to_string() })
    }
}

/// A path with those of the parameters that have a value.
pub(in crate::cli) fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A name as one part of a path.
pub(in crate::cli) fn part(name: &str) -> String {
    // A space becomes a plus there, which is one in a path.
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_cannot_leave_their_place_in_an_address() {
        assert_eq!(part("ann b/../c?x=1#é"), "ann%20b%2F..%2Fc%3Fx%3D1%23%C3%A9");
        let query = [("user", Some("a&b=c")), ("label", None), ("limit", Some("5"))];
        assert_eq!(with_query("/x", &query), "/x?user=a%26b%3Dc&limit=5");
        assert_eq!(with_query("/x", &[("a", None)]), "/x");
    }

    #[test]
    fn only_http_and_https_lead_to_a_server() {
        let refused = Client::new(Url::parse("ftp://a").unwrap(), Zeroizing::default(), None).err().unwrap();
        assert!(refused.to_string().contains("http or https"), "{refused}");
    }
}
