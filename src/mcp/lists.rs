//! The lists that are answered from what is pinned (`tools/list`, `prompts/list`,
//! `resources/templates/list`), the same in both eras but for what stands around them.
//!
//! **Invariants.** What is shown is on the record before it is shown. A cursor leads on only in the
//! list that it was cut from, and only in its session.

use std::fmt::Write as _;
use std::sync::Arc;

use proctor_domain::session::{Access, Client, List, Session};
use proctor_projections::manifest::Manifest;
use serde_json::value::RawValue;

use super::Knock;
use super::answer::{Fault, codes, push_text};
use super::members::text;
use super::repeats::Served;
use crate::actors::{AskError, now};
use crate::manifests::{ManifestsError, Shown};

/// Definitions on one page.
const PAGE_MAX: usize = 100;

/// The list that a method asks for, where the virtual server has anything of that kind; tools are always
/// asked for.
///
/// # Errors
/// When that cannot be found out.
pub(super) async fn named(method: &str, knock: &Knock) -> Result<Option<List>, Fault> {
    let list = match method {
        "tools/list" => return Ok(Some(List::Tools)),
        "prompts/list" => List::Prompts,
        "resources/templates/list" => List::ResourceTemplates,
        _ => return Ok(None),
    };
    let server = knock.caller.check_alive(&knock.proctor).await?;
    let is_shown = match list {
        List::Tools => true,
        List::Prompts => !server.definition().prompts.is_empty(),
        List::ResourceTemplates => !server.resources().is_empty(),
    };
    Ok(is_shown.then_some(list))
}

/// One page of a list.
pub(super) struct Page {
    list: List,
    shown: Arc<Shown>,
    manifest: Option<Manifest>,
    start: usize,
    end: usize,
    cursor: Option<String>,
}

impl Page {
    fn manifest(&self) -> &Manifest {
        self.manifest.as_ref().unwrap_or(&self.shown.manifest)
    }

    fn digest(&self) -> &str {
        match self.list {
            List::Tools => &self.manifest().digest,
            List::Prompts => &self.manifest().prompts.digest,
            List::ResourceTemplates => &self.manifest().resource_templates.digest,
        }
    }

    fn definitions(&self) -> Vec<&RawValue> {
        let manifest = self.manifest();
        let entries = match self.list {
            List::Tools => return manifest.tools.iter().map(|tool| &*tool.definition).collect(),
            List::Prompts => &manifest.prompts.entries,
            List::ResourceTemplates => &manifest.resource_templates.entries,
        };
        entries.iter().map(|entry| &*entry.definition).collect()
    }

    /// What the virtual server shows.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Writes `"tools":[…]`, or what else the list is of, and `"nextCursor":…` where it goes on.
    pub fn write(&self, json: &mut String) {
        let definitions = self.definitions();
        let definitions = &definitions[self.start..self.end];
        json.reserve(definitions.iter().map(|raw| raw.get().len() + 1).sum::<usize>() + 64);
        json.push_str(match self.list {
            List::Tools => "\"tools\":[",
            List::Prompts => "\"prompts\":[",
            List::ResourceTemplates => "\"resourceTemplates\":[",
        });
        for (index, definition) in definitions.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(definition.get());
        }
        json.push(']');
        if let Some(cursor) = &self.cursor {
            json.push_str(",\"nextCursor\":");
            push_text(json, cursor);
        }
    }
}

