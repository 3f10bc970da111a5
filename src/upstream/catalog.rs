//! The tools that an upstream offers, each definition kept as the bytes that were sent.
//!
//! **Invariants.** A definition's digest is over exactly the bytes that are kept. No two tools of a
//! catalog have the same name. Pages, tools and bytes are bounded.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    FailureKind, Limits,
    envelope::Answer,
    failure::{Failure, Shown},
    headers::{HeaderParam, header_params},
};

/// Pages of one list; a server that never ends is stopped here.
const PAGES_MAX: usize = 200;
/// MCP recommends names of up to 128 characters; longer ones are refused beyond this.
const NAME_BYTES_MAX: usize = 512;

/// One tool, as its upstream defines it.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The whole definition, exactly as sent.
    pub definition: Box<RawValue>,
    /// SHA-256 of the definition's bytes, in lower-case hexadecimal.
    pub digest: String,
    /// Whether it says of itself that it only reads (`annotations.readOnlyHint`). A hint by an
    /// untrusted party: it may narrow what a session sees, never widen it.
    pub read_only: bool,
    /// The arguments that it wants in headers.
    pub header_params: Vec<HeaderParam>,
}

/// A tool that cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedTool {
    /// Its name.
    pub name: String,
    /// The rule that its definition breaks.
    pub reason: String,
}

/// All tools of an upstream, in its order.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The tools.
    pub tools: Vec<Tool>,
    /// What the specification has clients leave out.
    pub rejected: Vec<RejectedTool>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(rename = "nextCursor", default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Definition<'a> {
    name: String,
    #[serde(rename = "inputSchema", borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "readOnlyHint")]
    read_only: bool,
}

/// Whatever is not plainly `true` is not read-only; odd annotations are no reason to do without
/// the tool.
fn is_read_only(annotations: Option<&RawValue>) -> bool {
    annotations
        .and_then(|raw| serde_json::from_str::<Annotations>(raw.get()).ok())
        .is_some_and(|annotations| annotations.read_only)
}

/// Asks `page` for one page after the other; it is given the cursor.
pub(super) async fn discover<F>(
    limits: &Limits,
    mut page: impl FnMut(Option<String>) -> F,
) -> Result<Catalog, Failure>
where
    F: Future<Output = Result<Answer, Failure>>,
{
    let mut reading = Reading { limits, catalog: Catalog::default(), names: HashSet::new(), bytes: 0 };
    let mut cursor = None;
    let mut cursors = HashSet::new();
    for _ in 0..PAGES_MAX {
        let next = match page(cursor).await? {
            Answer::Result(result) => reading.take(&result)?,
            // A server without tools need not know the method.
            Answer::Error(err) if err.code == -32601 => None,
            Answer::Error(err) => {
                return Err(Failure::protocol(format!("answered tools/list with error {}", err.code)));
            }
        };
        let Some(next) = next else {
            return Ok(reading.catalog);
        };
        if !cursors.insert(next.clone()) {
            return Err(Failure::protocol("repeats a cursor of tools/list"));
        }
        cursor = Some(next);
    }
    Err(too_much(format!("lists its tools on more than {PAGES_MAX} pages")))
}

struct Reading<'a> {
    limits: &'a Limits,
    catalog: Catalog,
    names: HashSet<String>,
    bytes: usize,
}

impl Reading<'_> {
    fn take(&mut self, result: &RawValue) -> Result<Option<String>, Failure> {
        let page: Page<'_> = serde_json::from_str(result.get()).map_err(|err| {
            Failure::protocol(format!(
                "answered tools/list with a result of the wrong shape ({:?} error)",
                err.classify()
            ))
        })?;
        for definition in page.tools {
            self.take_tool(definition)?;
        }
        Ok(page.next_cursor)
    }

    fn take_tool(&mut self, raw: &RawValue) -> Result<(), Failure> {
        self.bytes += raw.get().len();
        if self.bytes > self.limits.catalog_bytes_max {
            let max = self.limits.catalog_bytes_max;
            return Err(too_much(format!("describes its tools with more than {max} bytes")));
        }
        let nth = self.names.len() + 1;
        let definition: Definition<'_> = serde_json::from_str(raw.get()).map_err(|err| {
            Failure::protocol(format!(
                "lists a tool (number {nth}) whose definition has the wrong shape ({:?} error)",
                err.classify()
            ))
        })?;
        let name = definition.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Failure::protocol(format!(
                "lists a tool (number {nth}) whose name is empty or longer than {NAME_BYTES_MAX} \
                 bytes"
            )));
        }
        if !self.names.insert(name.clone()) {
            return Err(Failure::protocol(format!("lists the tool {} twice", Shown(&name))));
        }
        if self.names.len() > self.limits.tools_max {
            let max = self.limits.tools_max;
            return Err(too_much(format!("lists more than {max} tools")));
        }
        let header_params = match definition.input_schema.map(header_params).transpose() {
            Ok(params) => params.unwrap_or_default(),
            Err(reason) => {
                self.catalog.rejected.push(RejectedTool { name, reason });
                return Ok(());
            }
        };
        self.catalog.tools.push(Tool {
            name,
            definition: raw.to_owned(),
            digest: hex::encode(Sha256::digest(raw.get())),
            read_only: is_read_only(definition.annotations),
            header_params,
        });
        Ok(())
    }
}

