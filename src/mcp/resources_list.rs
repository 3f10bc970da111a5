//! `resources/list`: which of the exposed resources there are, asked of each connection in turn with the
//! user's own credential, since that may be a matter of each user.
//!
//! **Invariants.** Each question to an upstream is a call on the record. What is not exposed is not shown.
//! A cursor leads on only in the session and at the version of the virtual server that it was cut at.

use std::sync::Arc;

use actix_web::http::StatusCode;
use proctor_domain::Name;
use proctor_domain::virtual_server::{Resources, VirtualServer};
use serde_json::value::RawValue;

use super::Knock;
use super::answer::{Fault, push_text};
use super::envelope::Request;
use super::lists::invalid_cursor;
use super::members::{members, span_in, text};
use super::tool_call::{self, Speaker};

/// Questions that one request makes, at most; a page may hold nothing that is exposed.
const QUESTIONS_MAX: usize = 32;
/// Resources of one page of an upstream, at most.
const RESOURCES_MAX: usize = 10_000;

/// One page of the list.
pub(super) struct Page {
    /// What the virtual server is.
    pub server: Arc<VirtualServer>,
    resources: Vec<String>,
    cursor: Option<String>,
}

impl Page {
    /// Writes `"resources":[…]`, and `"nextCursor":…` where the list goes on.
    pub fn write(&self, json: &mut String) {
        json.push_str("\"resources\":[");
        json.push_str(&self.resources.join(","));
        json.push(']');
        if let Some(cursor) = &self.cursor {
            json.push_str(",\"nextCursor\":");
            push_text(json, cursor);
        }
    }
}

/// Where the list goes on: at which connection, and at which cursor of its own.
#[derive(Default)]
struct Place {
    connection: usize,
    cursor: Option<String>,
}

/// Whether the virtual server has any resources to list.
///
/// # Errors
/// When the session has ended.
pub(super) async fn is_shown(knock: &Knock) -> Result<bool, Fault> {
    let server = knock.caller.check_alive(&knock.proctor).await?;
    Ok(!server.resources().is_empty())
}

/// Asks for the page that the request is for.
///
/// # Errors
/// When the session has ended, the cursor is not of this list, or the one upstream that there is cannot be
/// asked. Of several, one that cannot be asked is left out; the record says why.
pub(super) async fn page(knock: &Knock, request: &Request<'_>, speaker: &Speaker<'_>) -> Result<Page, Fault> {
    let (proctor, caller) = (&knock.proctor, &knock.caller);
    let server = caller.check_alive(proctor).await?;
    let connections: Vec<Name> = server.resources().connections().into_iter().cloned().collect();
    let mut place = match request.params.cursor {
        None => Place::default(),
        Some(cursor) => opened(knock, cursor, server.revision())?,
    };
    let mut resources = Vec::new();
    for _ in 0..QUESTIONS_MAX {
        let Some(connection) = connections.get(place.connection).filter(|_| resources.is_empty()) else {
            break;
        };
        let asked = tool_call::resources(knock, request, speaker, connection, place.cursor.take()).await;
        let next = match asked.and_then(|result| taken(&result, server.resources(), connection)) {
            Ok((found, next)) => {
                resources = found;
                next
            }
            // The session is over, or nothing can be recorded now.
            Err(fault) if fault.status != StatusCode::OK || connections.len() == 1 => return Err(fault),
            Err(fault) => {
                tracing::debug!(%connection, message = %fault.message, "a connection's resources are left out");
                None
            }
        };
        match next {
            Some(cursor) => place.cursor = Some(cursor),
            None => place = Place { connection: place.connection + 1, cursor: None },
        }
    }
    let goes_on = place.connection < connections.len();
    let cursor = goes_on.then(|| sealed(knock, &place, server.revision())).transpose()?;
    Ok(Page { server, resources, cursor })
}

/// The exposed ones of an upstream's page, as agents name them, and its cursor.
fn taken(
    result: &RawValue,
    exposed: &Resources,
    connection: &Name,
) -> Result<(Vec<String>, Option<String>), Fault> {
    let odd = || {
        let message = "the upstream server answered with a list that cannot be read";
        Fault::new(super::answer::codes::INTERNAL, message).with_code("protocol", None)
    };
    let (mut listed, mut cursor) = (None, None);
    members(result.get(), |key, value| match key {
        "resources" => listed = Some(value),
        "nextCursor" => cursor = text(value).map(std::borrow::Cow::into_owned),
        _ => {}
    })
    .map_err(|_| odd())?;
    let listed: Vec<&RawValue> =
        listed.and_then(|listed| serde_json::from_str(listed.get()).ok()).ok_or_else(odd)?;
    let mut found = Vec::new();
    for resource in listed.into_iter().take(RESOURCES_MAX) {
        let whole = resource.get();
        let mut named = None;
        let read = members(whole, |key, value| {
            if key == "uri" {
                named = text(value).map(|uri| (span_in(whole, value), uri));
            }
        });
        let Some((span, uri)) = named.filter(|_| read.is_ok()) else { continue };
        if !exposed.covers(connection, &uri) {
            continue;
        }
        let shown = exposed.shown_uri(connection, &uri);
        if shown == uri {
            found.push(whole.to_owned());
        } else {
            let mut json = whole[..span.start].to_owned();
            push_text(&mut json, &shown);
            json.push_str(&whole[span.end..]);
            found.push(json);
        }
    }
    Ok((found, cursor))
}

fn sealed(knock: &Knock, place: &Place, version: u32) -> Result<String, Fault> {
    let session = knock.caller.session_id.as_str();
    // The upstream's own cursor comes last: it may hold anything.
    let cursor = place.cursor.as_deref().map_or(String::new(), |cursor| format!("\n{cursor}"));
    let plain = format!("resources\n{session}\n{version}\n{}{cursor}", place.connection);
    let sealed = knock.proctor.vault.seal_cursor(plain.as_bytes());
    sealed.map_err(|error| Fault::unavailable(error.to_string()))
}

fn opened(knock: &Knock, cursor: &RawValue, version: u32) -> Result<Place, Fault> {
    let cursor = text(cursor).ok_or_else(invalid_cursor)?;
    let plain = knock.proctor.vault.open_cursor(&cursor).map_err(|_| invalid_cursor())?;
    place_of(&plain, knock.caller.session_id.as_str(), version).ok_or_else(invalid_cursor)
}

fn place_of(plain: &[u8], session: &str, version: u32) -> Option<Place> {
    let mut parts = std::str::from_utf8(plain).ok()?.splitn(5, '\n');
    let ours = parts.next()? == "resources" && parts.next()? == session;
    let same = parts.next()?.parse::<u32>().ok()? == version;
    let connection = parts.next()?.parse().ok()?;
    (ours && same).then(|| Place { connection, cursor: parts.next().map(str::to_owned) })
}
