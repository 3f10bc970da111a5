//! Requests of several rounds (MCP 2026-07-28, SEP-2322): an upstream ends a call with its wish for input,
//! and the agent asks again with what it wanted.
//!
//! **Invariants.** An upstream learns of no ability that the agent has not declared, and its wish for
//! anything else is not handed on. What it wants to have back with the input comes back to the same
//! upstream, in the same session, with the same request and in time, or not at all.

use std::collections::BTreeMap;

use proctor_domain::virtual_server::Wanted;
use proctor_domain::{CallId, Micros, Name};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::actors::now;
use crate::mcp::Knock;
use crate::mcp::answer::{Fault, codes};
use crate::mcp::members::{each_member, is_object, text};

/// For so long an agent may take to get the input.
const STATE_SECONDS: u32 = 3_600;
/// The abilities of agents that are handed on, where they declare them.
const HANDED_ON: [&str; 3] = ["elicitation", "sampling", "roots"];

/// What comes back with the input, as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    call: &'a str,
    connection: &'a str,
    /// SHA-256 over what was asked, in hexadecimal.
    request: String,
    expires_at: i64,
    /// What the upstream itself wants to have back.
    state: Option<String>,
}

/// A round that goes on from another.
pub(super) struct Continued {
    /// The call that ended with the wish for input.
    pub call: CallId,
    /// To whom it goes.
    pub connection: Name,
    /// What the upstream wants to have back.
    pub state: Option<String>,
}

/// Seals what the agent has to bring back with the input.
///
/// # Errors
/// When the upstream wants more back than a client can be asked to keep.
pub(super) fn sealed(
    knock: &Knock,
    (wanted, arguments): (&Wanted, Option<&RawValue>),
    (call, connection): (&CallId, &Name),
    state: Option<String>,
) -> Result<String, Fault> {
    let sealed = Sealed {
        call: call.as_str(),
        connection: connection.as_str(),
        request: digest(wanted, arguments),
        expires_at: now().plus_seconds(STATE_SECONDS).0,
        state,
    };
    let plain = serde_json::to_vec(&sealed).expect("text and numbers are always JSON");
    let session = knock.caller.session_id.as_str();
    knock.proctor.vault.seal_request_state(session, &plain).map_err(|error| {
        tracing::debug!(%error, "an upstream wants much back");
        Fault::new(codes::INTERNAL, "the upstream server wants more back than can be handed on")
            .with_code("state_too_large", Some(call.as_str()))
    })
}

/// What a request that brings input goes on from.
///
/// # Errors
/// When it is not of this session and request, or too old.
pub(super) fn continued(
    knock: &Knock,
    (wanted, arguments): (&Wanted, Option<&RawValue>),
    state: &RawValue,
) -> Result<Continued, Fault> {
    let invalid = || {
        let message = "this requestState is not of this request, or too old: ask again without it";
        Fault::new(codes::INVALID_PARAMS, message).with_code("invalid_request_state", None)
    };
    let text = text(state).ok_or_else(invalid)?;
    let session = knock.caller.session_id.as_str();
    let plain = knock.proctor.vault.open_request_state(session, &text).map_err(|_| invalid())?;
    let sealed: Sealed<'_> = serde_json::from_slice(&plain).map_err(|_| invalid())?;
    let is_ours = sealed.request == digest(wanted, arguments) && now() < Micros(sealed.expires_at);
    let connection = Name::new(sealed.connection).ok().filter(|_| is_ours).ok_or_else(invalid)?;
    Ok(Continued { call: sealed.call.into(), connection, state: sealed.state })
}

