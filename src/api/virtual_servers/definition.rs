//! What an administrator writes down for one agent role.

use proctor_domain::Name;
use proctor_domain::virtual_server::{Capture, Definition, ExposedTool, Login};
use serde::Deserialize;

/// The body of a definition. In a revision the name may be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DefinitionBody {
    pub(super) name: Option<Name>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    instructions: String,
    tools: Vec<ExposedTool>,
    #[serde(default)]
    capture: Capture,
    login: Option<Login>,
}

impl DefinitionBody {
    pub(super) fn into_definition(self) -> Definition {
        let Self { name: _, description, instructions, tools, capture, login } = self;
        Definition { description, instructions, tools, capture, login }
    }
}
