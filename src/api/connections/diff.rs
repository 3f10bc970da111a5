//! `GET /connections/{name}/diff`: in what the upstream differs from what is in force, as it was last
//! seen, with what is suspicious in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::{Connection, Drift, Feature, HeldBecause, Offered, Pinned};
use proctor_domain::virtual_server::VirtualServer;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::answer;
use super::super::openapi::words;
use super::super::problem::Problem;
use crate::difference::{Change, Code, Neighbour, Warning, compare, warnings};
use crate::proctor::Proctor;

/// Tools of one connection that are compared.
const COMPARED_MAX: usize = 200;
/// For so long texts are compared word by word.
const COMPARED_FOR: Duration = Duration::from_secs(2);

/// The difference of a connection.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogDifference)]
pub(super) struct Difference {
    #[schema(value_type = words::Name)]
    connection: Name,
    #[schema(value_type = words::Drift)]
    drift: Drift,
    /// The digest of the catalog in force; none where none was ever read.
    in_force: Option<String>,
    /// The digest of what is offered, which an approval names.
    offered: String,
    tools: Vec<Tool>,
}

/// One tool, prompt or resource template that is held or gone.
#[derive(Serialize, ToSchema)]
#[schema(as = ToolDifference)]
struct Tool {
    /// A tool's name; `prompt:` and a prompt's name; `resource_template:` and the template.
    #[schema(value_type = String)]
    tool: Feature,
    #[schema(value_type = words::ToolState)]
    state: &'static str,
    /// The digest of the definition in force; none where the tool is new.
    from: Option<String>,
    /// The digest of what is offered; none where the tool is gone.
    to: Option<String>,
    /// Whether it was compared: where very many differ, only the first of them are.
    compared: bool,
    changes: Vec<Change>,
    warnings: Vec<Hint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    definition_in_force: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    definition_offered: Option<Arc<RawValue>>,
}

/// A warning, and whether the definition in force gives it no cause.
#[derive(Serialize, ToSchema)]
#[schema(as = ToolHint)]
struct Hint {
    code: Code,
    /// Where: a JSON pointer (RFC 6901).
    path: String,
    /// What was found, as it may be shown.
    found: String,
    /// What it may mean.
    message: String,
    is_new: bool,
}

pub(in crate::api) async fn diff(
    proctor: web::Data<Proctor>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let shown = shown(&proctor, &name).await?;
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}

/// The difference as it is now.
pub(super) async fn shown(proctor: &Proctor, name: &Name) -> Result<Difference, Problem> {
    let state = super::fresh(proctor, name).await?;
    let mut definitions = Vec::new();
    if let Some(offered) = state.offered() {
        let mut names: Vec<_> = offered.names().collect();
        names.sort();
        for tool in names {
            definitions.push(Definitions::of(proctor, &state, offered, tool).await?);
        }
    }
    let neighbours = Neighbours::of(proctor, name, &state).await?;
    // What an upstream sends may be long to compare, and nobody else shall wait for that.
    let until = Instant::now() + COMPARED_FOR;
    let compared = web::block(move || {
        let tools = definitions.into_iter().enumerate();
        tools.map(|(index, tool)| tool.compared(&neighbours, index < COMPARED_MAX, until)).collect()
    });
    Ok(Difference {
        connection: name.clone(),
        drift: state.settings().map(|settings| settings.drift).unwrap_or_default(),
        in_force: state.catalog().map(|catalog| catalog.digest.clone()),
        offered: state.offered_digest(),
        tools: compared.await.map_err(|error| Problem::internal("compare definitions", &error))?,
    })
}

/// One tool's definitions.
struct Definitions {
    tool: Feature,
    because: Option<HeldBecause>,
    from: Option<(String, Arc<RawValue>)>,
    to: Option<(String, Arc<RawValue>)>,
}

