//! `tools/list`, the same in both eras but for what stands around it.
//!
//! **Invariants.** What is shown is on the record before it is shown. A cursor leads on only in the
//! list that it was cut from, and only in its session.

use std::fmt::Write as _;
use std::sync::Arc;

use proctor_domain::session::{Access, Client, Session};
use proctor_projections::manifest::Manifest;
use serde_json::value::RawValue;

use super::Knock;
use super::answer::{Fault, codes, push_text};
use super::members::text;
use super::repeats::Served;
use crate::actors::{AskError, now};
use crate::manifests::{ManifestsError, Shown};

/// Tools on one page.
const PAGE_TOOLS: usize = 100;

/// One page of the list.
pub(super) struct Page {
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

    /// What the virtual server shows.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Writes `"tools":[…]`, and `"nextCursor":…` where the list goes on.
    pub fn write(&self, json: &mut String) {
        let tools = &self.manifest().tools[self.start..self.end];
        json.reserve(tools.iter().map(|tool| tool.definition.get().len() + 1).sum::<usize>() + 64);
        json.push_str("\"tools\":[");
        for (index, tool) in tools.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(tool.definition.get());
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
pub(super) async fn page(knock: &Knock, cursor: Option<&RawValue>, client: Client) -> Result<Page, Fault> {
    let (proctor, caller) = (&knock.proctor, &knock.caller);
    caller.check_alive(proctor).await?;
    let shown = proctor.manifests.of(caller.server()).await.map_err(|error| unavailable(&error))?;
    let terms = &caller.terms;
    let narrow = terms.access != Access::Full || terms.tools.is_some();
    let manifest = narrow.then(|| shown.for_terms(terms));
    let mut page = Page { shown, manifest, start: 0, end: 0, cursor: None };
    let (digest, tools) = (page.manifest().digest.clone(), page.manifest().tools.len());
    if let Some(cursor) = cursor {
        let invalid =
            || Fault::new(codes::INVALID_PARAMS, "this cursor is not of this list: start again without one");
        let cursor = text(cursor).ok_or_else(invalid)?;
        let opened = proctor.vault.open_cursor(&cursor).map_err(|_| invalid())?;
        let begins = start_of(&opened, caller.session_id.as_str(), &digest).ok_or_else(invalid)?;
        page.start = begins.min(tools);
    }
    page.end = tools.min(page.start + PAGE_TOOLS);
    if page.end < tools {
        let plain = cursor_of(caller.session_id.as_str(), &digest, page.end);
        let sealed = proctor.vault.seal_cursor(plain.as_bytes());
        page.cursor = Some(sealed.map_err(|error| Fault::unavailable(error.to_string()))?);
    }
    if page.start == 0 {
        let version = page.shown.server.revision();
        let tools = u32::try_from(tools).unwrap_or(u32::MAX);
        record(knock, Served { manifest: digest, version, tools, client }).await?;
    }
    Ok(page)
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
    Fault::unavailable("the tools of this virtual server cannot be listed now: try again soon")
}

fn cursor_of(session: &str, digest: &str, start: usize) -> String {
    let mut cursor = String::with_capacity(session.len() + digest.len() + 16);
    let _infallible = write!(cursor, "tools\n{session}\n{digest}\n{start}");
    cursor
}

fn start_of(opened: &[u8], session: &str, digest: &str) -> Option<usize> {
    let mut parts = std::str::from_utf8(opened).ok()?.split('\n');
    let ours = parts.next()? == "tools" && parts.next()? == session && parts.next()? == digest;
    let start = parts.next()?.parse().ok()?;
    (ours && parts.next().is_none()).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_in_its_own_session_and_list_only() {
        let cursor = cursor_of("ses_1", "d1", 100);
        assert_eq!(start_of(cursor.as_bytes(), "ses_1", "d1"), Some(100));
        assert_eq!(start_of(cursor.as_bytes(), "ses_2", "d1"), None);
        assert_eq!(start_of(cursor.as_bytes(), "ses_1", "d2"), None);
        assert_eq!(start_of(b"calls\nses_1\nd1\n5", "ses_1", "d1"), None);
        assert_eq!(start_of(b"tools\nses_1\nd1\nx", "ses_1", "d1"), None);
    }
}
