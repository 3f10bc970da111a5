//! A tool's result on its way to the agent: the bytes that came back, but for what each era must
//! have and what names the upstream.
//!
//! **Invariants.** Nothing but `resultType` and the value of `serverInfo` in `_meta` is ever added
//! or replaced; every other byte goes on as it came.

use serde_json::value::RawValue;

use crate::mcp::members::{each_member, members, span_in, text};
use crate::mcp::modern::SERVER_INFO_KEY;

const COMPLETE: &str = "\"resultType\":\"complete\"";

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

/// Hands the pieces of the result as the agent gets it to `write`.
pub(super) fn fitted<T>(
    result: &str,
    is_modern: bool,
    server_info: impl FnOnce() -> String,
    write: impl FnOnce(&[&str]) -> T,
) -> T {
    let names_itself = result.contains(SERVER_INFO_KEY);
    if !is_modern && !names_itself {
        return write(&[result]);
    }
    let (mut empty, mut typed, mut info) = (true, false, None);
    let read = each_member(result, |key, value| {
        empty = false;
        match &*key.0 {
            "resultType" => typed = true,
            "_meta" if names_itself => {
                // What it says of itself twice, it says of itself as the last.
                let _unreadable = each_member(value.get(), |key, value| {
                    if key.0 == SERVER_INFO_KEY {
                        info = Some(span_in(result, value));
                    }
                });
            }
            _ => {}
        }
    });
    let body = result.strip_prefix('{');
    let (Ok(()), Some(body)) = (read, body) else { return write(&[result]) };
    let (open, added, comma) = match (is_modern && !typed, empty) {
        (false, _) => ("{", "", ""),
        (true, true) => ("{", COMPLETE, ""),
        (true, false) => ("{", COMPLETE, ","),
    };
    match info {
        None => write(&[open, added, comma, body]),
        Some(span) => {
            let server_info = server_info();
            let (before, after) = (&result[1..span.start], &result[span.end..]);
            write(&[open, added, comma, before, &server_info, after])
        }
    }
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
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn fit(result: &str, is_modern: bool) -> String {
        fitted(result, is_modern, || "{\"name\":\"ours\"}".to_owned(), |parts| parts.concat())
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
