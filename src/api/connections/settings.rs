//! What an administrator says about a connection, taken apart into settings and secrets.

use std::collections::BTreeMap;

use actix_web::http::header::{HeaderName, HeaderValue};
use proctor_domain::Name;
use proctor_domain::connection::{AuthMethod, Drift, Settings, Transport};
use proctor_domain::environment::{SettingsError, Variable};
use proctor_domain::limits::Limits;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use crate::connect::{self, Discovered, DiscoveryError, Wanted};
use crate::credential::PLACE;
use crate::proctor::Proctor;
use crate::targets::Secrets;
use crate::upstream::Endpoint;

const URL_CHARS_MAX: usize = 2_048;
const COMMAND_CHARS_MAX: usize = 4_096;
const ARGS_MAX: usize = 256;
const ARG_CHARS_MAX: usize = 8_192;
const ENV_MAX: usize = 128;
const ENV_VALUE_BYTES_MAX: usize = 32_768;
const HEADER_NAME_BYTES_MAX: usize = 128;
const HEADER_VALUE_BYTES_MAX: usize = 8_192;

const FORMAT_BYTES_MAX: usize = 256;
const API_KEY_HEADER: &str = "X-Api-Key";
const AUTHORIZATION: &str = "Authorization";
const BEARER_FORMAT: &str = "Bearer {secret}";

/// Headers that the exchange itself needs.
const RESERVED_HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The body of a registration. When a connection is set anew its name may be left out, and so may
/// the secrets, which are then kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConnectionSettings)]
pub(in crate::api) struct ConnectionBody {
    #[schema(value_type = Option<words::Name>)]
    pub(super) name: Option<Name>,
    transport: TransportBody,
    #[serde(default)]
    auth: AuthBody,
    /// Whether it is in a private network: at an address that is not globally routable.
    #[serde(default)]
    private_network: bool,
    /// Whether all users may share connections and child processes.
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    #[schema(value_type = words::Limits)]
    limits: Limits,
    #[serde(default)]
    #[schema(value_type = words::Drift)]
    drift: Drift,
}

/// How an upstream is reached.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = TransportSettings)]
enum TransportBody {
    /// By streamable HTTP.
    Http {
        #[schema(format = "uri", max_length = 2_048)]
        url: String,
    },
    /// As a child process.
    Stdio {
        #[schema(min_length = 1, max_length = 4_096)]
        command: String,
        #[serde(default)]
        #[schema(max_items = 256)]
        args: Vec<String>,
        /// A value that is `null` is kept as it was; all are when there are none.
        #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
        env: Option<BTreeMap<String, Option<Zeroizing<String>>>>,
    },
}

/// How calls authenticate at an upstream.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = AuthSettings)]
enum AuthBody {
    /// Not at all.
    None {},
    /// With a secret that all share, in a header. A value that is left out is kept.
    Header {
        name: String,
        #[schema(value_type = Option<String>)]
        value: Option<Zeroizing<String>>,
    },
    /// With what each user authorizes at the upstream's authorization server.
    Oauth2(Wanted),
    // Each user's own; see `PUT /users/{user}/connections/{connection}/credential`.
    /// With each user's own API key, in a header: `X-Api-Key` and the key alone when nothing is said.
    ApiKey { header: Option<String>, format: Option<String> },
    /// With each user's own access token, in a header: `Authorization: Bearer` when nothing is said.
    Bearer { header: Option<String>, format: Option<String> },
    /// With each user's own name and password.
    Basic {},
    /// With variables that each user brings to a child process of their own.
    Environment { variables: Vec<VariableBody> },
}

/// A variable of the child's environment that each user brings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewVariable)]
struct VariableBody {
    name: String,
    label: Option<String>,
}

impl Default for AuthBody {
    fn default() -> Self {
        Self::None {}
    }
}

impl ConnectionBody {
    /// Whether it brings any secret.
    pub(super) fn brings_secrets(&self) -> bool {
        let env = match &self.transport {
            TransportBody::Http { .. } => false,
            TransportBody::Stdio { env, .. } => env.iter().flatten().any(|(_, value)| value.is_some()),
        };
        let auth = match &self.auth {
            AuthBody::Header { value, .. } => value.is_some(),
            AuthBody::Oauth2(wanted) => wanted.brings_secret(),
            AuthBody::None {}
            | AuthBody::ApiKey { .. }
            | AuthBody::Bearer { .. }
            | AuthBody::Basic {}
            | AuthBody::Environment { .. } => false,
        };
        env || auth
    }

