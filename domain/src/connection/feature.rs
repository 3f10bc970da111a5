//! What a catalog pins: tools, prompts and resource templates, each under a key of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

const TOOL: &str = "tool:";
const PROMPT: &str = "prompt:";
const RESOURCE_TEMPLATE: &str = "resource_template:";

/// Something that an upstream defines for agents and a catalog pins.
///
/// Resources are none of it: which there are may be a matter of each user, and who may see what stands
/// in the journal is not. They are listed live, with the user's own credential.
///
/// As text it is the name of a tool, `prompt:` with the name of a prompt, or `resource_template:` with
/// the template; a tool whose name begins like one of these has `tool:` in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Feature {
    /// A tool, by its name.
    Tool(String),
    /// A prompt, by its name.
    Prompt(String),
    /// A resource template, by its `uriTemplate` (RFC 6570).
    ResourceTemplate(String),
}

impl Feature {
    /// What the upstream calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name) | Self::Prompt(name) | Self::ResourceTemplate(name) => name,
        }
    }

    /// What kind of thing it is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Prompt(_) => "prompt",
            Self::ResourceTemplate(_) => "resource template",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => {
                let prefixes = [TOOL, PROMPT, RESOURCE_TEMPLATE];
                let prefix = if prefixes.iter().any(|prefix| name.starts_with(prefix)) { TOOL } else { "" };
                write!(f, "{prefix}{name}")
            }
            Self::Prompt(name) => write!(f, "{PROMPT}{name}"),
            Self::ResourceTemplate(template) => write!(f, "{RESOURCE_TEMPLATE}{template}"),
        }
    }
}

impl From<String> for Feature {
    fn from(text: String) -> Self {
        if let Some(name) = text.strip_prefix(PROMPT) {
            Self::Prompt(name.to_owned())
        } else if let Some(template) = text.strip_prefix(RESOURCE_TEMPLATE) {
            Self::ResourceTemplate(template.to_owned())
        } else if let Some(name) = text.strip_prefix(TOOL) {
            Self::Tool(name.to_owned())
        } else {
            Self::Tool(text)
        }
    }
}

impl From<&str> for Feature {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<Feature> for String {
    fn from(feature: Feature) -> Self {
        feature.to_string()
    }
}
