//! Which hosts a request may be addressed to, and which pages may send one.
//!
//! Without this, a page in a browser could reach a server of the same machine under a name of its
//! own (DNS rebinding; MCP, transports, security).
//!
//! **Invariants.** This machine's own names are always allowed; any other only when configured.

use std::collections::BTreeSet;
use std::net::IpAddr;

use http::uri::Authority;
use url::Url;

use super::PublicUrl;

/// The allowed hosts and origins, beside this machine's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// In lower case, without port.
    hosts: BTreeSet<String>,
    /// As browsers write them: scheme, host, and port where it is not the scheme's own.
    origins: BTreeSet<String>,
}

impl Allowed {
    /// Whether a request with this `Host` header may be answered. The port does not matter.
    pub fn host(&self, header: &str) -> bool {
        host_of(header).is_some_and(|host| is_loopback(&host) || self.hosts.contains(&host))
    }

    /// Whether a request with this `Origin` header may be answered. A request without the header
    /// comes from no page.
    pub fn origin(&self, header: &str) -> bool {
        let Some((origin, host)) = origin_of(header) else { return false };
        is_loopback(&host) || self.origins.contains(&origin)
    }

    /// Adds the host and the origin of the URL under which this server is reached.
    pub fn add_public_url(&mut self, url: &PublicUrl) {
        self.hosts.insert(url.host().to_owned());
        if let Ok(url) = Url::parse(url.as_str()) {
            self.origins.insert(url.origin().ascii_serialization());
        }
    }

    pub(super) fn add_host(&mut self, text: &str) -> Result<(), String> {
        let host = host_of(text)
            .ok_or_else(|| format!("{text:?} is not a host: list names such as mcp.example.com"))?;
        self.hosts.insert(host);
        Ok(())
    }

    pub(super) fn add_origin(&mut self, text: &str) -> Result<(), String> {
        let (origin, _) = origin_of(text.trim_end_matches('/'))
            .ok_or_else(|| format!("{text:?} is not an origin: list some such as https://app.example.com"))?;
        self.origins.insert(origin);
        Ok(())
    }
}

fn host_of(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    // A header names no user; one that does wants to be mistaken for another host.
    let plain = !text.contains('@') && !authority.host().is_empty();
    plain.then(|| authority.host().to_ascii_lowercase())
}

/// The origin as browsers write it, and its host.
fn origin_of(text: &str) -> Option<(String, String)> {
    let (scheme, authority) = text.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let host = host_of(authority)?;
    let url = Url::parse(text).ok()?;
    Some((url.origin().ascii_serialization(), host))
}

fn is_loopback(host: &str) -> bool {
    let ip: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || ip.is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured() -> Allowed {
        let mut allowed = Allowed::default();
        allowed.add_host("Other.Example.com").unwrap();
        allowed.add_origin("https://app.example.com/").unwrap();
        allowed.add_public_url(&PublicUrl::parse("https://mcp.example.com:8443/x").unwrap());
        allowed
    }

    #[test]
    fn this_machines_names_are_always_allowed() {
        for host in ["localhost", "LOCALHOST:8700", "127.0.0.1:1", "127.9.9.9", "[::1]:8700"] {
            assert!(Allowed::default().host(host), "{host}");
            assert!(Allowed::default().origin(&format!("http://{host}")), "{host}");
        }
    }

    #[test]
    fn any_other_host_is_allowed_only_when_configured() {
        for host in ["other.example.com", "OTHER.example.com:80", "mcp.example.com"] {
            assert!(configured().host(host), "{host}");
            assert!(!Allowed::default().host(host), "{host}");
        }
        for host in [
            "evil.example",
            "mcp.example.com.evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "evil@localhost",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "",
            "a b",
        ] {
            assert!(!configured().host(host), "{host}");
        }
    }

    #[test]
    fn any_other_origin_is_allowed_only_when_configured_with_its_scheme_and_port() {
        for origin in ["https://app.example.com", "https://mcp.example.com:8443"] {
            assert!(configured().origin(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://app.example.com",
            "https://app.example.com:444",
            "https://mcp.example.com",
            "https://other.example.com",
            "https://evil@localhost",
            "file://localhost",
        ] {
            assert!(!configured().origin(origin), "{origin}");
        }
    }

    #[test]
    fn what_is_no_host_or_origin_cannot_be_configured() {
        let mut allowed = Allowed::default();
        assert!(allowed.add_host("https://mcp.example.com").is_err());
        assert!(allowed.add_origin("mcp.example.com").is_err());
        assert!(allowed.add_origin("https://mcp.example.com/path").is_err());
        assert_eq!(allowed, Allowed::default());
    }
}
