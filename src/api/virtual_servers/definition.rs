//! What an administrator writes down for one agent role.

use proctor_domain::Name;
use proctor_domain::limits::{Limits, SessionLimits};
use proctor_domain::virtual_server::{
    Capture, Definition, ExposedPrompt, ExposedResource, ExposedResourceTemplate, ExposedTool, Login,
    MissingAccounts,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use crate::connect::checked_return_url;

/// The body of a definition. In a revision the name may be left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Definition)]
pub(in crate::api) struct DefinitionBody {
    #[schema(value_type = Option<words::Name>)]
    pub(super) name: Option<Name>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 8_000)]
    description: String,
    /// For agents.
    #[serde(default)]
    #[schema(max_length = 32_000)]
    instructions: String,
    /// The tools that are exposed; nothing else is.
    #[schema(value_type = Vec<words::ExposedTool>, max_items = 500)]
    tools: Vec<ExposedTool>,
    /// The prompts that are exposed.
    #[serde(default)]
    #[schema(value_type = Vec<words::ExposedPrompt>, max_items = 500, required = false)]
    prompts: Vec<ExposedPrompt>,
    /// The resources that are exposed, each by its URI.
    #[serde(default)]
    #[schema(value_type = Vec<words::ExposedResource>, max_items = 500, required = false)]
    resources: Vec<ExposedResource>,
    /// The resource templates of which every resource is exposed.
    #[serde(default)]
    #[schema(value_type = Vec<words::ExposedResourceTemplate>, max_items = 500, required = false)]
    resource_templates: Vec<ExposedResourceTemplate>,
    #[serde(default)]
    #[schema(value_type = words::Capture)]
    capture: Capture,
    #[serde(default)]
    #[schema(value_type = words::MissingAccounts)]
    missing_accounts: Then,
    /// Where users come back to who are asked to connect an account.
    #[schema(format = "uri")]
    return_url: Option<String>,
    #[schema(value_type = Option<words::Login>)]
    login: Option<Login>,
    #[serde(default)]
    #[schema(value_type = words::Limits)]
    limits: Limits,
    #[serde(default)]
    #[schema(value_type = words::SessionLimits)]
    session_limits: SessionLimits,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Then {
    #[default]
    Refuse,
    Ask,
}

impl DefinitionBody {
    pub(super) fn into_definition(self) -> Result<Definition, Problem> {
        let Self {
            name: _,
            description,
            instructions,
            tools,
            prompts,
            resources,
            resource_templates,
            capture,
            login,
            limits,
            session_limits,
            ..
        } = self;
        let wrong = |detail: String| Problem::new(Code::InvalidDefinition, detail);
        let missing_accounts = match (self.missing_accounts, self.return_url) {
            (Then::Refuse, None) => MissingAccounts::Refuse,
            (Then::Ask, Some(return_url)) => {
                checked_return_url(&return_url).map_err(|error| wrong(error.to_string()))?;
                MissingAccounts::Ask { return_url }
            }
            (Then::Ask, None) => {
                let detail =
                    "missing_accounts is \"ask\": give the return_url to which users come back as well";
                return Err(wrong(detail.to_owned()));
            }
            (Then::Refuse, Some(_)) => {
                let detail =
                    "a return_url goes with missing_accounts \"ask\": set that, or leave the return_url out";
                return Err(wrong(detail.to_owned()));
            }
        };
        Ok(Definition {
            description,
            instructions,
            tools,
            prompts,
            resources,
            resource_templates,
            capture,
            missing_accounts,
            login,
            limits,
            session_limits,
        })
    }
}
