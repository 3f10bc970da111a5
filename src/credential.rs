//! What a user brings to a connection, and how it is sent.
//!
//! **Invariants.** A credential is part of no error, no log line and no debug output, and is wiped
//! when dropped.

use std::collections::BTreeMap;
use std::fmt;

use actix_web::http::header::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proctor_domain::connection::{AuthMethod, CredentialKind};
use proctor_domain::environment::{VALUE_BYTES_MAX as VARIABLE_BYTES_MAX, Variable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// Where a secret stands in the format of a header's value.
pub const PLACE: &str = "{secret}";
/// Longest value of a header, in bytes.
const VALUE_BYTES_MAX: usize = 8_192;

/// A user's own way to authenticate at an upstream. Sealed as the JSON that an administrator sends.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = NewCredential)]
pub enum Credential {
    /// An API key.
    ApiKey {
        /// The key.
        #[schema(value_type = String)]
        key: Zeroizing<String>,
    },
    /// An access token.
    Bearer {
        /// The token.
        #[schema(value_type = String)]
        token: Zeroizing<String>,
    },
    /// A name and a password.
    Basic {
        /// The name.
        #[schema(value_type = String)]
        username: Zeroizing<String>,
        /// The password.
        #[schema(value_type = String)]
        password: Zeroizing<String>,
    },
    /// Tokens of an authorization server. Nobody sets them directly.
    Oauth2 {
        /// What calls carry.
        #[schema(value_type = String)]
        access_token: Zeroizing<String>,
        /// What renews it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        refresh_token: Option<Zeroizing<String>>,
    },
    /// Variables of the environment of the user's own child process.
    Environment {
        /// The values by the variables' names.
        #[schema(value_type = BTreeMap<String, String>)]
        variables: BTreeMap<String, Zeroizing<String>>,
    },
}

/// How a credential reaches its upstream.
pub enum Carried {
    /// In a header of each request.
    Header(Header),
    /// In the environment of a child process, by the variables' names.
    Environment(BTreeMap<String, Zeroizing<String>>),
}

/// A header as it is sent.
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Zeroizing<String>,
}

/// A credential that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The connection takes another kind.
    #[error("the connection takes another kind of credential by now: set the credential anew")]
    OtherKind,
    /// No header can have it.
    #[error("the credential cannot stand in a header: use 1 to {VALUE_BYTES_MAX} visible ASCII characters")]
    Unfit,
    /// Basic authentication ends the name at the first colon.
    #[error("the username has a colon in it, where basic authentication ends the name: use one without")]
    Colon,
    /// A variable is missing, or there is another.
    #[error("the credential must have exactly the variables {}", .0.join(", "))]
    OtherVariables(Vec<String>),
    /// No environment can have it.
    #[error("the value of {0} must have 1 to {VARIABLE_BYTES_MAX} bytes, none of them NUL")]
    UnfitValue(String),
}

impl Credential {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::ApiKey { .. } => CredentialKind::ApiKey,
            Self::Bearer { .. } => CredentialKind::Bearer,
            Self::Basic { .. } => CredentialKind::Basic,
            Self::Oauth2 { .. } => CredentialKind::Oauth2,
            Self::Environment { .. } => CredentialKind::Environment,
        }
    }

    /// The names of its variables, where it is of those.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        match self {
            Self::Environment { variables } => variables.keys().cloned().collect(),
            Self::ApiKey { .. } | Self::Bearer { .. } | Self::Basic { .. } | Self::Oauth2 { .. } => {
                Vec::new()
            }
        }
    }

    /// What carries it to an upstream that is set like this.
    ///
    /// # Errors
    /// When the upstream takes another kind, or nothing can carry it.
    pub fn carried(&self, auth: &AuthMethod) -> Result<Carried, CredentialError> {
        match (self, auth) {
            (Self::Environment { variables }, AuthMethod::Environment { variables: wanted }) => {
                check_environment(variables, wanted)?;
                Ok(Carried::Environment(variables.clone()))
            }
            _ => self.header(auth).map(Carried::Header),
        }
    }

    fn header(&self, auth: &AuthMethod) -> Result<Header, CredentialError> {
        let (name, value) = match (self, auth) {
            (Self::ApiKey { key: secret }, AuthMethod::ApiKey { header, format })
            | (Self::Bearer { token: secret }, AuthMethod::Bearer { header, format }) => {
                if secret.is_empty() {
                    return Err(CredentialError::Unfit);
                }
                (header.clone(), Zeroizing::new(format.replacen(PLACE, secret, 1)))
            }
            (Self::Basic { username, password }, AuthMethod::Basic) => {
                if username.contains(':') {
                    return Err(CredentialError::Colon);
                }
                let both = Zeroizing::new(format!("{}:{}", **username, **password));
                let encoded = Zeroizing::new(STANDARD.encode(both.as_bytes()));
                ("Authorization".to_owned(), Zeroizing::new(format!("Basic {}", *encoded)))
            }
            (Self::Oauth2 { access_token, .. }, AuthMethod::Oauth2(_)) => {
                ("Authorization".to_owned(), Zeroizing::new(format!("Bearer {}", **access_token)))
            }
            _ => return Err(CredentialError::OtherKind),
        };
        if value.len() > VALUE_BYTES_MAX || HeaderValue::from_str(&value).is_err() {
            return Err(CredentialError::Unfit);
        }
        Ok(Header { name, value })
    }
}

