//! What an administrator sets of an identity provider, and what of that cannot work.

use proctor_domain::Name;
use proctor_domain::identity_provider::{Algorithm, Settings};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use crate::upstream::Endpoint;

const ISSUER_CHARS_MAX: usize = 512;
const AUDIENCE_CHARS_MAX: usize = 512;
const CLAIM_CHARS_MAX: usize = 128;
const SCOPES_MAX: usize = 50;
const SCOPE_CHARS_MAX: usize = 128;
const USER_CLAIM_DEFAULT: &str = "sub";

/// The body of a provider. In a revision the name may be left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IdentityProviderSettings)]
pub(in crate::api) struct ProviderBody {
    #[schema(value_type = Option<words::Name>)]
    pub(super) name: Option<Name>,
    /// Exactly as its tokens name it.
    #[schema(format = "uri", max_length = 512)]
    issuer: String,
    /// What its tokens may be for, beside the URL of the virtual server.
    #[schema(min_length = 1, max_length = 512)]
    audience: Option<String>,
    /// The claim that says who the user is: sub when left out.
    #[schema(min_length = 1, max_length = 128)]
    user_claim: Option<String>,
    /// RS256 and ES256 when left out.
    #[schema(value_type = Option<Vec<words::Algorithm>>, min_items = 1)]
    algorithms: Option<Vec<String>>,
    /// What clients are told to ask it for.
    #[schema(max_items = 50)]
    scopes: Option<Vec<String>>,
    /// Whether it is in a private network.
    #[serde(default)]
    private_network: bool,
}

impl ProviderBody {
    /// The settings, when they can work.
    pub(super) fn settings(self) -> Result<Settings, Problem> {
        self.check_issuer()?;
        let fits = |text: &str, chars_max| {
            (1..=chars_max).contains(&text.chars().count()) && !text.contains(char::is_control)
        };
        if self.audience.as_ref().is_some_and(|audience| !fits(audience, AUDIENCE_CHARS_MAX)) {
            return Err(wrong(format!(
                "audience must have 1 to {AUDIENCE_CHARS_MAX} characters: leave it out to accept only \
                 tokens that are for the virtual server's URL"
            )));
        }
        let user_claim = self.user_claim.unwrap_or_else(|| USER_CLAIM_DEFAULT.to_owned());
        if !fits(&user_claim, CLAIM_CHARS_MAX) {
            return Err(wrong(format!("user_claim must have 1 to {CLAIM_CHARS_MAX} characters")));
        }
        let scopes = self.scopes.unwrap_or_default();
        // RFC 6749, 3.3: printable ASCII but for the space, the quotation mark and the backslash.
        let is_scope = |scope: &String| {
            fits(scope, SCOPE_CHARS_MAX)
                && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        };
        if scopes.len() > SCOPES_MAX || !scopes.iter().all(is_scope) {
            return Err(wrong(format!(
                "scopes may be {SCOPES_MAX}, each of 1 to {SCOPE_CHARS_MAX} characters without spaces"
            )));
        }
        Ok(Settings {
            issuer: self.issuer,
            audience: self.audience,
            user_claim,
            algorithms: algorithms(self.algorithms)?,
            scopes,
            private_network: self.private_network,
        })
    }

    fn check_issuer(&self) -> Result<(), Problem> {
        let issuer = &self.issuer;
        if issuer.chars().count() > ISSUER_CHARS_MAX {
            return Err(wrong(format!("the issuer has more than {ISSUER_CHARS_MAX} characters")));
        }
        let endpoint = Endpoint::parse(issuer).map_err(|error| wrong(format!("the issuer {error}")))?;
        if issuer.contains(['?', '#']) || issuer.contains(char::is_whitespace) {
            let detail = "the issuer has a query, a fragment or a space: write it exactly as its tokens do";
            return Err(wrong(detail.to_owned()));
        }
        if !endpoint.is_encrypted() && !self.private_network {
            let detail = "the issuer is not https: only with private_network a provider may do without";
            return Err(wrong(detail.to_owned()));
        }
        Ok(())
    }
}

fn algorithms(named: Option<Vec<String>>) -> Result<Vec<Algorithm>, Problem> {
    let Some(named) = named else { return Ok(Algorithm::DEFAULT.to_vec()) };
    let known = || Algorithm::ALL.map(Algorithm::name).join(", ");
    let mut algorithms = Vec::new();
    for name in &named {
        let Some(algorithm) = Algorithm::named(name) else {
            let name: String = name.escape_debug().take(32).collect();
            return Err(wrong(format!("the algorithm \"{name}\" is not allowed: choose of {}", known())));
        };
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    if algorithms.is_empty() {
        return Err(wrong(format!("algorithms is empty: choose of {}", known())));
    }
    Ok(algorithms)
}

fn wrong(detail: String) -> Problem {
    Problem::new(Code::InvalidIdentityProvider, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Result<Settings, Problem> {
        let json = format!(r#"{{"name":"corp"{more}}}"#);
        serde_json::from_str::<ProviderBody>(&json).unwrap().settings()
    }

    fn refused(more: &str) -> String {
        let problem = settings(more).unwrap_err();
        assert_eq!(problem.code, Code::InvalidIdentityProvider, "{more}");
        problem.detail
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let settings = settings(r#","issuer":"https://login.example.com/realms/staff""#).unwrap();
        assert_eq!(settings.user_claim, "sub");
        assert_eq!(settings.algorithms, [Algorithm::RS256, Algorithm::ES256]);
        assert_eq!(settings.audience, None);
        assert!(settings.scopes.is_empty() && !settings.private_network);
    }

    #[test]
    fn an_issuer_is_a_plain_https_url_unless_it_is_in_a_private_network() {
        for issuer in
            ["http://a.example", "https://a.example?x=1", "https://a.example#x", "https://u:p@a.example"]
        {
            refused(&format!(r#","issuer":"{issuer}""#));
        }
        for issuer in ["nonsense", "ftp://a.example", " https://a.example"] {
            refused(&format!(r#","issuer":"{issuer}","private_network":true"#));
        }
        assert!(settings(r#","issuer":"http://10.0.0.1:8080","private_network":true"#).is_ok());
    }

    #[test]
    fn only_algorithms_with_a_private_key_can_be_named() {
        for algorithm in ["none", "HS256", "HS512", "dir"] {
            let detail = refused(&format!(r#","issuer":"https://a.example","algorithms":["{algorithm}"]"#));
            assert!(detail.contains(algorithm) && detail.contains("RS256"), "{detail}");
        }
        refused(r#","issuer":"https://a.example","algorithms":[]"#);
        let twice = settings(r#","issuer":"https://a.example","algorithms":["EdDSA","EdDSA"]"#).unwrap();
        assert_eq!(twice.algorithms, [Algorithm::EdDSA]);
    }

    #[test]
    fn texts_that_are_too_long_or_no_scope_are_refused() {
        let long = "x".repeat(513);
        for more in [
            format!(r#","audience":"{long}""#),
            r#","audience":"""#.to_owned(),
            format!(r#","user_claim":"{long}""#),
            r#","scopes":["a b"]"#.to_owned(),
        ] {
            refused(&format!(r#","issuer":"https://a.example"{more}"#));
        }
    }
}
