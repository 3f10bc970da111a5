//! What an agent asks for, and whom that concerns.

use serde::{Deserialize, Serialize};

use super::{FoundResource, VirtualServer};
use crate::Name;
use crate::connection::Feature;

/// The protocol's methods by which an agent reaches an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Calls a tool.
    #[default]
    #[serde(rename = "tools/call")]
    ToolsCall,
    /// Gets a prompt.
    #[serde(rename = "prompts/get")]
    PromptsGet,
    /// Lists the resources of one connection.
    #[serde(rename = "resources/list")]
    ResourcesList,
    /// Reads a resource.
    #[serde(rename = "resources/read")]
    ResourcesRead,
    /// Completes an argument of a prompt or a resource template.
    #[serde(rename = "completion/complete")]
    CompletionComplete,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ToolsCall,
        Self::PromptsGet,
        Self::ResourcesList,
        Self::ResourcesRead,
        Self::CompletionComplete,
    ];

    /// The method's name in the protocol, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToolsCall => "tools/call",
            Self::PromptsGet => "prompts/get",
            Self::ResourcesList => "resources/list",
            Self::ResourcesRead => "resources/read",
            Self::CompletionComplete => "completion/complete",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether it is the one that all others came after.
    #[must_use]
    pub fn is_tools_call(&self) -> bool {
        *self == Self::ToolsCall
    }
}

/// What an agent asks for, by the names that it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To call the tool of this name.
    Tool(String),
    /// To get the prompt of this name.
    Prompt(String),
    /// To read the resource of this URI.
    Resource(String),
    /// To see which resources this connection has.
    ResourceList(Name),
    /// To have an argument of the prompt of this name completed.
    PromptCompletion(String),
    /// To have a variable of this resource template completed.
    TemplateCompletion(String),
}

/// Whom something that an agent asks for concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The connection.
    pub connection: &'a Name,
    /// What of its catalog it rests on; nothing where a resource is exposed by its URI.
    pub feature: Option<Feature>,
    /// What the upstream calls it: a tool, a prompt, a template or a URI; empty for a list.
    pub name: &'a str,
    /// What stands for it in the journal: the same, but for a resource what exposes it, since a URI may say
    /// something of a person.
    pub exposed_by: &'a str,
}

impl Wanted {
    /// By which method.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Self::Tool(_) => Method::ToolsCall,
            Self::Prompt(_) => Method::PromptsGet,
            Self::Resource(_) => Method::ResourcesRead,
            Self::ResourceList(_) => Method::ResourcesList,
            Self::PromptCompletion(_) | Self::TemplateCompletion(_) => Method::CompletionComplete,
        }
    }

    /// As the agent named it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name) | Self::Prompt(name) | Self::PromptCompletion(name) => name,
            Self::Resource(uri) => uri,
            Self::TemplateCompletion(template) => template,
            Self::ResourceList(connection) => connection.as_str(),
        }
    }
}

impl VirtualServer {
    /// Whom it concerns; nobody where it is not exposed.
    #[must_use]
    pub fn target<'a>(&'a self, wanted: &'a Wanted) -> Option<Target<'a>> {
        let same = |connection, feature, name| Target { connection, feature, name, exposed_by: name };
        match wanted {
            Wanted::Tool(name) => self.tool(name).map(|exposed| {
                same(&exposed.connection, Some(Feature::Tool(exposed.tool.clone())), exposed.tool.as_str())
            }),
            Wanted::Prompt(name) | Wanted::PromptCompletion(name) => self.prompt(name).map(|exposed| {
                let feature = Feature::Prompt(exposed.prompt.clone());
                same(&exposed.connection, Some(feature), exposed.prompt.as_str())
            }),
            Wanted::TemplateCompletion(shown) => {
                let (connection, template) = self.resources().find_template(shown)?;
                Some(same(connection, Some(Feature::ResourceTemplate(template.to_owned())), template))
            }
            Wanted::Resource(uri) => {
                let FoundResource { connection, uri, exposed_by, by_template } =
                    self.resources().find(uri)?;
                let feature = by_template.then(|| Feature::ResourceTemplate(exposed_by.to_owned()));
                Some(Target { connection, feature, name: uri, exposed_by })
            }
            Wanted::ResourceList(name) => {
                let connections = self.resources().connections();
                let connection = connections.into_iter().find(|connection| *connection == name)?;
                Some(same(connection, None, ""))
            }
        }
    }
}