/// Cuts the page out that `cursor` asks for, and writes down that the list was served.
///
/// # Errors
/// When the session has ended, the cursor is not of this list, or the list cannot be had.
pub(super) async fn page(
    knock: &Knock,
    list: List,
    cursor: Option<&RawValue>,
    client: Client,
) -> Result<Page, Fault> {
    let (proctor, caller) = (&knock.proctor, &knock.caller);
    caller.check_alive(proctor).await?;
    let shown = proctor.manifests.of(caller.server()).await.map_err(|error| unavailable(&error))?;
    let terms = &caller.terms;
    let narrow = list == List::Tools && (terms.access != Access::Full || terms.tools.is_some());
    let manifest = narrow.then(|| shown.for_terms(terms));
    let mut page = Page { list, shown, manifest, start: 0, end: 0, cursor: None };
    let (digest, count) = (page.digest().to_owned(), page.definitions().len());
    if let Some(cursor) = cursor {
        let cursor = text(cursor).ok_or_else(invalid_cursor)?;
        let opened = proctor.vault.open_cursor(&cursor).map_err(|_| invalid_cursor())?;
        let session = caller.session_id.as_str();
        page.start = start_of(&opened, list, session, &digest).ok_or_else(invalid_cursor)?.min(count);
    }
    page.end = count.min(page.start + PAGE_MAX);
    if page.end < count {
        let plain = cursor_of(list, caller.session_id.as_str(), &digest, page.end);
        let sealed = proctor.vault.seal_cursor(plain.as_bytes());
        page.cursor = Some(sealed.map_err(|error| Fault::unavailable(error.to_string()))?);
    }
    if page.start == 0 {
        let version = page.shown.server.revision();
        let tools = u32::try_from(count).unwrap_or(u32::MAX);
        record(knock, Served { list, manifest: digest, version, tools, client }).await?;
    }
    Ok(page)
}

/// The answer to a cursor that leads nowhere.
pub(super) fn invalid_cursor() -> Fault {
    Fault::new(codes::INVALID_PARAMS, "this cursor is not of this list: start again without one")
}

async fn record(knock: &Knock, served: Served) -> Result<(), Fault> {
    let (proctor, session) = (&knock.proctor, &knock.caller.session_id);
    match proctor.directory.tell::<Session>(session.as_str(), served.command(now(), 1)).await {
        Ok(events) if events.is_empty() => {
            proctor.door.repeats.served(&proctor.directory, session.clone(), served).await;
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error @ (AskError::Append(_) | AskError::Unavailable(_) | AskError::Stale(_))) => {
            Err(Fault::unavailable(error.to_string()))
        }
        Err(AskError::Nonsense(error)) => Err(Fault::new(codes::INTERNAL, error.to_string())),
    }
}

/// The virtual server cannot be shown now.
pub(super) fn unavailable(error: &ManifestsError) -> Fault {
    // It names connections and tools that this agent may not know of: those are for the log.
    tracing::error!(%error, "failed to compute what a virtual server shows");
    Fault::unavailable("what this virtual server shows cannot be listed now: try again soon")
}

fn cursor_of(list: List, session: &str, digest: &str, start: usize) -> String {
    let mut cursor = String::with_capacity(session.len() + digest.len() + 40);
    let _infallible = write!(cursor, "{}\n{session}\n{digest}\n{start}", list.code());
    cursor
}

fn start_of(opened: &[u8], list: List, session: &str, digest: &str) -> Option<usize> {
    let mut parts = std::str::from_utf8(opened).ok()?.split('\n');
    let ours = parts.next()? == list.code() && parts.next()? == session && parts.next()? == digest;
    let start = parts.next()?.parse().ok()?;
    (ours && parts.next().is_none()).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_in_its_own_session_and_list_only() {
        let cursor = cursor_of(List::Tools, "ses_1", "d1", 100);
        let start = |list, session, digest| start_of(cursor.as_bytes(), list, session, digest);
        assert_eq!(start(List::Tools, "ses_1", "d1"), Some(100));
        assert_eq!(start(List::Prompts, "ses_1", "d1"), None);
        assert_eq!(start(List::Tools, "ses_2", "d1"), None);
        assert_eq!(start(List::Tools, "ses_1", "d2"), None);
        assert_eq!(start_of(b"calls\nses_1\nd1\n5", List::Tools, "ses_1", "d1"), None);
        assert_eq!(start_of(b"tools\nses_1\nd1\nx", List::Tools, "ses_1", "d1"), None);
    }
}
