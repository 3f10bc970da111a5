//! What `tools/list` answers for a virtual server: the tool definitions as its agents see them.
//!
//! **Invariants.** A definition that the administrator did not change is served byte for byte as
//! the upstream gave it. In one that was changed, everything else keeps its bytes and its place,
//! known to this version or not. The order is the administrator's.

mod arguments;
mod header_params;
mod raw_object;

use std::sync::Arc;

use proctor_domain::Name;
use proctor_domain::virtual_server::{Definition, ExposedTool};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use arguments::{ArgumentsError, merge_arguments};
pub use header_params::HeaderParam;
use raw_object::{NotAnObject, RawObject};

/// A tool as its connection's catalog has it.
#[derive(Debug, Clone, Copy)]
pub struct CatalogDefinition<'a> {
    /// The definition, exactly as the upstream gave it.
    pub definition: &'a RawValue,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: &'a str,
    /// Whether the upstream says that it changes nothing.
    pub read_only: bool,
}

/// A tool as agents see it.
#[derive(Debug, Clone)]
pub struct ManifestTool {
    /// Its name for the agent, unique in the manifest.
    pub name: String,
    /// The connection that offers it.
    pub connection: Name,
    /// Its name there.
    pub tool: String,
    /// What `tools/list` says of it.
    pub definition: Box<RawValue>,
    /// SHA-256 of the bytes of `definition`, in hexadecimal.
    pub served_digest: String,
    /// SHA-256 of the upstream's definition, in hexadecimal: the one that the catalog pins.
    pub definition_digest: String,
    /// Whether the upstream says that it changes nothing. A hint: it may narrow, never widen.
    pub read_only: bool,
    /// Which arguments an agent repeats in headers.
    pub header_params: Vec<HeaderParam>,
    /// Which arguments the upstream wants repeated in headers: also those that are fixed.
    pub upstream_header_params: Vec<HeaderParam>,
    /// Arguments that the agent neither sees nor sets; for [`merge_arguments`].
    pub fixed_arguments: Map<String, Value>,
}

/// The tools of a virtual server, in the administrator's order.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The tools.
    pub tools: Vec<Arc<ManifestTool>>,
    /// SHA-256 over the served definitions in order, each with its length in bytes in front
    /// (64 bits, big-endian), in hexadecimal.
    pub digest: String,
}

/// A catalog's definition that cannot be changed as the administrator wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to list tool {tool:?} of connection \"{connection}\": {wrong}: expose it without another \
     name, description or fixed arguments, or have its server corrected and refresh the catalog"
)]
pub struct ManifestError {
    /// The connection that offers the tool.
    pub connection: Name,
    /// The tool's name there.
    pub tool: String,
    /// What is wrong with its definition.
    pub wrong: String,
}

impl Manifest {
    /// Lists what `definition` exposes, taking each tool from its connection's catalog. A tool
    /// that its connection does not offer (any more) is left out.
    ///
    /// # Errors
    /// When a tool is to be changed whose definition is not of the form that MCP prescribes.
    pub fn of<'a>(
        definition: &Definition,
        mut catalog: impl FnMut(&Name, &str) -> Option<CatalogDefinition<'a>>,
    ) -> Result<Self, ManifestError> {
        let mut tools = Vec::with_capacity(definition.tools.len());
        for (exposed, name) in definition.tools.iter().zip(definition.tool_names()) {
            if let Some(cataloged) = catalog(&exposed.connection, &exposed.tool) {
                let tool = ManifestTool::of(exposed, name, cataloged).map_err(|wrong| ManifestError {
                    connection: exposed.connection.clone(),
                    tool: exposed.tool.clone(),
                    wrong,
                })?;
                tools.push(Arc::new(tool));
            }
        }
        Ok(Self::of_tools(tools))
    }

    /// What is left for one session: only the tools that `shown` keeps.
    #[must_use]
    pub fn narrowed(&self, mut shown: impl FnMut(&ManifestTool) -> bool) -> Self {
        Self::of_tools(self.tools.iter().filter(|tool| shown(tool)).cloned().collect())
    }

    /// The tool that the agent calls by `name`.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Arc<ManifestTool>> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    fn of_tools(tools: Vec<Arc<ManifestTool>>) -> Self {
        let mut hash = Sha256::new();
        for tool in &tools {
            let bytes = tool.definition.get().as_bytes();
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        Self { tools, digest: hex::encode(hash.finalize()) }
    }
}

