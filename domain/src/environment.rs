//! Environment variables that every user brings to an upstream that is a child process.
//!
//! An administrator names them, users give them values. So a name is refused where its value would
//! say what runs: that is never a user's to choose.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::connection::{AuthMethod, Settings, Transport};

/// Most variables that a user brings to one connection.
pub const VARIABLES_MAX: usize = 16;
/// Longest name of a variable, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest label of a variable, in characters.
pub const LABEL_CHARS_MAX: usize = 100;
/// Longest value of a variable, in bytes.
pub const VALUE_BYTES_MAX: usize = 8_192;

/// What Proctor itself sets for every child.
const OWN_NAMES: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Variables by which loaders, shells, interpreters and package runners find what they run.
const RUNNING_NAMES: [&str; 40] = [
    "IFS",
    "ENV",
    "SHELL",
    "SHELLOPTS",
    "BASHOPTS",
    "BASH_ENV",
    "PS4",
    "CDPATH",
    "PROMPT_COMMAND",
    "GCONV_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONBREAKPOINT",
    "PYTHONWARNINGS",
    "PYTHONPLATLIBDIR",
    "PYTHONEXECUTABLE",
    "PERLLIB",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "RUBYLIB",
    "RUBYOPT",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "DOTNET_STARTUP_HOOKS",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "LUA_INIT",
    "GIT_EXEC_PATH",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "EDITOR",
    "VISUAL",
    "PAGER",
];

/// The same by how they begin, in capitals: some are read in either case.
const RUNNING_BEGINNINGS: [&str; 8] =
    ["LD_", "DYLD_", "BASH_FUNC_", "GIT_SSH", "GIT_CONFIG", "NPM_CONFIG_", "UV_", "PIP_"];

/// A variable that each user brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name in the child's environment.
    pub name: String,
    /// What people are asked for; the name, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Variable {
    /// What people are asked for.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

/// Settings by which no user can bring anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nobody has an environment at an upstream that is reached over the network.
    #[error(
        "environment variables are for a child process: use a transport of the type stdio, or another auth"
    )]
    NoChild,
    /// A child process has no headers.
    #[error("a child process takes no header, so no user can bring one: use auth of the type environment")]
    NoHeader,
    /// One process cannot have several users' values.
    #[error("each user brings a credential of their own: shared must be false")]
    Shared,
    /// Too few or too many.
    #[error("auth.variables must name 1 to {VARIABLES_MAX} variables that each user brings")]
    Count,
    /// No environment has such a name everywhere.
    #[error(
        "auth.variables names \"{0}\": use up to {NAME_CHARS_MAX} of A-Z, a-z, 0-9 and _, and no digit in front"
    )]
    Name(String),
    /// Its value would say what runs.
    #[error(
        "auth.variables names {0}, whose value decides what runs on this machine: no user may choose it; set it in \
         transport.env"
    )]
    Running(String),
    /// It is named twice.
    #[error("auth.variables names {0} twice: leave one out")]
    Twice(String),
    /// The connection sets it for everybody.
    #[error(
        "auth.variables names {0}, which transport.env sets for everybody: take it out of one of the two"
    )]
    SetForAll(String),
    /// The label cannot be shown.
    #[error("auth.variables gives {0} a label that cannot be shown: use 1 to {LABEL_CHARS_MAX} characters")]
    Label(String),
}

impl Settings {
    /// Whether users can bring what these settings want of them.
    ///
    /// # Errors
    /// With what stands in the way.
    pub fn check(&self) -> Result<(), SettingsError> {
        match (&self.auth, &self.transport) {
            (AuthMethod::Environment { .. }, Transport::Http { .. }) => Err(SettingsError::NoChild),
            (AuthMethod::Environment { variables }, Transport::Stdio { env, .. }) => {
                if self.shared {
                    return Err(SettingsError::Shared);
                }
                check_variables(variables, env)
            }
            (
                AuthMethod::ApiKey { .. }
                | AuthMethod::Bearer { .. }
                | AuthMethod::Basic
                | AuthMethod::Oauth2(_),
                Transport::Stdio { .. },
            ) => Err(SettingsError::NoHeader),
            (
                AuthMethod::ApiKey { .. }
                | AuthMethod::Bearer { .. }
                | AuthMethod::Basic
                | AuthMethod::Oauth2(_),
                Transport::Http { .. },
            ) if self.shared => Err(SettingsError::Shared),
            (
                AuthMethod::None
                | AuthMethod::Header { .. }
                | AuthMethod::ApiKey { .. }
                | AuthMethod::Bearer { .. }
                | AuthMethod::Basic
                | AuthMethod::Oauth2(_),
                Transport::Http { .. } | Transport::Stdio { .. },
            ) => Ok(()),
        }
    }
}

fn check_variables(variables: &[Variable], env: &[String]) -> Result<(), SettingsError> {
    if !(1..=VARIABLES_MAX).contains(&variables.len()) {
        return Err(SettingsError::Count);
    }
    let mut seen = BTreeSet::new();
    for Variable { name, label } in variables {
        if !is_portable(name) {
            return Err(SettingsError::Name(name.escape_debug().take(NAME_CHARS_MAX).collect()));
        }
        if says_what_runs(name) {
            return Err(SettingsError::Running(name.clone()));
        }
        if !seen.insert(name) {
            return Err(SettingsError::Twice(name.clone()));
        }
        if env.contains(name) {
            return Err(SettingsError::SetForAll(name.clone()));
        }
        let fits = |label: &String| {
            (1..=LABEL_CHARS_MAX).contains(&label.chars().count())
                && !label.trim().is_empty()
                && !label.contains(char::is_control)
        };
        if !label.iter().all(fits) {
            return Err(SettingsError::Label(name.clone()));
        }
    }
    Ok(())
}

/// POSIX.1-2024, base definitions, section 8.1.
fn is_portable(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit = |name: &str| name.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(word) && !digit(name)
}

fn says_what_runs(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    OWN_NAMES.contains(&name.as_str())
        || RUNNING_NAMES.contains(&name.as_str())
        || RUNNING_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}
