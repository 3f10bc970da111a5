//! `GET /connections/{name}/diff`: in what the upstream differs from what is in force, as it was last
//! seen, with what is suspicious in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::{Connection, Drift, HeldBecause, Offered};
use proctor_domain::virtual_server::VirtualServer;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::answer;
use super::super::problem::Problem;
use crate::difference::{Change, Neighbour, Warning, compare, warnings};
use crate::proctor::Proctor;

/// The difference of a connection.
#[derive(Serialize)]
pub(super) struct Difference {
    connection: Name,
    drift: Drift,
    /// The digest of the catalog in force; none where none was ever read.
    in_force: Option<String>,
    /// The digest of what is offered, which an approval names.
    offered: String,
    tools: Vec<Tool>,
}

/// One tool that is held or gone.
#[derive(Serialize)]
struct Tool {
    tool: String,
    state: &'static str,
    from: Option<String>,
    to: Option<String>,
    changes: Vec<Change>,
    warnings: Vec<Hint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition_in_force: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition_offered: Option<Arc<RawValue>>,
}

/// A warning, and whether the definition in force gives it no cause.
#[derive(Serialize)]
struct Hint {
    #[serde(flatten)]
    warning: Warning,
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
    let mut tools = Vec::new();
    if let Some(offered) = state.offered() {
        let neighbours = Neighbours::of(proctor, name, &state, offered).await?;
        for tool in offered.names() {
            tools.push(of_tool(proctor, &state, offered, tool, &neighbours).await?);
        }
        tools.sort_by(|one, other| one.tool.cmp(&other.tool));
    }
    Ok(Difference {
        connection: name.clone(),
        drift: state.settings().map(|settings| settings.drift).unwrap_or_default(),
        in_force: state.catalog().map(|catalog| catalog.digest.clone()),
        offered: state.offered_digest(),
        tools,
    })
}

async fn of_tool(
    proctor: &Proctor,
    state: &Connection,
    offered: &Offered,
    tool: &str,
    neighbours: &Neighbours,
) -> Result<Tool, Problem> {
    let from = state.catalog().and_then(|catalog| catalog.tools.get(tool)).map(|known| known.digest.clone());
    let held = offered.held(tool);
    let before = match &from {
        Some(digest) => Some(proctor.manifests.definition(digest).await?),
        None => None,
    };
    let after = match held {
        Some((_, offered)) => Some(proctor.manifests.definition(&offered.digest).await?),
        None => None,
    };
    let parsed = |raw: &Option<Arc<RawValue>>| -> Value {
        let empty = || Value::Object(serde_json::Map::new());
        raw.as_ref().map_or_else(empty, |raw| serde_json::from_str(raw.get()).unwrap_or_else(|_| empty()))
    };
    let (old, new) = (parsed(&before), parsed(&after));
    let beside = neighbours.beside(tool);
    let (changes, hints) = match held {
        Some(_) => {
            let known = if from.is_some() { warnings(&old, &beside) } else { Vec::new() };
            let hint = |warning: Warning| Hint { is_new: !known.contains(&warning), warning };
            (compare(&old, &new), warnings(&new, &beside).into_iter().map(hint).collect())
        }
        None => (Vec::new(), Vec::new()),
    };
    Ok(Tool {
        tool: tool.to_owned(),
        state: held.map_or("gone", |(because, _)| HeldBecause::code(because)),
        from,
        to: held.map(|(_, offered)| offered.digest.clone()),
        changes,
        warnings: hints,
        definition_in_force: before,
        definition_offered: after,
    })
}

/// The tools that agents see beside those of a connection, and its own.
struct Neighbours {
    connection: Name,
    /// Names, each with the tool that it names and where that is, in words.
    names: BTreeMap<(Name, String, String), String>,
}

impl Neighbours {
    async fn of(
        proctor: &Proctor,
        name: &Name,
        state: &Connection,
        offered: &Offered,
    ) -> Result<Self, Problem> {
        let mut names = BTreeMap::new();
        let own = state.catalog().into_iter().flat_map(|catalog| catalog.tools.keys()).chain(offered.names());
        for tool in own {
            let place = "of the same connection".to_owned();
            names.insert((name.clone(), tool.clone(), tool.clone()), place);
        }
        for id in proctor.journal.reader().stream_ids("virtual_server").await? {
            let server = proctor.directory.state::<VirtualServer>(&id).await?;
            let tools = &server.definition().tools;
            if !server.is_usable() || !tools.iter().any(|exposed| exposed.connection == *name) {
                continue;
            }
            for (exposed, shown) in tools.iter().zip(server.definition().tool_names()) {
                let place = format!("of connection \"{}\" on virtual server \"{id}\"", exposed.connection);
                for known in [shown, exposed.tool.clone()] {
                    let key = (exposed.connection.clone(), exposed.tool.clone(), known);
                    names.entry(key).or_insert_with(|| place.clone());
                }
            }
        }
        Ok(Self { connection: name.clone(), names })
    }

    /// All but the tool itself.
    fn beside(&self, tool: &str) -> Vec<Neighbour<'_>> {
        let others =
            self.names.iter().filter(|((connection, of, _), _)| *connection != self.connection || of != tool);
        others.map(|((_, _, name), place)| Neighbour { name, place }).collect()
    }
}
