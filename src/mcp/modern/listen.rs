//! `subscriptions/listen`: a stream that first says what it will tell, then tells it.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::SUBSCRIPTION_ID_KEY;
use crate::mcp::answer::{Fault, Reply, codes};
use crate::mcp::envelope::Request;
use crate::mcp::members::members;
use crate::mcp::streams::{self, Listed, Words};
use crate::mcp::{Knock, server_info, sse};

/// Opens the stream.
///
/// # Errors
/// When the session has ended or has too many streams, or it is not said what to listen to.
pub(super) async fn open(knock: &Knock, request: &Request<'_>) -> Result<HttpResponse, Fault> {
    if !knock.accepts.stream {
        let message = "Accept must allow text/event-stream";
        return Err(Fault::new(codes::INVALID_REQUEST, message).with_status(StatusCode::NOT_ACCEPTABLE));
    }
    let wrong =
        || Fault::new(codes::INVALID_PARAMS, "params.notifications must be an object of what to listen to");
    let mut lists = BTreeSet::new();
    let filter = request.params.notifications.ok_or_else(wrong)?;
    members(filter.get(), |key, value| {
        let list = Listed::ALL.into_iter().find(|list| wish(*list) == key && value.get() == "true");
        lists.extend(list);
    })
    .map_err(|_| wrong())?;
    let proctor = Data::clone(&knock.proctor);
    // Before it is checked that the session lives, so that no end is missed.
    let changes = proctor.changes.subscribe();
    let server = knock.caller.check_alive(&proctor).await?;
    let place = proctor.door.streams.take(&knock.caller.session_id)?;
    let server_info = server_info(&server, knock.caller.server().as_str());
    Ok(streams::open(proctor, knock.caller.clone(), changes, place, words(request.id, &lists, &server_info)))
}

/// The member of a filter that wishes to be told of a list.
fn wish(list: Listed) -> &'static str {
    match list {
        Listed::Tools => "toolsListChanged",
        Listed::Prompts => "promptsListChanged",
        Listed::Resources => "resourcesListChanged",
    }
}

fn words(id: &str, lists: &BTreeSet<Listed>, server_info: &str) -> Words {
    let accepted = lists.iter().map(|list| format!("\"{}\":true", wish(*list))).collect::<Vec<_>>().join(",");
    let first = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{{\"_meta\":\
         {{\"{SUBSCRIPTION_ID_KEY}\":{id}}},\"notifications\":{{{accepted}}}}}}}"
    );
    let changed = |list: &Listed| {
        let method = list.method();
        let json = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{{\"_meta\":{{\"{SUBSCRIPTION_ID_KEY}\":{id}}}}}}}"
        );
        (*list, sse::event(json.as_bytes()))
    };
    let last = format!(
        "{{\"resultType\":\"complete\",\"_meta\":{{\"{SUBSCRIPTION_ID_KEY}\":{id},\"{}\":{server_info}}}}}",
        super::SERVER_INFO_KEY
    );
    Words {
        first: Some(sse::event(first.as_bytes())),
        changed: lists.iter().map(changed).collect(),
        last: Some(sse::event(&Reply::result(id, &last).body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_a_stream_says_is_json_with_the_id_of_its_request() {
        let words = words("\"l-1\"", &Listed::ALL.into(), "{}");
        for event in [words.first, words.last].into_iter().flatten().chain(words.changed.into_values()) {
            let text = std::str::from_utf8(&event).unwrap();
            let json: serde_json::Value =
                serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
            let meta = json["params"]["_meta"].as_object().or(json["result"]["_meta"].as_object()).unwrap();
            assert_eq!(meta[SUBSCRIPTION_ID_KEY], "l-1", "{json}");
        }
    }
}
