//! `subscriptions/listen`: a stream that first says what it will tell, then tells it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::SUBSCRIPTION_ID_KEY;
use crate::mcp::answer::{Fault, Reply, codes};
use crate::mcp::envelope::Request;
use crate::mcp::members::members;
use crate::mcp::streams::{self, Words};
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
    let mut tools = false;
    let filter = request.params.notifications.ok_or_else(wrong)?;
    members(filter.get(), |key, value| tools |= key == "toolsListChanged" && value.get() == "true")
        .map_err(|_| wrong())?;
    let proctor = Data::clone(&knock.proctor);
    // Before it is checked that the session lives, so that no end is missed.
    let changes = proctor.changes.subscribe();
    let server = knock.caller.check_alive(&proctor).await?;
    let place = proctor.door.streams.take(&knock.caller.session_id)?;
    let server_info = server_info(&server, knock.caller.server().as_str());
    Ok(streams::open(proctor, knock.caller.clone(), changes, place, words(request.id, tools, &server_info)))
}

fn words(id: &str, tools: bool, server_info: &str) -> Words {
    let accepted = if tools { "{\"toolsListChanged\":true}" } else { "{}" };
    let first = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{{\"_meta\":\
         {{\"{SUBSCRIPTION_ID_KEY}\":{id}}},\"notifications\":{accepted}}}}}"
    );
    let changed = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{{\"_meta\":\
         {{\"{SUBSCRIPTION_ID_KEY}\":{id}}}}}}}"
    );
    let last = format!(
        "{{\"resultType\":\"complete\",\"_meta\":{{\"{SUBSCRIPTION_ID_KEY}\":{id},\"{}\":{server_info}}}}}",
        super::SERVER_INFO_KEY
    );
    Words {
        first: Some(sse::event(first.as_bytes())),
        changed: tools.then(|| sse::event(changed.as_bytes())),
        last: Some(sse::event(&Reply::result(id, &last).body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_a_stream_says_is_json_with_the_id_of_its_request() {
        let words = words("\"l-1\"", true, "{}");
        for event in [words.first, words.changed, words.last].into_iter().flatten() {
            let text = std::str::from_utf8(&event).unwrap();
            let json: serde_json::Value =
                serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
            let meta = json["params"]["_meta"].as_object().or(json["result"]["_meta"].as_object()).unwrap();
            assert_eq!(meta[SUBSCRIPTION_ID_KEY], "l-1", "{json}");
        }
    }
}