/// The same for the same request, however its arguments are written.
fn digest(wanted: &Wanted, arguments: Option<&RawValue>) -> String {
    let arguments: Value = arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let mut hash = Sha256::new();
    for text in [wanted.method().name(), wanted.name(), &sorted(&arguments)] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

/// JSON with the members of each object in the order of their names.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, sorted(value))).collect();
            let members =
                members.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// Of what an agent declared, what upstreams may know of it.
pub(super) fn handed_on(declared: Option<&RawValue>) -> Box<RawValue> {
    let mut abilities = Vec::new();
    if let Some(declared) = declared {
        let _unreadable = each_member(declared.get(), |key, value| {
            if HANDED_ON.contains(&&*key.0) && is_object(value) {
                abilities.push(format!("{}:{}", Value::from(&*key.0), value.get()));
            }
        });
    }
    let json = format!("{{{}}}", abilities.join(","));
    RawValue::from_string(json)
        .unwrap_or_else(|_| RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"))
}

/// Whether an agent that declared this can do all that an upstream wishes for.
pub(super) fn can_do(declared: Option<&RawValue>, result: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Wishes<'a> {
        #[serde(rename = "inputRequests", borrow, default)]
        requests: BTreeMap<String, Wish<'a>>,
    }
    #[derive(Deserialize)]
    struct Wish<'a> {
        method: String,
        #[serde(borrow, default)]
        params: Option<&'a RawValue>,
    }
    let Ok(wishes) = serde_json::from_str::<Wishes<'_>>(result.get()) else { return false };
    let declared: Value = declared.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    wishes.requests.values().all(|wish| may(&declared, &wish.method, wish.params))
}

/// Whether an agent that declared this can be asked this.
pub(super) fn may_be_asked(declared: Option<&RawValue>, method: &str, params: Option<&RawValue>) -> bool {
    let declared: Value = declared.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    may(&declared, method, params)
}

fn may(declared: &Value, method: &str, params: Option<&RawValue>) -> bool {
    let params: Value = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    match method {
        "sampling/createMessage" => declared["sampling"].is_object(),
        "roots/list" => declared["roots"].is_object(),
        "elicitation/create" if params["mode"] == "url" => declared["elicitation"]["url"].is_object(),
        // Without anything in it, it means forms.
        "elicitation/create" => {
            let modes = declared["elicitation"].as_object();
            modes.is_some_and(|modes| modes.contains_key("form") || !modes.contains_key("url"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn the_same_request_is_the_same_however_it_is_written() {
        let tool = Wanted::Tool("t".to_owned());
        let of = |wanted: &Wanted, arguments: &str| digest(wanted, Some(&raw(arguments)));
        assert_eq!(
            of(&tool, r#"{"a":1,"b":{"c":[2],"d":"\u00fc"}}"#),
            of(&tool, r#"{ "b":{"d":"ü","c":[2]},"a":1 }"#)
        );
        assert_ne!(of(&tool, r#"{"a":[1,2]}"#), of(&tool, r#"{"a":[2,1]}"#));
        assert_ne!(of(&tool, "{}"), of(&Wanted::Prompt("t".to_owned()), "{}"));
        assert_ne!(of(&tool, "{}"), of(&Wanted::Tool("u".to_owned()), "{}"));
    }

    #[test]
    fn upstreams_learn_of_declared_abilities_that_can_be_handed_on_and_no_others() {
        let declared = raw(r#"{"sampling":{ "x":1 },"extensions":{"a":{}},"roots":true,"elicitation":{}}"#);
        assert_eq!(handed_on(Some(&declared)).get(), r#"{"sampling":{ "x":1 },"elicitation":{}}"#);
        assert_eq!(handed_on(None).get(), "{}");
    }

    #[test]
    fn a_wish_for_what_was_not_declared_is_not_handed_on() {
        let can = |declared: &str, wishes: &str| {
            can_do(Some(&raw(declared)), &raw(&format!(r#"{{"inputRequests":{wishes}}}"#)))
        };
        let form = r#"{"a":{"method":"elicitation/create","params":{"mode":"form"}}}"#;
        let url = r#"{"a":{"method":"elicitation/create","params":{"mode":"url"}}}"#;
        assert!(can(r#"{"elicitation":{}}"#, form) && !can(r#"{"elicitation":{}}"#, url));
        assert!(can(r#"{"elicitation":{"url":{}}}"#, url) && !can(r#"{"elicitation":{"url":{}}}"#, form));
        assert!(can(r#"{"elicitation":{"url":{},"form":{}}}"#, form));
        assert!(!can(r#"{"sampling":{}}"#, form) && !can("{}", r#"{"a":{"method":"other","params":{}}}"#));
        assert!(can(r#"{"sampling":{}}"#, r#"{"a":{"method":"sampling/createMessage","params":{}}}"#));
        assert!(
            can(r#"{"roots":{}}"#, r#"{"a":{"method":"roots/list"}}"#)
                && !can("{}", r#"{"a":{"method":"roots/list"}}"#)
        );
        assert!(can("{}", "{}") && !can("{}", "[]"));
    }
}
