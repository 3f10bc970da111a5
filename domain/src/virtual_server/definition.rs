//! What an administrator writes down for one agent role, and the names that follow from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Name;
use crate::limits::{InvalidLimit, Limits, SessionLimits};
use crate::session::{Access, TTL_SECONDS_MAX, TTL_SECONDS_MIN};

/// Most tools on one virtual server.
pub const TOOLS_MAX: usize = 500;
/// Longest description of a virtual server or a tool, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 8_000;
/// Longest instructions, in characters.
pub const INSTRUCTIONS_CHARS_MAX: usize = 32_000;
/// Longest tool name, in bytes (MCP 2026-07-28, tool names).
pub const TOOL_NAME_BYTES_MAX: usize = 128;

/// How much of arguments and results is kept, sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// All of it.
    #[default]
    Full,
    /// A keyed digest.
    Digest,
    /// Nothing.
    None,
}

/// What becomes of a session whose user has not connected every account that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingAccounts {
    /// It is not minted.
    #[default]
    Refuse,
    /// It is minted, and a call that needs the account asks the user to connect it.
    Ask {
        /// Where users are sent back to when they have.
        return_url: String,
    },
}

impl MissingAccounts {
    fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

/// One tool that the agent may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposedTool {
    /// The connection that offers it.
    pub connection: Name,
    /// Its name there.
    pub tool: String,
    /// Another name for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another description for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Arguments that the agent neither sees nor sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_arguments: Option<Map<String, Value>>,
}

/// Whose access tokens open sessions by themselves, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The identity provider's name.
    pub provider: Name,
    /// How long such a session lasts at most, in seconds; as long as its token when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_max: Option<u32>,
    /// How much of the virtual server it may use.
    #[serde(default)]
    pub access: Access,
}

/// A virtual server as its administrator wrote it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// For people.
    pub description: String,
    /// For the agent.
    pub instructions: String,
    /// Exactly the tools that are exposed. Empty exposes nothing.
    pub tools: Vec<ExposedTool>,
    /// How much of arguments and results is kept.
    pub capture: Capture,
    /// What becomes of a session whose user has not connected every account that it needs.
    #[serde(default, skip_serializing_if = "MissingAccounts::is_refuse")]
    pub missing_accounts: MissingAccounts,
    /// Whether people may bring their own login. Only minted sessions when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// How much all its sessions together may use.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// How much each of its sessions may use that is opened without limits of its own.
    #[serde(default, skip_serializing_if = "SessionLimits::is_empty")]
    pub session_limits: SessionLimits,
}

/// A definition that cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDefinition {
    /// Two tools would have the same name.
    #[error("two tools would be called {0}: give one of them another name")]
    NameClash(String),
    /// A name that the protocol does not allow.
    #[error(
        "the tool name \"{0}\" is not allowed: use 1 to {TOOL_NAME_BYTES_MAX} characters out of A-Z, a-z, 0-9, _, - and ."
    )]
    ToolName(String),
    /// More tools than a virtual server may have.
    #[error("a virtual server has at most {TOOLS_MAX} tools, and this one would have {0}: split the role")]
    TooManyTools(usize),
    /// A text that is too long.
    #[error("{what} has more than {chars_max} characters: shorten it")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// How long it may be.
        chars_max: usize,
    },
    /// A life that no session can have.
    #[error("login.ttl_seconds_max is {0}: choose {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX}")]
    LoginTtl(u32),
    /// A limit that nothing can have.
    #[error(transparent)]
    Limit(#[from] InvalidLimit),
}

impl Definition {
    /// The name of each tool as the agent sees it, in order: the administrator's where one is set;
    /// otherwise the upstream's, led by the connection's where it would clash with another.
    #[must_use]
    pub fn tool_names(&self) -> Vec<String> {
        let set: BTreeSet<&str> = self.tools.iter().filter_map(|tool| tool.name.as_deref()).collect();
        let mut plain: BTreeMap<&str, BTreeSet<&Name>> = BTreeMap::new();
        for tool in self.tools.iter().filter(|tool| tool.name.is_none()) {
            plain.entry(&tool.tool).or_default().insert(&tool.connection);
        }
        self.tools
            .iter()
            .map(|tool| match &tool.name {
                Some(name) => name.clone(),
                None if set.contains(tool.tool.as_str()) || plain[tool.tool.as_str()].len() > 1 => {
                    format!("{}_{}", tool.connection, tool.tool)
                }
                None => tool.tool.clone(),
            })
            .collect()
    }

    /// Checks what can be checked without the connections.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidDefinition> {
        if self.tools.len() > TOOLS_MAX {
            return Err(InvalidDefinition::TooManyTools(self.tools.len()));
        }
        let too_long = |what, text: &str, chars_max| {
            if text.chars().count() > chars_max {
                Err(InvalidDefinition::TooLong { what, chars_max })
            } else {
                Ok(())
            }
        };
        too_long("the description", &self.description, DESCRIPTION_CHARS_MAX)?;
        too_long("the instructions", &self.instructions, INSTRUCTIONS_CHARS_MAX)?;
        for description in self.tools.iter().filter_map(|tool| tool.description.as_deref()) {
            too_long("a tool's description", description, DESCRIPTION_CHARS_MAX)?;
        }
        let ttl_seconds_max = self.login.as_ref().and_then(|login| login.ttl_seconds_max);
        if let Some(ttl) = ttl_seconds_max.filter(|ttl| !(TTL_SECONDS_MIN..=TTL_SECONDS_MAX).contains(ttl)) {
            return Err(InvalidDefinition::LoginTtl(ttl));
        }
        self.limits.check()?;
        self.session_limits.check("session_limits")?;
        let mut seen = BTreeSet::new();
        for name in self.tool_names() {
            if !is_tool_name(&name) {
                return Err(InvalidDefinition::ToolName(name.escape_debug().take(160).collect()));
            }
            if !seen.insert(name.clone()) {
                return Err(InvalidDefinition::NameClash(name));
            }
        }
        Ok(())
    }
}

fn is_tool_name(name: &str) -> bool {
    (1..=TOOL_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}