impl Definitions {
    async fn of(
        proctor: &Proctor,
        state: &Connection,
        offered: &Offered,
        tool: &Feature,
    ) -> Result<Self, Problem> {
        let read = async |pinned: Option<&Pinned>| -> Result<_, Problem> {
            let Some(Pinned { digest, .. }) = pinned else { return Ok(None) };
            Ok(Some((digest.clone(), proctor.manifests.definition(digest).await?)))
        };
        let held = offered.held(tool);
        Ok(Self {
            tool: tool.clone(),
            because: held.map(|(because, _)| because),
            from: read(state.catalog().and_then(|catalog| catalog.features.get(tool))).await?,
            to: read(held.map(|(_, offered)| offered)).await?,
        })
    }

    fn compared(self, neighbours: &Neighbours, in_full: bool, until: Instant) -> Tool {
        let Self { tool, because, from, to } = self;
        let (mut changes, mut hints) = (Vec::new(), Vec::new());
        if let Some((_, to)) = to.as_ref().filter(|_| in_full) {
            let beside = neighbours.beside(&tool);
            let (old, new) = (from.as_ref().map(|(_, raw)| parsed(raw)), parsed(to));
            let known = old.as_ref().map(|old| warnings(old, &beside)).unwrap_or_default();
            let hint = |warning: Warning| {
                let is_new = !known.contains(&warning);
                let Warning { code, path, found, message } = warning;
                Hint { code, path, found, message, is_new }
            };
            hints = warnings(&new, &beside).into_iter().map(hint).collect();
            changes = compare(&old.unwrap_or_else(empty), &new, until);
        }
        let (from, definition_in_force) = from.unzip();
        let (to, definition_offered) = to.unzip();
        Tool {
            state: because.map_or("gone", HeldBecause::code),
            compared: in_full,
            tool,
            from,
            to,
            changes,
            warnings: hints,
            definition_in_force,
            definition_offered,
        }
    }
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| empty())
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The tools that agents see beside those of a connection, and its own.
struct Neighbours {
    connection: Name,
    /// Names, each with the tool that it names and where that is, in words.
    names: BTreeMap<(Name, String, String), Neighbour>,
}

impl Neighbours {
    async fn of(proctor: &Proctor, name: &Name, state: &Connection) -> Result<Self, Problem> {
        let mut names = BTreeMap::new();
        let in_force = state.catalog().into_iter().flat_map(|catalog| catalog.features.keys());
        let offered = state.offered().into_iter().flat_map(|offered| offered.names());
        for feature in in_force.chain(offered) {
            if let Feature::Tool(tool) = feature {
                let neighbour = Neighbour::new(tool.clone(), "of the same connection".to_owned());
                names.insert((name.clone(), tool.clone(), tool.clone()), neighbour);
            }
        }
        for id in proctor.journal.reader().stream_ids("virtual_server").await? {
            let server = proctor.directory.state::<VirtualServer>(&id).await?;
            let tools = &server.definition().tools;
            if !server.is_usable() || !tools.iter().any(|exposed| exposed.connection == *name) {
                continue;
            }
            for (exposed, shown) in tools.iter().zip(server.definition().tool_names()) {
                for known in [shown, exposed.tool.clone()] {
                    let place =
                        || format!("of connection \"{}\" on virtual server \"{id}\"", exposed.connection);
                    let key = (exposed.connection.clone(), exposed.tool.clone(), known.clone());
                    names.entry(key).or_insert_with(|| Neighbour::new(known, place()));
                }
            }
        }
        Ok(Self { connection: name.clone(), names })
    }

    /// All tools but the one itself.
    fn beside(&self, feature: &Feature) -> Vec<&Neighbour> {
        let is_other = |connection: &Name, of: &String| {
            *connection != self.connection || !matches!(feature, Feature::Tool(tool) if tool == of)
        };
        let others = self.names.iter().filter(|((connection, of, _), _)| is_other(connection, of));
        others.map(|(_, neighbour)| neighbour).collect()
    }
}
