//! What a virtual server's lists answer: the definitions of tools, prompts and resource templates as its
//! agents see them.
//!
//! **Invariants.** A definition that the administrator did not change is served byte for byte as
//! the upstream gave it. In one that was changed, everything else keeps its bytes and its place,
//! known to this version or not. The order is the administrator's.

mod arguments;
mod header_params;
mod raw_object;

use std::sync::Arc;

use proctor_domain::Name;
use proctor_domain::connection::Feature;
use proctor_domain::virtual_server::{Definition, ExposedPrompt, ExposedTool, Resources};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use arguments::{ArgumentsError, merge_arguments};
pub use header_params::HeaderParam;
use raw_object::{NotAnObject, RawObject};

/// A tool, a prompt or a resource template as its connection's catalog has it.
#[derive(Debug, Clone, Copy)]
pub struct CatalogDefinition<'a> {
    /// The definition, exactly as the upstream gave it.
    pub definition: &'a RawValue,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: &'a str,
    /// Whether it changes nothing, as far as the upstream says.
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

/// A prompt or a resource template as agents see it.
#[derive(Debug, Clone)]
pub struct ManifestEntry {
    /// Its name for the agent: a prompt's name, or a template.
    pub name: String,
    /// The connection that offers it.
    pub connection: Name,
    /// What it is there.
    pub feature: Feature,
    /// What its list says of it.
    pub definition: Box<RawValue>,
    /// SHA-256 of the upstream's definition, in hexadecimal: the one that the catalog pins.
    pub definition_digest: String,
}

/// A list of them.
#[derive(Debug, Clone)]
pub struct ManifestList {
    /// In the administrator's order.
    pub entries: Vec<ManifestEntry>,
    /// SHA-256 over the served definitions; see [`digest_of`].
    pub digest: String,
}

/// What a virtual server shows, in the administrator's order.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The tools.
    pub tools: Vec<Arc<ManifestTool>>,
    /// The prompts.
    pub prompts: Arc<ManifestList>,
    /// The resource templates.
    pub resource_templates: Arc<ManifestList>,
    /// SHA-256 over the served definitions of tools; see [`digest_of`].
    pub digest: String,
}

/// A catalog's definition that cannot be changed as the administrator wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to list the {} {:?} of connection \"{connection}\": {wrong}: expose it without another \
     name, description or fixed arguments, or have its server corrected and refresh the catalog",
    .feature.kind(), .feature.name()
)]
pub struct ManifestError {
    /// The connection that offers it.
    pub connection: Name,
    /// What it is there.
    pub feature: Feature,
    /// What is wrong with its definition.
    pub wrong: String,
}

impl Manifest {
    /// Lists what `definition` exposes, taking each definition from its connection's catalog. What its
    /// connection does not offer (any more) is left out.
    ///
    /// # Errors
    /// When something is to be changed whose definition is not of the form that MCP prescribes.
    pub fn of<'a>(
        definition: &Definition,
        mut catalog: impl FnMut(&Name, &Feature) -> Option<CatalogDefinition<'a>>,
    ) -> Result<Self, ManifestError> {
        let mut tools = Vec::with_capacity(definition.tools.len());
        for (exposed, name) in definition.tools.iter().zip(definition.tool_names()) {
            let feature = Feature::Tool(exposed.tool.clone());
            if let Some(cataloged) = catalog(&exposed.connection, &feature) {
                let tool = ManifestTool::of(exposed, name, cataloged).map_err(|wrong| ManifestError {
                    connection: exposed.connection.clone(),
                    feature,
                    wrong,
                })?;
                tools.push(Arc::new(tool));
            }
        }
        let mut prompts = Vec::with_capacity(definition.prompts.len());
        for (ExposedPrompt { connection, prompt, description, .. }, name) in
            definition.prompts.iter().zip(definition.prompt_names())
        {
            let feature = Feature::Prompt(prompt.clone());
            if let Some(cataloged) = catalog(connection, &feature) {
                let another = (name != *prompt).then_some(("name", name.as_str()));
                let another = [another, description.as_deref().map(|text| ("description", text))];
                prompts.push(ManifestEntry::of(connection, feature, name.clone(), cataloged, another)?);
            }
        }
        let resources = Resources::of(definition);
        let mut templates = Vec::with_capacity(definition.resource_templates.len());
        for exposed in &definition.resource_templates {
            let feature = Feature::ResourceTemplate(exposed.uri_template.clone());
            if let Some(cataloged) = catalog(&exposed.connection, &feature) {
                let name = resources.shown_template(&exposed.connection, &exposed.uri_template).into_owned();
                let another = (name != exposed.uri_template).then_some(("uriTemplate", name.as_str()));
                let connection = &exposed.connection;
                let entry = ManifestEntry::of(connection, feature, name.clone(), cataloged, [another, None])?;
                templates.push(entry);
            }
        }
        Ok(Self {
            digest: digest_of(tools.iter().map(|tool| &*tool.definition)),
            tools,
            prompts: ManifestList::of(prompts),
            resource_templates: ManifestList::of(templates),
        })
    }

    /// What is left for one session: of the tools only those that `shown` keeps.
    #[must_use]
    pub fn narrowed(&self, mut shown: impl FnMut(&ManifestTool) -> bool) -> Self {
        let tools: Vec<_> = self.tools.iter().filter(|tool| shown(tool)).cloned().collect();
        Self { digest: digest_of(tools.iter().map(|tool| &*tool.definition)), tools, ..self.clone() }
    }

    /// The tool that the agent calls by `name`.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Arc<ManifestTool>> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// SHA-256 over definitions in order, each with its length in bytes in front (64 bits, big-endian), in
/// hexadecimal.
#[must_use]
pub fn digest_of<'d>(definitions: impl IntoIterator<Item = &'d RawValue>) -> String {
    let mut hash = Sha256::new();
    for definition in definitions {
        let bytes = definition.get().as_bytes();
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hex::encode(hash.finalize())
}

impl ManifestList {
    fn of(entries: Vec<ManifestEntry>) -> Arc<Self> {
        let digest = digest_of(entries.iter().map(|entry| &*entry.definition));
        Arc::new(Self { entries, digest })
    }
}

impl ManifestEntry {
    fn of(
        connection: &Name,
        feature: Feature,
        name: String,
        cataloged: CatalogDefinition<'_>,
        another: [Option<(&str, &str)>; 2],
    ) -> Result<Self, ManifestError> {
        let definition = match another.iter().any(Option::is_some) {
            false => cataloged.definition.to_owned(),
            true => {
                let mut edited = object(cataloged.definition, "its definition").map_err(|wrong| {
                    ManifestError { connection: connection.clone(), feature: feature.clone(), wrong }
                })?;
                another.into_iter().flatten().for_each(|(key, text)| edited.set(key, raw(text)));
                edited.to_raw()
            }
        };
        let definition_digest = cataloged.digest.to_owned();
        Ok(Self { name, connection: connection.clone(), feature, definition, definition_digest })
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