    /// Finds out how users authorize it, where they do so at an authorization server.
    pub(super) async fn discover(
        &self,
        proctor: &Proctor,
        name: &Name,
        before: Option<(&Settings, &Secrets)>,
    ) -> Result<Option<Discovered>, Problem> {
        let (AuthBody::Oauth2(wanted), TransportBody::Http { url }) = (&self.auth, &self.transport) else {
            return Ok(None);
        };
        let url = checked_url(url)?;
        let before =
            before.and_then(|(settings, secrets)| Some((settings.auth.oauth2()?, secrets.client.as_ref())));
        let found = connect::discover(proctor, name, &url, self.private_network, wanted, before).await;
        found.map(Some).map_err(|error| match error {
            DiscoveryError::Wrong(detail) => wrong(detail),
            DiscoveryError::Failed(detail) => Problem::new(Code::DiscoveryFailed, detail),
        })
    }

    /// The settings and their secrets; what is left out is taken from `before`.
    pub(super) fn settings(
        &self,
        before: Option<(&Settings, &Secrets)>,
        discovered: Option<&Discovered>,
    ) -> Result<(Settings, Secrets), Problem> {
        self.limits.check().map_err(|error| wrong(error.to_string()))?;
        let mut secrets = Secrets::default();
        let transport = match &self.transport {
            TransportBody::Http { url } => Transport::Http { url: checked_url(url)? },
            TransportBody::Stdio { command, args, env } => {
                check_command(command, args)?;
                secrets.env = environment(env.as_ref(), before.map(|(_, secrets)| secrets))?;
                let env = secrets.env.keys().cloned().collect();
                Transport::Stdio { command: command.clone(), args: args.clone(), env }
            }
        };
        let auth = match &self.auth {
            AuthBody::None {} => AuthMethod::None,
            AuthBody::ApiKey { header, format } => AuthMethod::ApiKey {
                header: checked_header(header.as_deref().unwrap_or(API_KEY_HEADER))?,
                format: checked_format(format.as_deref().unwrap_or(PLACE))?,
            },
            AuthBody::Bearer { header, format } => AuthMethod::Bearer {
                header: checked_header(header.as_deref().unwrap_or(AUTHORIZATION))?,
                format: checked_format(format.as_deref().unwrap_or(BEARER_FORMAT))?,
            },
            AuthBody::Basic {} => AuthMethod::Basic,
            AuthBody::Environment { variables } => {
                let variable = |VariableBody { name, label }: &VariableBody| Variable {
                    name: name.clone(),
                    label: label.as_ref().map(|label| label.trim().to_owned()),
                };
                AuthMethod::Environment { variables: variables.iter().map(variable).collect() }
            }
            AuthBody::Oauth2(_) if matches!(transport, Transport::Stdio { .. }) => {
                return Err(wrong(SettingsError::NoHeader.to_string()));
            }
            AuthBody::Oauth2(_) => {
                let Some(found) = discovered else {
                    return Err(wrong("its authorization server was not found"));
                };
                secrets.client = found.client_secret.clone();
                AuthMethod::Oauth2(found.oauth2.clone())
            }
            AuthBody::Header { name, value } => {
                if matches!(transport, Transport::Stdio { .. }) {
                    return Err(wrong("a child process takes no header: pass its secret in env"));
                }
                let name = checked_header(name)?;
                secrets.auth = Some(header_value(&name, value.as_ref(), before)?);
                AuthMethod::Header { name }
            }
        };
        let Self { private_network, shared, limits, drift, .. } = *self;
        let settings = Settings { transport, auth, private_network, shared, limits, drift };
        settings.check().map_err(|error| wrong(error.to_string()))?;
        Ok((settings, secrets))
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidConnection, detail)
}

fn checked_url(url: &str) -> Result<String, Problem> {
    if url.chars().count() > URL_CHARS_MAX {
        return Err(wrong(format!("the url has more than {URL_CHARS_MAX} characters: shorten it")));
    }
    Endpoint::parse(url).map_err(|error| wrong(format!("the url {error}")))?;
    Ok(url.to_owned())
}

