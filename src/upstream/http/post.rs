//! One message to somebody who is no MCP server: a POST, and the status of its answer.
//!
//! **Invariants.** The same guard as for tool calls. No redirect is followed. Of the answer's body
//! nothing is kept, and little is read.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::time::timeout;

use super::wire::Wire;
use crate::upstream::guard::{DialError, Dialer, Endpoint, Reach};

/// Of an answer's body no more is read.
const ANSWER_BYTES_MAX: usize = 1_024;
/// How long a connection may take to stand.
const DIAL_WAIT: Duration = Duration::from_secs(5);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("proctor/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// No connection was opened. Nothing has left.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection was closed, or the answer was not HTTP.
    #[error("broke off before it answered ({0})")]
    Broken(#[source] hyper::Error),
    /// It took too long.
    #[error("did not answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl PostError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dial(DialError::Forbidden(..)) => "address_forbidden",
            Self::Dial(DialError::Tls(_) | DialError::Name(_)) => "tls",
            Self::Dial(DialError::Unresolved(_) | DialError::Refused(_) | DialError::TimedOut(_)) => {
                "unreachable"
            }
            Self::Broken(_) => "broken_off",
            Self::Silent(_) => "timeout",
        }
    }
}

/// Sends messages. Each on a connection of its own: a receiver is seldom sent two in a minute.
#[derive(Clone, Debug)]
pub struct Poster {
    dialer: Dialer,
    wait: Duration,
}

impl Poster {
    /// Answers have to be there within `wait`.
    #[must_use]
    pub fn new(wait: Duration) -> Self {
        Self { dialer: Dialer::new(DIAL_WAIT), wait }
    }

    /// Posts JSON to `endpoint` and answers the status that it was answered with.
    ///
    /// # Errors
    /// When there was no answer, see [`PostError`].
    pub async fn post(
        &self,
        endpoint: &Endpoint,
        reach: Reach,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<u16, PostError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.target.clone();
        *request.headers_mut() = headers;
        let sent = request.headers_mut();
        sent.insert(HOST, endpoint.authority.clone());
        sent.insert(CONTENT_TYPE, JSON);
        sent.insert(USER_AGENT, AGENT);
        sent.insert(CONNECTION, CLOSE);
        let answered = async {
            let stream = self.dialer.dial(endpoint, reach).await?;
            let mut wire = Wire::open(stream).await.map_err(PostError::Broken)?;
            let answer =
                wire.send(request, None).await.map_err(|failed| PostError::Broken(failed.into_error()))?;
            let status = answer.status().as_u16();
            let mut body = answer.into_body();
            let mut bytes = 0;
            // The status says all: a body that breaks off changes nothing.
            while bytes < ANSWER_BYTES_MAX
                && let Some(Ok(chunk)) = wire.chunk(&mut body).await
            {
                bytes += chunk.len();
            }
            Ok(status)
        };
        timeout(self.wait, answered).await.unwrap_or(Err(PostError::Silent(self.wait)))
    }
}
