//! Single HTTP requests beside the protocol: metadata documents, tokens, keys, webhooks' messages.
//!
//! **Invariants.** They leave by the same guarded way as everything else. No redirect is followed,
//! no connection is kept, and no more of an answer is read than its limit. Nothing of an answer, and
//! nothing of a URL but its host, is part of an error.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::timeout;

use super::wire::Wire;
use crate::upstream::guard::{DialError, Dialer, Endpoint, EndpointError, Reach};

/// How long one request may take, from the name's resolution to the answer's last byte.
const FETCH_WAIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
pub const FETCHED_BYTES_MAX: usize = 256 * 1024;

/// Of an answer whose body does not matter no more is read, in bytes.
const IGNORED_BYTES_MAX: usize = 1_024;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("proctor/", env!("CARGO_PKG_VERSION")));

/// One request.
pub struct Fetch<'a> {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: &'a str,
    /// How far the connection may reach.
    pub reach: Reach,
    /// The headers, beside those that HTTP itself needs.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub struct Fetched {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The URL is not one that may be called.
    #[error("{0}")]
    Url(#[from] EndpointError),
    /// No connection was opened.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// The exchange broke off.
    #[error("broke off the exchange ({0})")]
    Broken(#[source] hyper::Error),
    /// It took too long.
    #[error("did not answer within {} s", FETCH_WAIT.as_secs())]
    TimedOut,
    /// More came back than is read.
    #[error("answered with more than {FETCHED_BYTES_MAX} bytes")]
    TooLarge,
}

impl FetchError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "configuration",
            Self::Dial(DialError::Forbidden(..)) => "address_forbidden",
            Self::Dial(DialError::Tls(_) | DialError::Name(_)) => "tls",
            Self::Dial(DialError::Unresolved(_) | DialError::Refused(_) | DialError::TimedOut(_)) => {
                "unreachable"
            }
            Self::Broken(_) => "broken_off",
            Self::TimedOut => "timeout",
            Self::TooLarge => "too_large",
        }
    }
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// When it may not be sent, or no answer comes back in time and within the limit.
pub(in crate::upstream) async fn fetch(dialer: &Dialer, request: Fetch<'_>) -> Result<Fetched, FetchError> {
    in_time(async {
        let (mut wire, answer) = send(dialer, request).await?;
        let (head, mut body) = answer.into_parts();
        let announced =
            head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > FETCHED_BYTES_MAX) {
            return Err(FetchError::TooLarge);
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = wire.chunk(&mut body).await {
            let chunk = chunk.map_err(FetchError::Broken)?;
            if bytes.len() + chunk.len() > FETCHED_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Fetched { status: head.status, headers: head.headers, body: bytes.freeze() })
    })
    .await
}

/// Sends one request of which only the answer's status matters. Little of its body is read, so that
/// whoever answers is not broken off in the middle of a word.
///
/// # Errors
/// When it may not be sent, or no answer comes back in time.
pub(in crate::upstream) async fn tell(dialer: &Dialer, request: Fetch<'_>) -> Result<StatusCode, FetchError> {
    in_time(async {
        let (mut wire, answer) = send(dialer, request).await?;
        let (status, mut body, mut bytes) = (answer.status(), answer.into_body(), 0);
        // The status says all: a body that breaks off changes nothing.
        while bytes < IGNORED_BYTES_MAX
            && let Some(Ok(chunk)) = wire.chunk(&mut body).await
        {
            bytes += chunk.len();
        }
        Ok(status)
    })
    .await
}

async fn in_time<T>(work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
    timeout(FETCH_WAIT, work).await.unwrap_or(Err(FetchError::TimedOut))
}

async fn send(dialer: &Dialer, request: Fetch<'_>) -> Result<(Wire, Response<Incoming>), FetchError> {
    let endpoint = Endpoint::parse(request.url)?;
    let stream = dialer.dial(&endpoint, request.reach).await?;
    let mut wire = Wire::open(stream).await.map_err(FetchError::Broken)?;
    let mut outgoing = Request::new(Full::new(request.body));
    *outgoing.method_mut() = request.method;
    *outgoing.uri_mut() = endpoint.target.clone();
    *outgoing.headers_mut() = request.headers;
    let headers = outgoing.headers_mut();
    headers.insert(HOST, endpoint.authority.clone());
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONNECTION, CLOSE);
    let answer = wire.send(outgoing, None).await;
    let answer = answer.map_err(|failed| FetchError::Broken(failed.into_error()))?;
    Ok((wire, answer))
}
