//! Single HTTP requests beside the protocol: metadata documents, tokens, keys.
//!
//! **Invariants.** They leave by the same guarded way as everything else. No redirect is followed,
//! no connection is kept, and no more of an answer is read than its limit. Nothing of an answer, and
//! nothing of a URL but its host, is part of an error.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::time::timeout;

use super::guard::{DialError, Dialer, Endpoint, EndpointError, Reach};

/// How long one request may take, from the name's resolution to the answer's last byte.
const FETCH_WAIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

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
    #[error("answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

impl FetchError {
    /// Whether nothing of the request can have left.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Dial(_))
    }
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// When it may not be sent, or no answer comes back in time and within the limit.
pub(super) async fn fetch(dialer: &Dialer, request: Fetch<'_>) -> Result<Fetched, FetchError> {
    timeout(FETCH_WAIT, exchange(dialer, request)).await.unwrap_or(Err(FetchError::TimedOut))
}

async fn exchange(dialer: &Dialer, request: Fetch<'_>) -> Result<Fetched, FetchError> {
    let endpoint = Endpoint::parse(request.url)?;
    let stream = dialer.dial(&endpoint, request.reach).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Broken)?;
    let mut outgoing = Request::new(Full::new(request.body));
    *outgoing.method_mut() = request.method;
    *outgoing.uri_mut() = endpoint.target.clone();
    *outgoing.headers_mut() = request.headers;
    outgoing.headers_mut().insert(HOST, endpoint.authority.clone());
    let read = async {
        let response = sender.send_request(outgoing).await.map_err(FetchError::Broken)?;
        let (head, mut body) = response.into_parts();
        let announced =
            head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > ANSWER_BYTES_MAX) {
            return Err(FetchError::TooLarge);
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(FetchError::Broken)?.into_data() {
                if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                    return Err(FetchError::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Fetched { status: head.status, headers: head.headers, body: bytes.freeze() })
    };
    // Whoever asks drives the connection: nothing of it outlives the request.
    tokio::pin!(read, connection);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            fetched = &mut read => return fetched,
            _ = &mut connection, if open => open = false,
        }
    }
}
