//! `initialize`: agrees on a version and gives out the sealed id of what was agreed.

use serde_json::value::RawValue;

use crate::actors::new_id;
use crate::mcp::answer::{Fault, Reply, codes, push_text};
use crate::mcp::client::client;
use crate::mcp::envelope::Request;
use crate::mcp::members::{is_object, text};
use crate::mcp::{Knock, capabilities, server_info};
use crate::upstream::LEGACY_VERSIONS;
use crate::vault::McpSession;

/// Answers the handshake.
///
/// # Errors
/// When the session has ended, or the parameters are not those of a handshake.
pub(super) async fn answer(knock: &Knock, request: &Request<'_>) -> Result<Reply, Fault> {
    let params = &request.params;
    let wrong = |message: &'static str| Fault::malformed(codes::INVALID_PARAMS, message);
    let requested = params.protocol_version.and_then(text);
    let requested = requested.ok_or_else(|| wrong("params.protocolVersion must be a string"))?;
    if params.capabilities.is_some_and(|capabilities| !is_object(capabilities)) {
        return Err(wrong("params.capabilities must be an object"));
    }
    if params.client_info.is_some_and(|info| !is_object(info)) {
        return Err(wrong("params.clientInfo must be an object"));
    }
    let server = knock.caller.check_alive(&knock.proctor).await?;
    let version = agreed_version(&requested);
    let session = seal(knock, version, params.capabilities, params.client_info)?;

    let mut json = String::from("{\"protocolVersion\":\"");
    json.push_str(version);
    json.push_str("\",\"capabilities\":");
    json.push_str(&capabilities::of(knock).await?);
    json.push_str(",\"serverInfo\":");
    json.push_str(&server_info(&server, knock.caller.server().as_str()));
    let instructions = &server.definition().instructions;
    if !instructions.is_empty() {
        json.push_str(",\"instructions\":");
        push_text(&mut json, instructions);
    }
    json.push('}');
    Ok(Reply { session: Some(session), ..Reply::result(request.id, &json) })
}

/// The version that was asked for, or else the newest that has a handshake.
fn agreed_version(requested: &str) -> &'static str {
    LEGACY_VERSIONS.into_iter().find(|version| *version == requested).unwrap_or(LEGACY_VERSIONS[0])
}

fn seal(
    knock: &Knock,
    version: &str,
    capabilities: Option<&RawValue>,
    info: Option<&RawValue>,
) -> Result<String, Fault> {
    let said = client(info, version);
    let mut info = String::from("{\"name\":");
    push_text(&mut info, &said.name);
    info.push_str(",\"version\":");
    push_text(&mut info, &said.version);
    info.push('}');
    let raw = |json: String| RawValue::from_string(json).expect("it was JSON, or was just written as JSON");
    let mut agreed = McpSession {
        protocol_version: version.to_owned(),
        client_capabilities: capabilities.map_or_else(|| raw("{}".to_owned()), ToOwned::to_owned),
        client_info: raw(info),
        nonce: new_id("mcp"),
        session: knock.caller.session_id.to_string(),
    };
    if let Ok(sealed) = knock.proctor.vault.seal_mcp_session(&agreed) {
        return Ok(sealed);
    }
    // More than a header carries. Fewer capabilities than there are do no harm.
    agreed.client_capabilities = raw("{}".to_owned());
    knock.proctor.vault.seal_mcp_session(&agreed).map_err(|error| Fault::unavailable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requested_version_is_agreed_on_where_it_has_a_handshake() {
        assert_eq!(agreed_version("2024-11-05"), "2024-11-05");
        assert_eq!(agreed_version("2025-06-18"), "2025-06-18");
        assert_eq!(agreed_version("2026-07-28"), "2025-11-25");
        assert_eq!(agreed_version("1.0"), "2025-11-25");
    }
}