fn check_command(command: &str, args: &[String]) -> Result<(), Problem> {
    let fits = |text: &str, chars_max| text.chars().count() <= chars_max && !text.contains('\0');
    if command.trim().is_empty() || !fits(command, COMMAND_CHARS_MAX) {
        return Err(wrong(format!(
            "the command must have 1 to {COMMAND_CHARS_MAX} characters, none of them NUL"
        )));
    }
    if args.len() > ARGS_MAX || !args.iter().all(|arg| fits(arg, ARG_CHARS_MAX)) {
        return Err(wrong(format!(
            "there may be {ARGS_MAX} args of {ARG_CHARS_MAX} characters, none of them NUL: pass the rest in a file"
        )));
    }
    Ok(())
}

fn environment(
    given: Option<&BTreeMap<String, Option<Zeroizing<String>>>>,
    before: Option<&Secrets>,
) -> Result<BTreeMap<String, Zeroizing<String>>, Problem> {
    let Some(given) = given else {
        return Ok(before.map(|before| before.env.clone()).unwrap_or_default());
    };
    if given.len() > ENV_MAX {
        return Err(wrong(format!("env has more than {ENV_MAX} variables: leave some out")));
    }
    let mut environment = BTreeMap::new();
    for (name, value) in given {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || !name.bytes().all(word) {
            let name = name.escape_debug();
            return Err(wrong(format!("env has a variable \"{name}\": use A-Z, a-z, 0-9 and _ in its name")));
        }
        let kept = || before.and_then(|before| before.env.get(name)).cloned();
        let Some(value) = value.clone().or_else(kept) else {
            return Err(wrong(format!("env gives {name} no value, and it has none yet: give one")));
        };
        if value.len() > ENV_VALUE_BYTES_MAX || value.contains('\0') {
            return Err(wrong(format!(
                "env gives {name} a value of more than {ENV_VALUE_BYTES_MAX} bytes, or with NUL in it: give another"
            )));
        }
        environment.insert(name.clone(), value);
    }
    Ok(environment)
}

fn checked_header(name: &str) -> Result<String, Problem> {
    let valid = name.len() <= HEADER_NAME_BYTES_MAX && HeaderName::try_from(name).is_ok();
    let lower = name.to_ascii_lowercase();
    if !valid || RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("mcp-") {
        let name: String = name.escape_debug().take(HEADER_NAME_BYTES_MAX).collect();
        return Err(wrong(format!(
            "the header \"{name}\" cannot carry a secret: name one such as Authorization or X-Api-Key"
        )));
    }
    Ok(name.to_owned())
}

fn checked_format(format: &str) -> Result<String, Problem> {
    let fits = format.len() <= FORMAT_BYTES_MAX && HeaderValue::from_str(format).is_ok();
    if !fits || format.matches(PLACE).count() != 1 {
        return Err(wrong(format!(
            "the format of the header's value must be up to {FORMAT_BYTES_MAX} visible ASCII characters with \
             {PLACE} in it once, such as \"Token {PLACE}\""
        )));
    }
    Ok(format.to_owned())
}

