//! The URL under which clients reach this server.

use std::fmt;
use std::net::SocketAddr;

use url::Url;

/// An http or https URL without query, fragment, user and trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    base: String,
    host: String,
}

/// A text that cannot be the public URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not an http or https URL without query, fragment and user: set one such as https://mcp.example.com"
)]
pub struct NotAPublicUrl;

impl PublicUrl {
    /// Reads a configured URL; it may have a path.
    ///
    /// # Errors
    /// When it is another kind of URL, or none.
    pub fn parse(text: &str) -> Result<Self, NotAPublicUrl> {
        let url = Url::parse(text).map_err(|_| NotAPublicUrl)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match url.host_str() {
            Some(host) if plain => {
                Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), host: host.to_owned() })
            }
            _ => Err(NotAPublicUrl),
        }
    }

    /// The URL of a server that nobody gave one: where it listens. One that listens at all
    /// addresses is reached at this machine's own.
    pub(super) fn of_listener(bound: SocketAddr) -> Self {
        let host = match bound {
            bound if bound.ip().is_unspecified() => "localhost".to_owned(),
            SocketAddr::V4(bound) => bound.ip().to_string(),
            SocketAddr::V6(bound) => format!("[{}]", bound.ip()),
        };
        Self { base: format!("http://{host}:{}", bound.port()), host }
    }

    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// The host, without port; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL of a path that starts with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}
