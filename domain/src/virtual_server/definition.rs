//! What an administrator writes down for one agent role, and the names that follow from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resources::{ExposedResource, ExposedResourceTemplate};
use super::uri_template::{InvalidTemplate, UriTemplate, is_uri};
use crate::Name;
use crate::connection::Feature;
use crate::limits::{InvalidLimit, Limits, SessionLimits};
use crate::session::{Access, TTL_SECONDS_MAX, TTL_SECONDS_MIN};

/// Most tools on one virtual server.
pub const TOOLS_MAX: usize = 500;
/// Most prompts on one virtual server.
pub const PROMPTS_MAX: usize = 500;
/// Most rules for resources on one virtual server: URIs and templates together.
pub const RESOURCE_RULES_MAX: usize = 500;
/// Longest name of a prompt, in bytes.
pub const PROMPT_NAME_BYTES_MAX: usize = 256;
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

/// One prompt that the agent may get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposedPrompt {
    /// The connection that offers it.
    pub connection: Name,
    /// Its name there.
    pub prompt: String,
    /// Another name for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another description for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
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
    /// Exactly the prompts that are exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<ExposedPrompt>,
    /// Exactly the resources that are exposed by their URI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ExposedResource>,
    /// The resource templates of which every resource is exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_templates: Vec<ExposedResourceTemplate>,
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
    /// Two prompts would have the same name.
    #[error("two prompts would be called {0}: give one of them another name")]
    PromptNameClash(String),
    /// A name that no prompt can have.
    #[error(
        "the prompt name \"{0}\" is not allowed: use 1 to {PROMPT_NAME_BYTES_MAX} bytes, no control characters"
    )]
    PromptName(String),
    /// More prompts than a virtual server may have.
    #[error(
        "a virtual server has at most {PROMPTS_MAX} prompts, and this one would have {0}: split the role"
    )]
    TooManyPrompts(usize),
    /// More rules for resources than a virtual server may have.
    #[error(
        "a virtual server has at most {RESOURCE_RULES_MAX} resources and resource_templates, and this one would \
         have {0}: use templates, or split the role"
    )]
    TooManyResources(usize),
    /// A text that is no URI.
    #[error("\"{0}\" is no URI: write it with its scheme and without spaces, as the connection lists it")]
    Uri(String),
    /// A text that is no URI template.
    #[error("the resource template \"{template}\" cannot be read: {error}")]
    Template {
        /// The text.
        template: String,
        /// What is wrong with it.
        error: InvalidTemplate,
    },
    /// The same rule twice.
    #[error("{0} stands there twice: once is enough")]
    SameResource(String),
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
        let named = |tool: &'_ ExposedTool| (tool.connection.clone(), tool.tool.clone(), tool.name.clone());
        names(self.tools.iter().map(named).collect())
    }

    /// The name of each prompt as the agent sees it, by the same rule.
    #[must_use]
    pub fn prompt_names(&self) -> Vec<String> {
        let named =
            |prompt: &ExposedPrompt| (prompt.connection.clone(), prompt.prompt.clone(), prompt.name.clone());
        names(self.prompts.iter().map(named).collect())
    }

    /// What it exposes of the catalogs, each with its connection.
    pub fn features(&self) -> impl Iterator<Item = (&Name, Feature)> {
        let tools = self.tools.iter().map(|it| (&it.connection, Feature::Tool(it.tool.clone())));
        let prompts = self.prompts.iter().map(|it| (&it.connection, Feature::Prompt(it.prompt.clone())));
        let templates = self.resource_templates.iter();
        let templates =
            templates.map(|it| (&it.connection, Feature::ResourceTemplate(it.uri_template.clone())));
        tools.chain(prompts).chain(templates)
    }

    /// Every connection of which something is exposed.
    #[must_use]
    pub fn connections(&self) -> BTreeSet<&Name> {
        let tools = self.tools.iter().map(|tool| &tool.connection);
        tools.chain(self.connections_beside_tools()).collect()
    }

    /// The connections of prompts and resources.
    pub fn connections_beside_tools(&self) -> impl Iterator<Item = &Name> {
        let prompts = self.prompts.iter().map(|prompt| &prompt.connection);
        let resources = self.resources.iter().map(|resource| &resource.connection);
        let templates = self.resource_templates.iter().map(|template| &template.connection);
        prompts.chain(resources).chain(templates)
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
        self.check_prompts()?;
        self.check_resources()
    }

    fn check_prompts(&self) -> Result<(), InvalidDefinition> {
        if self.prompts.len() > PROMPTS_MAX {
            return Err(InvalidDefinition::TooManyPrompts(self.prompts.len()));
        }
        for description in self.prompts.iter().filter_map(|prompt| prompt.description.as_deref()) {
            if description.chars().count() > DESCRIPTION_CHARS_MAX {
                let (what, chars_max) = ("a prompt's description", DESCRIPTION_CHARS_MAX);
                return Err(InvalidDefinition::TooLong { what, chars_max });
            }
        }
        let mut seen = BTreeSet::new();
        for name in self.prompt_names() {
            let fits = (1..=PROMPT_NAME_BYTES_MAX).contains(&name.len());
            if !fits || name.chars().any(char::is_control) {
                return Err(InvalidDefinition::PromptName(name.escape_debug().take(160).collect()));
            }
            if !seen.insert(name.clone()) {
                return Err(InvalidDefinition::PromptNameClash(name));
            }
        }
        Ok(())
    }

    fn check_resources(&self) -> Result<(), InvalidDefinition> {
        let rules = self.resources.len() + self.resource_templates.len();
        if rules > RESOURCE_RULES_MAX {
            return Err(InvalidDefinition::TooManyResources(rules));
        }
        let shown = |text: &str| text.escape_debug().take(160).collect::<String>();
        let mut seen = BTreeSet::new();
        for ExposedResource { connection, uri } in &self.resources {
            if !is_uri(uri) {
                return Err(InvalidDefinition::Uri(shown(uri)));
            }
            if !seen.insert((connection, uri)) {
                return Err(InvalidDefinition::SameResource(format!("the resource {}", shown(uri))));
            }
        }
        for ExposedResourceTemplate { connection, uri_template } in &self.resource_templates {
            if let Err(error) = UriTemplate::parse(uri_template) {
                return Err(InvalidDefinition::Template { template: shown(uri_template), error });
            }
            if !seen.insert((connection, uri_template)) {
                let what = format!("the resource template {}", shown(uri_template));
                return Err(InvalidDefinition::SameResource(what));
            }
        }
        Ok(())
    }
}

/// Names out of `(connection, name there, name that was set)`.
fn names(all: Vec<(Name, String, Option<String>)>) -> Vec<String> {
    let set: BTreeSet<&str> = all.iter().filter_map(|(.., set)| set.as_deref()).collect();
    let mut plain: BTreeMap<&str, BTreeSet<&Name>> = BTreeMap::new();
    for (connection, own, _) in all.iter().filter(|(.., set)| set.is_none()) {
        plain.entry(own).or_default().insert(connection);
    }
    let resolved = all.iter().map(|(connection, own, name)| match name {
        Some(name) => name.clone(),
        None if set.contains(own.as_str()) || plain[own.as_str()].len() > 1 => format!("{connection}_{own}"),
        None => own.clone(),
    });
    resolved.collect()
}

fn is_tool_name(name: &str) -> bool {
    (1..=TOOL_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}
