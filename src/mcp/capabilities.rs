//! What a virtual server says that it can do: no more than what it exposes, and what stands behind that can.

use proctor_domain::connection::Abilities;

use super::Knock;
use super::answer::Fault;
use super::lists::unavailable;
use crate::manifests::Shown;

/// The capabilities, as JSON.
///
/// # Errors
/// When what is shown cannot be found out now.
pub(super) async fn of(knock: &Knock) -> Result<String, Fault> {
    let shown = knock.proctor.manifests.of(knock.caller.server()).await;
    let shown = shown.map_err(|error| unavailable(&error))?;
    Ok(declared(&shown))
}

fn declared(shown: &Shown) -> String {
    let definition = shown.server.definition();
    let (prompts, resources) = (!definition.prompts.is_empty(), !shown.server.resources().is_empty());
    let mut json = String::from("{\"tools\":{\"listChanged\":true}");
    if prompts {
        json.push_str(",\"prompts\":{\"listChanged\":true}");
    }
    if resources {
        json.push_str(",\"resources\":{\"listChanged\":true}");
    }
    let any = |can: fn(&Abilities) -> bool| {
        let catalogs = shown.connections.values().filter_map(|connection| connection.catalog());
        catalogs.into_iter().any(|catalog| can(&catalog.abilities))
    };
    if (prompts || !definition.resource_templates.is_empty()) && any(|abilities| abilities.completions) {
        json.push_str(",\"completions\":{}");
    }
    if any(|abilities| abilities.logging) {
        json.push_str(",\"logging\":{}");
    }
    json.push('}');
    json
}