impl ManifestTool {
    fn of(exposed: &ExposedTool, name: String, cataloged: CatalogDefinition<'_>) -> Result<Self, String> {
        let fixed_arguments = exposed.fixed_arguments.clone().unwrap_or_default();
        let changed = name != exposed.tool || exposed.description.is_some() || !fixed_arguments.is_empty();
        let (definition, served_digest) = if changed {
            let name = (name != exposed.tool).then_some(name.as_str());
            let definition =
                edited(cataloged.definition, name, exposed.description.as_deref(), &fixed_arguments)?;
            let digest = hex::encode(Sha256::digest(definition.get().as_bytes()));
            (definition, digest)
        } else {
            (cataloged.definition.to_owned(), cataloged.digest.to_owned())
        };
        Ok(Self {
            name,
            connection: exposed.connection.clone(),
            tool: exposed.tool.clone(),
            header_params: header_params::of(&definition),
            upstream_header_params: header_params::of(cataloged.definition),
            definition,
            served_digest,
            definition_digest: cataloged.digest.to_owned(),
            read_only: cataloged.read_only,
            fixed_arguments,
        })
    }
}

/// The definition with another name and description, and without the fixed arguments.
///
/// Fixed arguments are removed from `inputSchema.properties` and `inputSchema.required`, at the
/// top level of the schema only: what `$defs`, `allOf` and the like say about them stays, because
/// a part that is shared or combined cannot be changed without changing what it means elsewhere.
fn edited(
    definition: &RawValue,
    name: Option<&str>,
    description: Option<&str>,
    fixed: &Map<String, Value>,
) -> Result<Box<RawValue>, String> {
    let mut tool = object(definition, "its definition")?;
    if let Some(name) = name {
        tool.set("name", raw(name));
    }
    if let Some(description) = description {
        tool.set("description", raw(description));
    }
    if !fixed.is_empty()
        && let Some(schema) = tool.get("inputSchema")
    {
        let schema = without_arguments(schema, fixed)?;
        tool.set("inputSchema", schema);
    }
    Ok(tool.to_raw())
}

fn without_arguments(schema: &RawValue, fixed: &Map<String, Value>) -> Result<Box<RawValue>, String> {
    let mut schema = object(schema, "its inputSchema")?;
    if let Some(properties) = schema.get("properties") {
        let mut properties = object(properties, "its inputSchema.properties")?;
        properties.retain(|property| !fixed.contains_key(property));
        schema.set("properties", properties.to_raw());
    }
    if let Some(required) = schema.get("required") {
        let mut required: Vec<String> = serde_json::from_str(required.get())
            .map_err(|_| "its inputSchema.required is not a list of names".to_owned())?;
        required.retain(|property| !fixed.contains_key(property));
        // Before draft 6, JSON Schema did not allow an empty list here.
        if required.is_empty() {
            schema.retain(|key| key != "required");
        } else {
            schema.set("required", raw(&required));
        }
    }
    Ok(schema.to_raw())
}

fn object(raw: &RawValue, what: &str) -> Result<RawObject, String> {
    RawObject::parse(raw).map_err(|err| match err {
        NotAnObject::OtherType => format!("{what} is not an object"),
        NotAnObject::DuplicateKey(key) => format!("{what} has the key {key:?} twice"),
    })
}

fn raw<T: serde::Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("text, and lists and maps of it, are always JSON")
}

#[cfg(test)]
mod tests;
