//! Where documents about a server stand (RFC 8615).

use url::Url;

/// The document of this name about a URL: its name stands before the URL's path (RFC 8414, section 3.1,
/// and RFC 9728, section 3.1).
#[must_use]
pub fn well_known(url: &Url, name: &str) -> String {
    format!("{}/.well-known/{name}{}", url.origin().ascii_serialization(), path(url))
}

/// The metadata of an OpenID Connect provider, whose name stands after the path (OpenID Connect Discovery,
/// section 4).
#[must_use]
pub fn openid_configuration(issuer: &Url) -> String {
    format!("{}{}/.well-known/openid-configuration", issuer.origin().ascii_serialization(), path(issuer))
}

fn path(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stand_where_the_standards_say() {
        for (url, before, after) in [
            (
                "https://a.example",
                "https://a.example/.well-known/x",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example:8443/realms/staff/",
                "https://a.example:8443/.well-known/x/realms/staff",
                "https://a.example:8443/realms/staff/.well-known/openid-configuration",
            ),
            (
                "http://[::1]:9/mcp?y=1",
                "http://[::1]:9/.well-known/x/mcp",
                "http://[::1]:9/mcp/.well-known/openid-configuration",
            ),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(
                (&*well_known(&parsed, "x"), &*openid_configuration(&parsed)),
                (before, after),
                "{url}"
            );
        }
    }
}
