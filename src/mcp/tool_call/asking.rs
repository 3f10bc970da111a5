//! A call that needs an account which the user has not connected: the protocol's own way to ask for
//! it, where the virtual server is set to ask.
//!
//! **Invariants.** The address that is handed out leads to our own page and carries no secret.
//! Whoever opens it connects nothing before the product's backend has confirmed who that was.

use std::sync::Arc;

use proctor_domain::By;
use proctor_domain::connection::Connection;
use proctor_domain::session::Refusal;
use proctor_domain::user_connection::{LINK_SECONDS_DEFAULT, UserConnection, UserConnectionError};
use proctor_domain::virtual_server::{MissingAccounts, VirtualServer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ask::Asked;
use crate::actors::{AskError, now};
use crate::connect::{NewLink, checked_return_url};
use crate::mcp::answer::{Fault, codes};

/// The answer to a refused call, with a link where the user is to be asked.
pub(super) async fn asking(asked: &Asked<'_>, reason: Refusal, fault: Fault) -> Fault {
    match reason {
        Refusal::UserConnectionMissing
        | Refusal::UserConnectionExpired
        | Refusal::UserConnectionDisconnected => {}
        _ => return fault,
    }
    let server = asked.knock.caller.server();
    let server = asked.knock.proctor.directory.state::<VirtualServer>(server.as_str()).await;
    let Ok(server) = server else { return fault };
    let MissingAccounts::Ask { return_url } = &server.definition().missing_accounts else { return fault };
    match link(asked, &server, return_url).await {
        Ok(Some(link)) => with_link(asked, fault, &link),
        Ok(None) => fault,
        Err(error) => {
            tracing::error!(%error, "failed to give out a link by which a user could connect an account");
            fault
        }
    }
}

/// A link to the account that the call needs.
async fn link(
    asked: &Asked<'_>,
    server: &VirtualServer,
    return_url: &str,
) -> Result<Option<NewLink>, AskError<UserConnectionError>> {
    let (proctor, subject) = (&asked.knock.proctor, &asked.knock.caller.terms.subject);
    let (Some(target), Ok(return_url)) = (server.target(&asked.wants.what), checked_return_url(return_url))
    else {
        return Ok(None);
    };
    let (name, id) = (target.connection, UserConnection::id(subject, target.connection));
    let account = proctor.directory.state::<UserConnection>(&id).await?;
    // One that is under way goes on: another in its place would make what the user is doing worthless.
    if let Some(open) = account.link().filter(|link| link.is_pending(now())) {
        return Ok(Some(NewLink::called(open.id().to_owned(), proctor, subject, name, &return_url)));
    }
    let link = NewLink::new(proctor, subject, name, &return_url);
    let by = By::Replica(proctor.replica.clone());
    proctor
        .directory
        .ask::<UserConnection, _>(&id, || async {
            let connection: Arc<Connection> = proctor
                .directory
                .state(name.as_str())
                .await
                .map_err(|_| AskError::Unavailable(asked.stream()))?;
            Ok(link.prepared(by.clone(), connection, LINK_SECONDS_DEFAULT))
        })
        .await?;
    Ok(Some(link))
}

fn with_link(asked: &Asked<'_>, fault: Fault, link: &NewLink) -> Fault {
    let message = format!(
        "To use {}, connect your account first, then try again.",
        crate::mcp::members::shown(asked.wants.what.name())
    );
    let elicitation = json!({ "mode": "url", "elicitationId": link.id, "url": link.url, "message": message });
    if !takes_urls(asked.capabilities) {
        // An agent that cannot ask by itself can still tell its user.
        let told = format!("{}. The user can connect it here: {}", fault.message, link.url);
        return Fault { message: told.into(), ..fault };
    }
    if asked.is_modern {
        let result = json!({
            "resultType": "input_required",
            "inputRequests": { "connect": { "method": "elicitation/create", "params": elicitation } },
        });
        return fault.with_result(result.to_string());
    }
    let mut data = fault.data.as_deref().map_or(Ok(json!({})), serde_json::from_str::<Value>);
    if let Ok(Value::Object(data)) = &mut data {
        data.insert("elicitations".to_owned(), json!([elicitation]));
    }
    let data = data.unwrap_or_else(|_| json!({ "elicitations": [elicitation] }));
    Fault { code: codes::URL_ELICITATION_REQUIRED, message: message.into(), ..fault }
        .with_data(data.to_string())
}

/// Whether the client can ask its user to visit an address.
fn takes_urls(capabilities: Option<&RawValue>) -> bool {
    let declared = capabilities.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    declared.is_some_and(|declared| declared["elicitation"]["url"].is_object())
}