fn too_much(detail: String) -> Failure {
    Failure::sent(FailureKind::TooLarge, detail)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Reads the catalog of a server that answers with these pages.
    async fn read(pages: &[&str], limits: &Limits) -> (Result<Catalog, Failure>, Vec<Option<String>>) {
        let asked = RefCell::new(Vec::new());
        let catalog = discover(limits, |cursor| {
            let text = pages[asked.borrow().len() % pages.len()].to_owned();
            asked.borrow_mut().push(cursor);
            async move { Ok(Answer::Result(RawValue::from_string(text).unwrap())) }
        })
        .await;
        (catalog, asked.into_inner())
    }

    async fn refused(page: &str) -> String {
        let (catalog, _) = read(&[page], &Limits::default()).await;
        catalog.unwrap_err().detail
    }

    #[tokio::test]
    async fn definitions_of_all_pages_are_kept_byte_for_byte() {
        let first = "{ \"name\" : \"a\", \"x\": 1.0,\n \"annotations\":{\"readOnlyHint\":true}}";
        let (catalog, asked) = read(
            &[
                &format!("{{\"tools\":[{first}],\"nextCursor\":\"2\"}}"),
                r#"{"tools":[{"name":"b","annotations":{"readOnlyHint":"true"}},{"name":"c"}]}"#,
            ],
            &Limits::default(),
        )
        .await;
        let catalog = catalog.unwrap();
        assert_eq!(asked, [None, Some("2".to_owned())]);
        assert_eq!(catalog.tools[0].definition.get(), first);
        assert_eq!(catalog.tools[0].digest, hex::encode(Sha256::digest(first)));
        let seen: Vec<_> = catalog.tools.iter().map(|t| (t.name.as_str(), t.read_only)).collect();
        assert_eq!(seen, [("a", true), ("b", false), ("c", false)]);
    }

    #[tokio::test]
    async fn a_name_listed_twice_is_refused_with_its_control_characters_escaped() {
        let detail = refused(r#"{"tools":[{"name":"a\u001b[2J"},{"name":"a\u001b[2J"}]}"#).await;
        assert_eq!(detail, r#"lists the tool "a\u{1b}[2J" twice"#);
    }

    #[tokio::test]
    async fn a_list_without_end_is_given_up() {
        let limits = Limits { tools_max: 3, ..Limits::default() };
        let detail = refused(r#"{"tools":[],"nextCursor":"again"}"#).await;
        assert_eq!(detail, "repeats a cursor of tools/list");
        let four = r#"{"tools":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"}]}"#;
        let (catalog, _) = read(&[four], &limits).await;
        assert_eq!(catalog.unwrap_err().kind, FailureKind::TooLarge);
        let limits = Limits { catalog_bytes_max: 20, ..Limits::default() };
        let (catalog, _) = read(&[four], &limits).await;
        assert_eq!(catalog.unwrap_err().kind, FailureKind::TooLarge);
    }

    #[tokio::test]
    async fn wrong_shapes_are_refused_and_bad_header_annotations_leave_a_tool_out() {
        for page in ["{}", "[]", r#"{"tools":[{}]}"#, r#"{"tools":[1]}"#, r#"{"tools":[{"name":""}]}"#] {
            refused(page).await;
        }
        let page = r#"{"tools":[{"name":"good"},{"name":"bad","inputSchema":{"x-mcp-header":"X"}}]}"#;
        let (catalog, _) = read(&[page], &Limits::default()).await;
        let catalog = catalog.unwrap();
        assert_eq!(catalog.tools.len(), 1);
        assert_eq!(catalog.rejected[0].name, "bad");
    }
}
