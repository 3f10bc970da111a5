//! A result on its way to the agent: the bytes that came back, but for what each era must have, what names
//! the upstream, and URIs that two connections have.
//!
//! **Invariants.** Nothing but `resultType`, `ttlMs` and `cacheScope`, the value of `serverInfo` in `_meta`,
//! and URIs that would lead to another connection's resource is ever added or replaced; every other byte
//! goes on as it came.

use std::borrow::Cow;
use std::ops::Range;

use proctor_domain::Name;
use proctor_domain::session::LogLevel;
use proctor_domain::virtual_server::{Method, VirtualServer};
use serde_json::value::RawValue;

use crate::mcp::answer::push_text;
use crate::mcp::members::{each_member, is_object, members, span_in, text};
use crate::mcp::modern::SERVER_INFO_KEY;

const COMPLETE: &str = "\"resultType\":\"complete\"";
/// What an agent may keep it may keep for itself alone, and whoever does not say for how long is asked
/// again each time.
const NOT_KEPT: &str = "\"ttlMs\":0";
const PRIVATE: &str = "\"private\"";
/// How deep URIs are looked for in a result.
const LINK_DEPTH_MAX: usize = 6;

/// A result that asks for more than a result can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The upstream wants input from the user first.
    InputRequired,
    /// Something else that was not declared to be understood.
    OtherType,
}

impl Unfit {
    /// Why this result cannot be handed on, if it cannot.
    pub fn of(result: &RawValue) -> Option<Self> {
        // Legacy results have none: do not look closer than that.
        if !result.get().contains("\"resultType\"") {
            return None;
        }
        let mut unfit = None;
        let read = each_member(result.get(), |key, value| {
            if key.0 == "resultType" {
                unfit = match text(value).as_deref() {
                    Some("complete") => unfit,
                    Some("input_required") => Some(Self::InputRequired),
                    Some(_) | None => Some(Self::OtherType),
                };
            }
        });
        if read.is_err() { Some(Self::OtherType) } else { unfit }
    }

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::InputRequired => "input_required",
            Self::OtherType => "result_type",
        }
    }

    /// What the agent is told.
    pub fn message(self) -> &'static str {
        match self {
            Self::InputRequired => {
                "the upstream server asks for input from the user, which is not handed on here"
            }
            Self::OtherType => {
                "the upstream server answered with a kind of result that is not handed on here"
            }
        }
    }
}

/// How a result is made to fit its agent.
pub(super) struct Fit<'f> {
    pub is_modern: bool,
    pub method: Method,
    pub server: &'f VirtualServer,
    /// Where it comes from.
    pub connection: Option<&'f Name>,
    /// What the agent has to bring back with the input that is wanted.
    pub state: Option<String>,
}

/// What is put in another place's stead.
type Edit = (Range<usize>, String);

impl Fit<'_> {
    /// Hands the pieces of the result as the agent gets it to `write`.
    pub fn fitted<T>(
        &self,
        result: &str,
        server_info: impl FnOnce() -> String,
        write: impl FnOnce(&[&str]) -> T,
    ) -> T {
        let names_itself = result.contains(SERVER_INFO_KEY);
        let links = self.connection.filter(|_| self.server.resources().rewrites());
        if !self.is_modern && !names_itself && links.is_none() {
            return write(&[result]);
        }
        let may_be_kept = self.is_modern && self.method == Method::ResourcesRead && self.state.is_none();
        let (mut empty, mut typed, mut lives, mut scoped) = (true, false, false, false);
        let (mut info, mut edits, mut stated) = (None, Vec::<Edit>::new(), false);
        let read = each_member(result, |key, value| {
            empty = false;
            match &*key.0 {
                "resultType" => typed = true,
                "requestState" if self.state.is_some() => {
                    edits.push((span_in(result, value), quoted(self.state.as_deref().unwrap_or_default())));
                    stated = true;
                }
                "ttlMs" => lives = true,
                "cacheScope" => {
                    scoped = true;
                    if may_be_kept && value.get() != PRIVATE {
                        edits.push((span_in(result, value), PRIVATE.to_owned()));
                    }
                }
                "_meta" if names_itself => {
                    // What it says of itself twice, it says of itself as the last.
                    let _unreadable = each_member(value.get(), |key, value| {
                        if key.0 == SERVER_INFO_KEY {
                            info = Some(span_in(result, value));
                        }
                    });
                }
                "content" | "contents" | "messages" => {
                    if let Some(connection) = links {
                        self.link(connection, (result, value), 0, &mut edits);
                    }
                }
                _ => {}
            }
        });
        let body = result.strip_prefix('{');
        let (Ok(()), Some(_)) = (read, body) else { return write(&[result]) };
        let mut added: Vec<Cow<'_, str>> = Vec::new();
        if self.is_modern && !typed {
            added.push(COMPLETE.into());
        }
        if may_be_kept && !lives {
            added.push(NOT_KEPT.into());
        }
        if may_be_kept && !scoped {
            added.push(format!("\"cacheScope\":{PRIVATE}").into());
        }
        if let Some(state) = self.state.as_deref().filter(|_| !stated) {
            added.push(format!("\"requestState\":{}", quoted(state)).into());
        }
        edits.extend(info.map(|span| (span, server_info())));
        edits.sort_by_key(|(span, _)| span.start);
        let added = added.join(",");
        let comma = if added.is_empty() || empty { "" } else { "," };
        let mut pieces = vec!["{", &added, comma];
        let mut at = 1;
        for (span, instead) in &edits {
            pieces.extend([&result[at..span.start], instead]);
            at = span.end;
        }
        pieces.push(&result[at..]);
        write(&pieces)
    }

    /// Finds the URIs of resources in a part of a result that have to be written otherwise.
    fn link(
        &self,
        connection: &Name,
        (result, part): (&str, &RawValue),
        depth: usize,
        edits: &mut Vec<Edit>,
    ) {
        if depth > LINK_DEPTH_MAX {
            return;
        }
        if !is_object(part) {
            let items: Vec<&RawValue> = serde_json::from_str(part.get()).unwrap_or_default();
            for item in items {
                self.link(connection, (result, item), depth + 1, edits);
            }
            return;
        }
        let _unreadable = each_member(part.get(), |key, value| match &*key.0 {
            "uri" => {
                let Some(uri) = text(value) else { return };
                if let Cow::Owned(shown) = self.server.resources().shown_uri(connection, &uri) {
                    edits.push((span_in(result, value), quoted(&shown)));
                }
            }
            "content" | "resource" => self.link(connection, (result, value), depth + 1, edits),
            _ => {}
        });
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_text(&mut json, text);
    json
}