fn check_environment(
    variables: &BTreeMap<String, Zeroizing<String>>,
    wanted: &[Variable],
) -> Result<(), CredentialError> {
    let is_there = |wanted: &Variable| variables.contains_key(&wanted.name);
    if variables.len() != wanted.len() || !wanted.iter().all(is_there) {
        let names = wanted.iter().map(|wanted| wanted.name.clone()).collect();
        return Err(CredentialError::OtherVariables(names));
    }
    let fits = |value: &str| (1..=VARIABLE_BYTES_MAX).contains(&value.len()) && !value.contains('\0');
    let is_unfit = |wanted: &&Variable| !variables.get(&wanted.name).is_some_and(|value| fits(value));
    match wanted.iter().find(is_unfit) {
        Some(Variable { name, label: None }) => Err(CredentialError::UnfitValue(name.clone())),
        Some(Variable { name, label: Some(label) }) => {
            Err(CredentialError::UnfitValue(format!("{name} ({label})")))
        }
        None => Ok(()),
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.kind().code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Credential {
        serde_json::from_str(json).unwrap()
    }

    fn api_key(format: &str) -> AuthMethod {
        AuthMethod::ApiKey { header: "X-Key".to_owned(), format: format.to_owned() }
    }

    #[test]
    fn each_kind_has_its_header() {
        let bearer = AuthMethod::Bearer { header: "Authorization".into(), format: "Bearer {secret}".into() };
        for (credential, auth, name, value) in [
            (r#"{"type":"api_key","key":"k"}"#, api_key("Token {secret}"), "X-Key", "Token k"),
            (r#"{"type":"bearer","token":"t"}"#, bearer, "Authorization", "Bearer t"),
            // RFC 7617, section 2.
            (
                r#"{"type":"basic","username":"Aladdin","password":"open sesame"}"#,
                AuthMethod::Basic,
                "Authorization",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
        ] {
            let header = read(credential).header(&auth).unwrap();
            assert_eq!((header.name.as_str(), header.value.as_str()), (name, value));
        }
    }

    fn environment(names: &[&str]) -> AuthMethod {
        let variable = |name: &&str| Variable { name: (*name).to_owned(), label: None };
        AuthMethod::Environment { variables: names.iter().map(variable).collect() }
    }

    #[test]
    fn variables_are_carried_in_the_environment_as_they_are() {
        let json = r#"{"type":"environment","variables":{"KEY":" a\n$HOME ","USER_NAME":"ada"}}"#;
        let credential = read(json);
        let carried = credential.carried(&environment(&["USER_NAME", "KEY"])).unwrap();
        let Carried::Environment(variables) = carried else { panic!("a header") };
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(variables, [("KEY", " a\n$HOME "), ("USER_NAME", "ada")]);
        assert_eq!(credential.variables(), ["KEY", "USER_NAME"]);
        assert_eq!(serde_json::to_string(&credential).unwrap(), json);
    }

    #[test]
    fn variables_that_are_not_wanted_or_cannot_be_are_refused_without_showing_them() {
        let wanted = environment(&["KEY"]);
        let of = |key: &str| format!(r#"{{"type":"environment","variables":{{"KEY":"{key}"}}}}"#);
        let long = format!("s3cret{}", "x".repeat(VARIABLE_BYTES_MAX));
        for credential in [
            of(""),
            of("s3cret\\u0000"),
            of(&long),
            r#"{"type":"environment","variables":{}}"#.to_owned(),
            r#"{"type":"environment","variables":{"s3cret":"x"}}"#.to_owned(),
            r#"{"type":"environment","variables":{"KEY":"s3cret","LD_PRELOAD":"s3cret"}}"#.to_owned(),
            r#"{"type":"bearer","token":"s3cret"}"#.to_owned(),
        ] {
            let credential = read(&credential);
            let error = credential.carried(&wanted).map(drop).unwrap_err();
            assert!(!format!("{error} {error:?} {credential:?}").contains("s3cret"), "{error:?}");
            assert!(credential.carried(&AuthMethod::None).is_err());
        }
        let bearer = AuthMethod::Bearer { header: "Authorization".into(), format: "Bearer {secret}".into() };
        assert!(read(&of("x")).carried(&bearer).is_err());
        assert!(read(&of("x")).carried(&wanted).is_ok());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_it() {
        for (credential, auth) in [
            (r#"{"type":"api_key","key":""}"#, api_key("{secret}")),
            (r#"{"type":"api_key","key":"s3cret\r\nX-Other: 1"}"#, api_key("{secret}")),
            (r#"{"type":"basic","username":"s3cret:x","password":"y"}"#, AuthMethod::Basic),
            (r#"{"type":"bearer","token":"s3cret"}"#, AuthMethod::Basic),
            (r#"{"type":"bearer","token":"s3cret"}"#, AuthMethod::None),
        ] {
            let credential = read(credential);
            let error = credential.header(&auth).map(drop).unwrap_err();
            assert!(!format!("{error} {error:?} {credential:?}").contains("s3cret"));
        }
    }
}
