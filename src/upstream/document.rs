//! Small JSON documents that are no part of MCP.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use thiserror::Error;

use super::guard::{Dialer, Endpoint, EndpointError, Reach, shown_location};
use super::http::{Fetch, FetchError, fetch};

/// Why there is no document. Says nothing of the path that was asked for.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// A URL that cannot be asked.
    #[error("its URL {0}")]
    Url(#[from] EndpointError),
    /// An address without encryption that nobody allowed.
    #[error("its URL is not https: only a provider that is marked with private_network may do without")]
    Plain,
    /// No answer.
    #[error("it {0}")]
    Fetch(#[from] FetchError),
    /// Another status than 200.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// It wants the question to be asked elsewhere, which is not followed.
    #[error("it redirects{}, which is not followed", .0.as_ref().map(|to| format!(" to {to}")).unwrap_or_default())]
    Redirect(Option<String>),
}

/// Fetches a document. Without encryption only where a private network is allowed.
///
/// # Errors
/// When it cannot be had whole; see [`DocumentError`].
pub(super) async fn document(
    dialer: &Dialer,
    url: &str,
    private_network: bool,
) -> Result<Bytes, DocumentError> {
    if !Endpoint::parse(url)?.is_encrypted() && !private_network {
        return Err(DocumentError::Plain);
    }
    let reach = if private_network { Reach::Private } else { Reach::Global };
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let request = Fetch { method: Method::GET, url, reach, headers, body: Bytes::new() };
    let answer = fetch(dialer, request).await?;
    if answer.status.is_redirection() {
        return Err(DocumentError::Redirect(shown_location(&answer.headers)));
    }
    if answer.status != StatusCode::OK {
        return Err(DocumentError::Status(answer.status));
    }
    Ok(answer.body)
}