fn header_value(
    name: &str,
    value: Option<&Zeroizing<String>>,
    before: Option<(&Settings, &Secrets)>,
) -> Result<Zeroizing<String>, Problem> {
    let kept = || {
        let (settings, secrets) = before?;
        match &settings.auth {
            AuthMethod::Header { name: before } if before.eq_ignore_ascii_case(name) => secrets.auth.clone(),
            AuthMethod::Header { .. }
            | AuthMethod::None
            | AuthMethod::ApiKey { .. }
            | AuthMethod::Bearer { .. }
            | AuthMethod::Basic
            | AuthMethod::Oauth2(_)
            | AuthMethod::Environment { .. } => None,
        }
    };
    let Some(value) = value.cloned().or_else(kept) else {
        return Err(wrong(format!("auth gives the header {name} no value, and it has none yet: give one")));
    };
    if value.is_empty() || value.len() > HEADER_VALUE_BYTES_MAX || HeaderValue::from_str(&value).is_err() {
        return Err(wrong(format!(
            "auth gives the header {name} a value that no header can have: use 1 to {HEADER_VALUE_BYTES_MAX} \
             visible ASCII characters"
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> ConnectionBody {
        serde_json::from_str(json).unwrap()
    }

    fn refused(json: &str) -> String {
        let problem = body(json).settings(None, None).map(|_| ()).unwrap_err();
        assert_eq!(problem.code, Code::InvalidConnection);
        problem.detail
    }

    const STDIO: &str =
        r#"{"transport":{"type":"stdio","command":"notes","args":["-v"],"env":{"B":"2","A":"1"}}}"#;

    #[test]
    fn secrets_leave_the_settings() {
        let (settings, secrets) = body(STDIO).settings(None, None).unwrap();
        let Transport::Stdio { env, .. } = &settings.transport else { panic!("not stdio") };
        assert_eq!(env, &["A", "B"]);
        assert_eq!(secrets.env["A"].as_str(), "1");
        assert!(!serde_json::to_string(&settings).unwrap().contains('2'));
    }

    #[test]
    fn secrets_that_are_left_out_are_kept() {
        let (settings, secrets) = body(STDIO).settings(None, None).unwrap();
        let before = Some((&settings, &secrets));
        let all = body(r#"{"transport":{"type":"stdio","command":"other"}}"#);
        assert!(!all.brings_secrets());
        assert_eq!(all.settings(before, None).unwrap().1.env.len(), 2);
        let one = body(r#"{"transport":{"type":"stdio","command":"notes","env":{"A":null,"C":"3"}}}"#);
        let (_, kept) = one.settings(before, None).unwrap();
        assert_eq!((kept.env["A"].as_str(), kept.env["C"].as_str(), kept.env.len()), ("1", "3", 2));
        let unknown = body(r#"{"transport":{"type":"stdio","command":"notes","env":{"Z":null}}}"#);
        assert!(unknown.settings(before, None).is_err());
    }

    #[test]
    fn a_headers_secret_is_kept_for_the_same_header_only() {
        let with = |auth: &str| {
            body(&format!(r#"{{"transport":{{"type":"http","url":"https://a.example"}},"auth":{auth}}}"#))
        };
        let (settings, secrets) =
            with(r#"{"type":"header","name":"X-Key","value":"s"}"#).settings(None, None).unwrap();
        let before = Some((&settings, &secrets));
        let same = with(r#"{"type":"header","name":"x-key"}"#).settings(before, None).unwrap();
        assert_eq!(same.1.auth.unwrap().as_str(), "s");
        assert!(with(r#"{"type":"header","name":"X-Other"}"#).settings(before, None).is_err());
        assert!(with(r#"{"type":"none"}"#).settings(before, None).unwrap().1.auth.is_none());
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let http = |url: &str| refused(&format!(r#"{{"transport":{{"type":"http","url":"{url}"}}}}"#));
        assert!(http("ftp://a").contains("ftp"));
        assert!(http("https://u:secret@a.example").contains("password"));
        assert!(!http("https://u:secret@a.example").contains("secret@"));
        http("no url");
        for auth in [
            r#"{"type":"header","name":"Host","value":"x"}"#,
            r#"{"type":"header","name":"Mcp-Session-Id","value":"x"}"#,
            r#"{"type":"header","name":"bad header","value":"x"}"#,
            r#"{"type":"header","name":"X-Key","value":"a\r\nX-Other: b"}"#,
            r#"{"type":"header","name":"X-Key"}"#,
        ] {
            refused(&format!(r#"{{"transport":{{"type":"http","url":"https://a.example"}},"auth":{auth}}}"#));
        }
        refused(r#"{"transport":{"type":"stdio","command":""}}"#);
        refused(r#"{"transport":{"type":"stdio","command":"x","env":{"A=B":"1"}}}"#);
        refused(
            r#"{"transport":{"type":"stdio","command":"x"},"auth":{"type":"header","name":"X-Key","value":"x"}}"#,
        );
        let unknown = r#"{"transport":{"type":"http","url":"https://a.example","tls":1}}"#;
        assert!(serde_json::from_str::<ConnectionBody>(unknown).is_err());
        let unknown =
            r#"{"transport":{"type":"http","url":"https://a.example"},"auth":{"type":"none","value":"x"}}"#;
        assert!(serde_json::from_str::<ConnectionBody>(unknown).is_err());
    }
}