/// A text as JSON.
pub(super) fn quoted_raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(quoted(text)).expect("a text in quotes is JSON")
}

/// How grave a log message is; `None` when it is another notification.
pub(super) fn log_level(notification: &RawValue) -> Option<LogLevel> {
    if !notification.get().contains("notifications/message") {
        return None;
    }
    let (mut is_message, mut level) = (false, None);
    members(notification.get(), |key, value| match key {
        "method" => is_message = text(value).as_deref() == Some("notifications/message"),
        "params" => {
            let _unreadable = each_member(value.get(), |key, value| {
                if key.0 == "level" {
                    level = text(value).and_then(|level| LogLevel::from_code(&level));
                }
            });
        }
        _ => {}
    })
    .ok()?;
    level.filter(|_| is_message)
}

/// What an upstream wants to have back with the input that it wishes for.
pub(super) fn request_state(result: &RawValue) -> Option<String> {
    let mut state = None;
    let _unreadable = each_member(result.get(), |key, value| {
        if key.0 == "requestState" {
            state = text(value).map(Cow::into_owned);
        }
    });
    state
}

/// A progress notification under the agent's own token; `None` when it is another notification.
pub(super) fn progress(notification: &RawValue, token: &RawValue) -> Option<String> {
    let whole = notification.get();
    let (mut is_progress, mut ours) = (false, None);
    members(whole, |key, value| match key {
        "method" => is_progress = text(value).as_deref() == Some("notifications/progress"),
        "params" => {
            let read = members(value.get(), |key, value| {
                if key == "progressToken" {
                    ours = Some(span_in(whole, value));
                }
            });
            if read.is_err() {
                ours = None;
            }
        }
        _ => {}
    })
    .ok()?;
    let span = ours.filter(|_| is_progress)?;
    Some([&whole[..span.start], token.get(), &whole[span.end..]].concat())
}

#[cfg(test)]
mod tests {
    use proctor_domain::virtual_server::{Definition, ExposedResource, VirtualServerEvent};
    use proctor_domain::{By, Decider as _, Micros, Place, Position};

    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn fit(result: &str, is_modern: bool) -> String {
        fit_of(Method::ToolsCall, &VirtualServer::default(), result, is_modern)
    }

    fn fit_of(method: Method, server: &VirtualServer, result: &str, is_modern: bool) -> String {
        let connection = Name::new("b").unwrap();
        let fit = Fit { is_modern, method, server, connection: Some(&connection), state: None };
        fit.fitted(result, || "{\"name\":\"ours\"}".to_owned(), |parts| parts.concat())
    }

