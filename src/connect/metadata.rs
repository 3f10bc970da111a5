//! Where metadata stands, and what it is about.

use http::header::WWW_AUTHENTICATE;
use url::Url;

use super::discovery::{DiscoveryError, SCOPES_MAX, is_scope, shown};
use crate::upstream::{Fetched, openid_configuration, well_known};

/// What a refusal says (RFC 6750, section 3, and RFC 9728, section 5.1).
#[derive(Default)]
pub(super) struct Challenge {
    pub metadata: Option<String>,
    pub scopes: Option<Vec<String>>,
}

impl Challenge {
    pub fn of(answer: &Fetched) -> Self {
        let mut challenge = Self::default();
        for header in answer.headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = header.to_str() else { continue };
            challenge.metadata = challenge.metadata.or_else(|| parameter(text, "resource_metadata"));
            let scopes = parameter(text, "scope");
            challenge.scopes = challenge.scopes.or_else(|| {
                scopes.map(|scopes| scopes.split_ascii_whitespace().map(str::to_owned).collect())
            });
        }
        challenge.scopes = challenge.scopes.filter(|scopes| {
            !scopes.is_empty() && scopes.len() <= SCOPES_MAX && scopes.iter().all(|scope| is_scope(scope))
        });
        challenge
    }
}

/// A parameter of a challenge, quoted or not.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        let at = rest.to_ascii_lowercase().find(name)?;
        let before = rest[..at].chars().next_back();
        let after = rest[at + name.len()..].trim_start();
        rest = &rest[at + name.len()..];
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else { continue };
        if before.is_some_and(|before| before != ' ' && before != ',') {
            continue;
        }
        let Some(quoted) = value.strip_prefix('"') else {
            return Some(value.split([',', ' ']).next().unwrap_or_default().to_owned());
        };
        let mut text = String::new();
        let mut chars = quoted.chars();
        while let Some(char) = chars.next() {
            match char {
                '"' => return Some(text),
                '\\' => text.extend(chars.next()),
                char => text.push(char),
            }
        }
        return None;
    }
}

/// Where a resource's metadata stands: under its own path, and that of all of the server (RFC 9728).
pub(super) fn of_resource(url: &str) -> Result<Vec<String>, DiscoveryError> {
    const NAME: &str = "oauth-protected-resource";
    let mut url = parsed(url)?;
    let own = well_known(&url, NAME);
    url.set_path("");
    let mut places = vec![own, well_known(&url, NAME)];
    places.dedup();
    Ok(places)
}

/// Where an authorization server's metadata stands (RFC 8414, section 5, names all three).
pub(super) fn of_server(issuer: &str) -> Result<Vec<String>, DiscoveryError> {
    let issuer = parsed(issuer)?;
    let mut places = vec![
        well_known(&issuer, "oauth-authorization-server"),
        well_known(&issuer, "openid-configuration"),
        openid_configuration(&issuer),
    ];
    places.dedup();
    Ok(places)
}

pub(super) fn origin(url: &str) -> Result<String, DiscoveryError> {
    Ok(parsed(url)?.origin().ascii_serialization())
}

fn parsed(url: &str) -> Result<Url, DiscoveryError> {
    Url::parse(url).map_err(|error| DiscoveryError::Failed(format!("{:?} is no URL ({error})", shown(url))))
}

/// Whether metadata about `resource` is about `url`: it is the same, or above it.
pub(super) fn covers(resource: &str, url: &str) -> bool {
    let (Ok(resource), Ok(url)) = (Url::parse(resource), Url::parse(url)) else { return false };
    let path = resource.path().trim_end_matches('/');
    resource.origin() == url.origin()
        && url.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_its_metadata_and_scopes_however_it_is_written() {
        for (challenge, metadata) in [
            (r#"Bearer resource_metadata="https://a/x", scope="r w""#, Some("https://a/x")),
            (r#"Bearer realm="resource_metadata=\"no\"", resource_metadata="https://a""#, Some("https://a")),
            ("Bearer resource_metadata=https://a/x, error=\"e\"", Some("https://a/x")),
            (r#"Bearer Resource_Metadata = "https://a""#, Some("https://a")),
            (r#"Bearer xresource_metadata="https://a""#, None),
            (r#"Bearer resource_metadata="https://a"#, None),
            ("Basic", None),
        ] {
            assert_eq!(parameter(challenge, "resource_metadata").as_deref(), metadata, "{challenge}");
        }
    }

    #[test]
    fn metadata_counts_for_what_lies_below_its_resource_and_nothing_else() {
        for (resource, url, covered) in [
            ("https://a.example/mcp", "https://a.example/mcp", true),
            ("https://a.example", "https://a.example/mcp", true),
            ("https://a.example/", "https://a.example/mcp", true),
            ("https://a.example/mcp", "https://a.example/mcp2", false),
            ("https://a.example/mcp", "https://a.example/", false),
            ("https://b.example/mcp", "https://a.example/mcp", false),
            ("http://a.example/mcp", "https://a.example/mcp", false),
            ("nonsense", "https://a.example/mcp", false),
        ] {
            assert_eq!(covers(resource, url), covered, "{resource} {url}");
        }
    }

    #[test]
    fn documents_stand_where_the_rfcs_say() {
        assert_eq!(
            of_resource("https://a.example/x/mcp?y=1").unwrap(),
            [
                "https://a.example/.well-known/oauth-protected-resource/x/mcp",
                "https://a.example/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(
            of_resource("https://a.example/").unwrap(),
            ["https://a.example/.well-known/oauth-protected-resource"]
        );
        assert_eq!(
            of_server("https://a.example/").unwrap(),
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            of_server("https://a.example/realms/staff").unwrap(),
            [
                "https://a.example/.well-known/oauth-authorization-server/realms/staff",
                "https://a.example/.well-known/openid-configuration/realms/staff",
                "https://a.example/realms/staff/.well-known/openid-configuration"
            ]
        );
    }
}
