//! What an upstream defines for agents: tools, prompts and resource templates, each definition kept as the
//! bytes that were sent.
//!
//! **Invariants.** A definition's digest is over exactly the bytes that are kept. No two tools, prompts or
//! templates of a catalog have the same name. Pages, definitions and bytes are bounded.

use std::collections::HashSet;

use proctor_domain::connection::Feature;
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
/// The same of a resource template.
const TEMPLATE_BYTES_MAX: usize = 2_048;

/// One tool, prompt or resource template, as its upstream defines it.
#[derive(Clone, Debug)]
pub struct Defined {
    /// What it is, with its name.
    pub feature: Feature,
    /// The whole definition, exactly as sent.
    pub definition: Box<RawValue>,
    /// SHA-256 of the definition's bytes, in lower-case hexadecimal.
    pub digest: String,
    /// Whether it only reads: what a tool says of itself (`annotations.readOnlyHint`), and true of all
    /// else. A hint by an untrusted party: it may narrow what a session sees, never widen it.
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

/// All that an upstream defines, in its order: tools, then prompts, then resource templates.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The definitions.
    pub features: Vec<Defined>,
    /// What the specification has clients leave out.
    pub rejected: Vec<RejectedTool>,
}

/// One of the lists that definitions are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Tools,
    Prompts,
    ResourceTemplates,
}

impl Listed {
    /// The method that asks for it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::ResourceTemplates => "resources/templates/list",
        }
    }

    /// What is on it, for people: one of them.
    fn one(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
            Self::ResourceTemplates => "resource template",
        }
    }

    fn feature(self, name: String) -> Feature {
        match self {
            Self::Tools => Feature::Tool(name),
            Self::Prompts => Feature::Prompt(name),
            Self::ResourceTemplates => Feature::ResourceTemplate(name),
        }
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    tools: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    prompts: Option<Vec<&'a RawValue>>,
    #[serde(rename = "resourceTemplates", borrow, default)]
    resource_templates: Option<Vec<&'a RawValue>>,
    #[serde(rename = "nextCursor", default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Definition<'a> {
    #[serde(default)]
    name: Option<String>,
    #[serde(rename = "uriTemplate", default)]
    uri_template: Option<String>,
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

/// Asks `page` for one page of each list after the other; it is given the list and the cursor.
pub(super) async fn discover<F>(
    limits: &Limits,
    lists: &[Listed],
    mut page: impl FnMut(Listed, Option<String>) -> F,
) -> Result<Catalog, Failure>
where
    F: Future<Output = Result<Answer, Failure>>,
{
    let mut reading = Reading { limits, catalog: Catalog::default(), known: HashSet::new(), bytes: 0 };
    for list in lists {
        reading.read(*list, &mut page).await?;
    }
    Ok(reading.catalog)
}

struct Reading<'a> {
    limits: &'a Limits,
    catalog: Catalog,
    known: HashSet<Feature>,
    bytes: usize,
}

