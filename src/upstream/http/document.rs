//! One small JSON document, fetched over a connection of its own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Request, StatusCode,
    header::{ACCEPT, HOST},
};
use http_body_util::Full;
use thiserror::Error;
use tokio::time::timeout;

use super::wire::Wire;
use crate::upstream::guard::{DialError, Dialer, Endpoint, EndpointError, Reach, shown_location};

/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// How long a document may take, all in all.
const DOCUMENT_WAIT_MS_MAX: u64 = 5_000;

/// Why there is no document. Says nothing of the path that was asked for.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// A URL that cannot be asked.
    #[error("its URL {0}")]
    Url(#[from] EndpointError),
    /// An address without encryption that nobody allowed.
    #[error("its URL is not https: only a provider that is marked with private_network may do without")]
    Plain,
    /// No connection.
    #[error("it {0}")]
    Dial(#[from] DialError),
    /// The connection broke, or what came over it was not HTTP.
    #[error("the connection failed ({0})")]
    Http(#[from] hyper::Error),
    /// Another status than 200.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// It wants the question to be asked elsewhere, which is not followed.
    #[error("it redirects{}, which is not followed", .0.as_ref().map(|to| format!(" to {to}")).unwrap_or_default())]
    Redirect(Option<String>),
    /// Too long.
    #[error("its answer is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Too slow.
    #[error("it did not answer within {DOCUMENT_WAIT_MS_MAX} ms")]
    TimedOut,
}

/// Fetches a document. Without encryption only where a private network is allowed.
///
/// # Errors
/// When it cannot be had whole; see [`DocumentError`].
pub(in crate::upstream) async fn fetch(
    dialer: &Dialer,
    url: &str,
    private_network: bool,
) -> Result<Bytes, DocumentError> {
    let endpoint = Endpoint::parse(url)?;
    if !endpoint.is_encrypted() && !private_network {
        return Err(DocumentError::Plain);
    }
    let reach = if private_network { Reach::Private } else { Reach::Global };
    timeout(Duration::from_millis(DOCUMENT_WAIT_MS_MAX), exchange(dialer, &endpoint, reach))
        .await
        .unwrap_or(Err(DocumentError::TimedOut))
}

async fn exchange(dialer: &Dialer, endpoint: &Endpoint, reach: Reach) -> Result<Bytes, DocumentError> {
    let mut wire = Wire::open(dialer.dial(endpoint, reach).await?).await?;
    let mut request = Request::new(Full::default());
    *request.uri_mut() = endpoint.target.clone();
    request.headers_mut().insert(HOST, endpoint.authority.clone());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let answer = wire.send(request, None).await.map_err(|failed| failed.into_error())?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(DocumentError::Redirect(shown_location(answer.headers())));
    }
    if status != StatusCode::OK {
        return Err(DocumentError::Status(status));
    }
    let mut body = answer.into_body();
    let mut document = BytesMut::new();
    while let Some(chunk) = wire.chunk(&mut body).await {
        let chunk = chunk?;
        if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document.freeze())
}