    #[test]
    fn a_resource_is_kept_by_its_own_agent_alone_and_no_longer_than_its_server_says() {
        let read = |result: &str, is_modern| {
            fit_of(Method::ResourcesRead, &VirtualServer::default(), result, is_modern)
        };
        assert_eq!(
            read(r#"{"contents":[]}"#, true),
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","contents":[]}"#
        );
        assert_eq!(
            read(r#"{"resultType":"complete","ttlMs":5, "cacheScope": "public" ,"contents":[]}"#, true),
            r#"{"resultType":"complete","ttlMs":5, "cacheScope": "private" ,"contents":[]}"#
        );
        assert_eq!(read(r#"{"contents":[]}"#, false), r#"{"contents":[]}"#);
    }

    #[test]
    fn links_to_what_two_connections_have_say_whose_it_is() {
        let resource = |connection: &str| ExposedResource {
            connection: Name::new(connection).unwrap(),
            uri: "x://1".to_owned(),
        };
        let definition =
            Definition { resources: vec![resource("a"), resource("b")], ..Definition::default() };
        let by = By::Replica("rep_1".into());
        let mut server = VirtualServer::default();
        let place = Place { position: Position(1), recorded_at: Micros(0) };
        server.evolve(&VirtualServerEvent::VirtualServerDefined { by, definition }, place);
        for (result, shown) in [
            (
                r#"{"content":[{"type":"resource_link", "uri" : "x://1"},{"type":"resource","resource":{"uri":"x:\/\/1"}}]}"#,
                r#"{"content":[{"type":"resource_link", "uri" : "proctor:b/x://1"},{"type":"resource","resource":{"uri":"proctor:b/x://1"}}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"x://1"}}}]}"#,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"proctor:b/x://1"}}}]}"#,
            ),
            (
                r#"{"contents":[{"uri":"x://2","text":"x://1"}]}"#,
                r#"{"contents":[{"uri":"x://2","text":"x://1"}]}"#,
            ),
            (r#"{"structuredContent":{"uri":"x://1"}}"#, r#"{"structuredContent":{"uri":"x://1"}}"#),
        ] {
            assert_eq!(fit_of(Method::ToolsCall, &server, result, false), shown);
        }
    }

    #[test]
    fn a_result_goes_on_byte_for_byte() {
        let result = r#"{ "content":[ {"x":1.0e0,"x":2} ],"isError":false , "resultType" :"complete"}"#;
        assert_eq!(fit(result, true), result);
        assert_eq!(fit(result, false), result);
    }

    #[test]
    fn a_legacy_upstreams_result_gets_the_type_that_the_modern_era_wants() {
        assert_eq!(fit(r#"{ "content":[] }"#, true), r#"{"resultType":"complete", "content":[] }"#);
        assert_eq!(fit("{ }", true), r#"{"resultType":"complete" }"#);
        assert_eq!(fit(r#"{ "content":[] }"#, false), r#"{ "content":[] }"#);
    }

    #[test]
    fn what_the_upstream_says_of_itself_is_replaced_by_what_this_door_says() {
        let theirs =
            format!(r#"{{"_meta":{{"a":1,"{SERVER_INFO_KEY}": {{"name":"theirs"}} ,"b":2}},"content":[]}}"#);
        let ours =
            format!(r#"{{"_meta":{{"a":1,"{SERVER_INFO_KEY}": {{"name":"ours"}} ,"b":2}},"content":[]}}"#);
        assert_eq!(fit(&theirs, false), ours);
        assert_eq!(fit(&theirs, true), ours.replacen('{', r#"{"resultType":"complete","#, 1));
    }

    #[test]
    fn a_key_of_that_name_elsewhere_is_left_alone() {
        let result =
            format!(r#"{{"structuredContent":{{"_meta":{{"{SERVER_INFO_KEY}":1}},"resultType":"x"}}}}"#);
        assert_eq!(fit(&result, false), result);
        assert_eq!(Unfit::of(&raw(&result)), None);
    }

    #[test]
    fn a_result_that_wants_input_is_not_handed_on() {
        assert_eq!(Unfit::of(&raw(r#"{"resultType":"input_required"}"#)), Some(Unfit::InputRequired));
        assert_eq!(Unfit::of(&raw(r#"{"resultType":"task"}"#)), Some(Unfit::OtherType));
        assert_eq!(Unfit::of(&raw(r#"{"resultType":"complete"}"#)), None);
        assert_eq!(Unfit::of(&raw(r#"{"content":[]}"#)), None);
    }

    #[test]
    fn progress_comes_under_the_agents_own_token() {
        let theirs = raw(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{ "progressToken":17,"progress":0.50 }}"#,
        );
        let ours = progress(&theirs, &raw("\"p-1\"")).unwrap();
        assert_eq!(
            ours,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{ "progressToken":"p-1","progress":0.50 }}"#
        );
        let other =
            raw(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"progressToken":17}}"#);
        assert_eq!(progress(&other, &raw("1")), None);
    }
}