impl Reading<'_> {
    async fn read<F>(
        &mut self,
        list: Listed,
        page: &mut impl FnMut(Listed, Option<String>) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        let method = list.method();
        let mut cursor = None;
        let mut cursors = HashSet::new();
        for _ in 0..PAGES_MAX {
            let next = match page(list, cursor).await? {
                Answer::Result(result) => self.take(list, &result)?,
                // A server that has none need not know the method.
                Answer::Error(err) if err.code == -32601 => None,
                Answer::Error(err) => {
                    return Err(Failure::protocol(format!("answered {method} with error {}", err.code)));
                }
            };
            let Some(next) = next else { return Ok(()) };
            if !cursors.insert(next.clone()) {
                return Err(Failure::protocol(format!("repeats a cursor of {method}")));
            }
            cursor = Some(next);
        }
        Err(too_much(format!("lists its {}s on more than {PAGES_MAX} pages", list.one())))
    }

    fn take(&mut self, list: Listed, result: &RawValue) -> Result<Option<String>, Failure> {
        let wrong = |error: &str| {
            let method = list.method();
            Failure::protocol(format!("answered {method} with a result of the wrong shape ({error})"))
        };
        let page: Page<'_> = serde_json::from_str(result.get())
            .map_err(|err| wrong(&format!("{:?} error", err.classify())))?;
        let definitions = match list {
            Listed::Tools => page.tools,
            Listed::Prompts => page.prompts,
            Listed::ResourceTemplates => page.resource_templates,
        };
        for definition in definitions.ok_or_else(|| wrong("it holds no list"))? {
            self.take_one(list, definition)?;
        }
        Ok(page.next_cursor)
    }

    fn take_one(&mut self, list: Listed, raw: &RawValue) -> Result<(), Failure> {
        let one = list.one();
        self.bytes += raw.get().len();
        if self.bytes > self.limits.catalog_bytes_max {
            let max = self.limits.catalog_bytes_max;
            return Err(too_much(format!("describes what it offers with more than {max} bytes")));
        }
        let nth = self.known.len() + 1;
        let odd = |what: String| Failure::protocol(format!("lists a {one} (number {nth}) {what}"));
        let definition: Definition<'_> = serde_json::from_str(raw.get()).map_err(|err| {
            odd(format!("whose definition has the wrong shape ({:?} error)", err.classify()))
        })?;
        let (name, bytes_max) = match list {
            Listed::Tools | Listed::Prompts => (definition.name, NAME_BYTES_MAX),
            Listed::ResourceTemplates => (definition.uri_template, TEMPLATE_BYTES_MAX),
        };
        let name = name.ok_or_else(|| odd("without a name".to_owned()))?;
        if name.is_empty() || name.len() > bytes_max {
            return Err(odd(format!("whose name is empty or longer than {bytes_max} bytes")));
        }
        let feature = list.feature(name);
        if !self.known.insert(feature.clone()) {
            return Err(Failure::protocol(format!("lists the {one} {} twice", Shown(feature.name()))));
        }
        if self.known.len() > self.limits.features_max {
            let max = self.limits.features_max;
            return Err(too_much(format!("lists more than {max} tools, prompts and resource templates")));
        }
        let is_tool = list == Listed::Tools;
        let schema = definition.input_schema.filter(|_| is_tool);
        let header_params = match schema.map(header_params).transpose() {
            Ok(params) => params.unwrap_or_default(),
            Err(reason) => {
                let name = feature.name().to_owned();
                self.catalog.rejected.push(RejectedTool { name, reason });
                return Ok(());
            }
        };
        self.catalog.features.push(Defined {
            feature,
            definition: raw.to_owned(),
            digest: hex::encode(Sha256::digest(raw.get())),
            read_only: !is_tool || is_read_only(definition.annotations),
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
        let catalog = discover(limits, &[Listed::Tools], |_, cursor| {
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
        assert_eq!(catalog.features[0].definition.get(), first);
        assert_eq!(catalog.features[0].digest, hex::encode(Sha256::digest(first)));
        let seen: Vec<_> = catalog.features.iter().map(|t| (t.feature.name(), t.read_only)).collect();
        assert_eq!(seen, [("a", true), ("b", false), ("c", false)]);
    }

    #[tokio::test]
    async fn a_name_listed_twice_is_refused_with_its_control_characters_escaped() {
        let detail = refused(r#"{"tools":[{"name":"a\u001b[2J"},{"name":"a\u001b[2J"}]}"#).await;
        assert_eq!(detail, r#"lists the tool "a\u{1b}[2J" twice"#);
    }

    #[tokio::test]
    async fn a_list_without_end_is_given_up() {
        let limits = Limits { features_max: 3, ..Limits::default() };
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
        assert_eq!(catalog.features.len(), 1);
        assert_eq!(catalog.rejected[0].name, "bad");
    }
}
