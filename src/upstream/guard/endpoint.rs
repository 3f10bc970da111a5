//! An upstream's URL, taken apart once.
//!
//! **Invariants.** Only `http` and `https`, no user and password in the URL. Neither a query nor
//! anything else of the URL's path appears in an error: keys are sometimes written there.

use http::{HeaderValue, Uri, header, uri::PathAndQuery};
use thiserror::Error;
use url::{Host, Url};

/// Where an HTTP upstream is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whether the connection is encrypted.
    pub(super) tls: bool,
    /// The host as WHATWG's URL rules read it: decimal, hexadecimal and octal spellings of an
    /// IPv4 address have become the address.
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// The `Host` header.
    pub(in crate::upstream) authority: HeaderValue,
    /// The request target in origin form.
    pub(in crate::upstream) target: Uri,
}

/// Why a URL cannot be an upstream.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// The text is not a URL.
    #[error("is no URL ({0}): write it as https://host/path")]
    NotUrl(String),
    /// Another scheme than the two allowed.
    #[error("has the scheme {0:?}: only http and https are allowed")]
    Scheme(String),
    /// A URL with a user or a password in it.
    #[error("carries a user or password: send a credential in a header instead")]
    UserInfo,
    /// No host, or a path that HTTP cannot carry.
    #[error("has no usable host or path: write it as https://host/path")]
    Unusable,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// When the URL is not one that Proctor may call; see [`EndpointError`].
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text).map_err(|err| EndpointError::NotUrl(err.to_string()))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(EndpointError::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::UserInfo);
        }
        let host = url.host().ok_or(EndpointError::Unusable)?.to_owned();
        let port = url.port_or_known_default().ok_or(EndpointError::Unusable)?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let target: PathAndQuery = target.parse().map_err(|_| EndpointError::Unusable)?;
        Ok(Self {
            tls,
            host,
            port,
            authority: HeaderValue::try_from(authority).map_err(|_| EndpointError::Unusable)?,
            target: Uri::from(target),
        })
    }

    /// Whether the connection to it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls
    }
}

/// What a redirect points at, fit to be shown: scheme and host only.
pub(in crate::upstream) fn shown_location(headers: &http::HeaderMap) -> Option<String> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let url = Url::parse(location).ok()?;
    let host = url.host_str()?;
    Some(format!("{}://{host}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn every_spelling_of_loopback_is_read_as_the_address() {
        for spelling in [
            "http://127.0.0.1/mcp",
            "http://127.1/mcp",
            "http://2130706433/mcp",
            "http://0x7f000001/mcp",
            "http://0x7f.1/mcp",
            "http://0177.0.0.1/mcp",
            "http://017700000001/mcp",
            "http://127.0.0.1./mcp",
            "http://%31%32%37.0.0.1/mcp",
            "http://127。0。0。1/mcp",
            "http:\\\\127.0.0.1\\mcp",
        ] {
            let endpoint = Endpoint::parse(spelling).unwrap();
            let loopback = Host::<String>::Ipv4(Ipv4Addr::LOCALHOST);
            assert_eq!(endpoint.host, loopback, "{spelling}");
        }
    }

    #[test]
    fn other_schemes_and_credentials_in_the_url_are_refused() {
        for text in ["ftp://a/", "file:///etc/passwd", "unix:/x", "ws://a/"] {
            assert!(matches!(Endpoint::parse(text), Err(EndpointError::Scheme(_))), "{text}");
        }
        for text in ["http://u:p@a/", "http://u@a/", "http://:p@a/", "http://8.8.8.8@127.0.0.1/"] {
            assert_eq!(Endpoint::parse(text).unwrap_err(), EndpointError::UserInfo, "{text}");
        }
        assert!(Endpoint::parse("nonsense").is_err());
        assert!(Endpoint::parse("http://").is_err());
        assert!(Endpoint::parse("http://1.2.3.4.5/").is_err());
        assert!(Endpoint::parse("http://256.1.1.1/").is_err());
    }

    #[test]
    fn the_host_header_names_the_port_only_where_it_is_not_the_usual_one() {
        let of = |text| Endpoint::parse(text).unwrap();
        assert_eq!(of("https://a.example:443/x?y=1#z").authority, "a.example");
        assert_eq!(of("http://a.example:8080/").authority, "a.example:8080");
        assert_eq!(of("http://[::1]:80/").authority, "[::1]");
        assert_eq!(of("https://a.example:443/x?y=1#z").target, "/x?y=1");
        assert_eq!(of("https://a.example").target, "/");
    }
}
