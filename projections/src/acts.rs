//! The audit trail's other half: one row per administrative act, with who did it.
//!
//! An act is every event that says by whom it was done, and what Proctor noticed at its doors.

use std::collections::BTreeMap;

use proctor_domain::api_key::{ApiKeyEvent, Role};
use proctor_domain::connection::{Catalog, ConnectionEvent, Feature, Features, Offered, Settings, Settled};
use proctor_domain::identity_provider::IdentityProviderEvent;
use proctor_domain::purpose_keys::PurposeKeysEvent;
use proctor_domain::session::SessionEvent;
use proctor_domain::subject::SubjectEvent;
use proctor_domain::user_connection::UserConnectionEvent;
use proctor_domain::virtual_server::{Capture, Definition, VirtualServerEvent};
use proctor_domain::watch::{Door, WatchEvent};
use proctor_domain::webhook::{self, WebhookEvent};
use proctor_domain::{By, Event, Recorded};
use serde_json::{Value as Json, json};

use crate::column::admin_acts as column;
use crate::facts::position;
use crate::sessions::{access_code, by_columns};
use crate::{Change, Known, RowChange, Table, Unfounded, Value};

struct Act<'a> {
    by: Option<&'a By>,
    kind: &'static str,
    object: (&'static str, &'a str),
    subject: Value<'a>,
    reason: Option<&'a str>,
    details: Json,
}

pub(crate) fn project<'a>(
    recorded: &'a Recorded,
    known: Known<'_>,
    changes: &mut Vec<RowChange<'a>>,
) -> Result<(), Unfounded> {
    let act = match &recorded.event {
        Event::Connection(event) => connection(recorded, event),
        Event::VirtualServer(event) => virtual_server(recorded, event),
        Event::IdentityProvider(event) => identity_provider(recorded, event),
        Event::Subject(event) => subject(recorded, event),
        Event::UserConnection(event) => match user_connection(recorded, event) {
            Some(act) => act,
            None => return Ok(()),
        },
        Event::ApiKey(event) => api_key(recorded, event),
        Event::PurposeKeys(event) => purpose_keys(recorded, event),
        Event::Watch(event) => watch(event),
        Event::Webhook(event) => webhook(recorded, event),
        Event::Session(event) => match session(recorded, event, known)? {
            Some(act) => act,
            None => return Ok(()),
        },
    };
    let (by_kind, by_id) = act.by.map_or((Value::Null, Value::Null), by_columns);
    changes.push(RowChange {
        change: Change::Insert,
        table: Table::AdminActs,
        key: vec![position(recorded).into()],
        columns: vec![
            (column::recorded_at_us, recorded.place.recorded_at.0.into()),
            (column::by_kind, by_kind),
            (column::by_id, by_id),
            (column::kind, act.kind.into()),
            (column::object_kind, act.object.0.into()),
            (column::object_id, act.object.1.into()),
            (column::subject, act.subject),
            (column::reason, act.reason.into()),
            (column::details, act.details.to_string().into()),
        ],
    });
    Ok(())
}

impl<'a> Act<'a> {
    /// An act on the aggregate that the event belongs to.
    fn on(recorded: &'a Recorded, kind: &'static str, by: &'a By) -> Self {
        Self {
            by: Some(by),
            kind,
            object: (recorded.stream.kind, &recorded.stream.id),
            subject: Value::Null,
            reason: None,
            details: json!({}),
        }
    }

    fn because(self, reason: &'a str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn with(self, details: Json) -> Self {
        Self { details, ..self }
    }

    fn about(self, subject: impl Into<Value<'a>>) -> Self {
        Self { subject: subject.into(), ..self }
    }
}

fn connection<'a>(recorded: &'a Recorded, event: &'a ConnectionEvent) -> Act<'a> {
    use ConnectionEvent as Event;
    match event {
        Event::ConnectionRegistered { by, settings, generation } => {
            Act::on(recorded, "connection_registered", by).with(settings_details(settings, *generation))
        }
        Event::ConnectionReconfigured { by, settings, generation } => {
            Act::on(recorded, "connection_reconfigured", by).with(settings_details(settings, *generation))
        }
        Event::CatalogRefreshed { by, catalog } => {
            Act::on(recorded, "catalog_refreshed", by).with(catalog_details(catalog))
        }
        Event::CatalogObserved { by, offered } => {
            Act::on(recorded, "catalog_observed", by).with(offered_details(offered))
        }
        Event::CatalogAccepted { by, policy, tools, catalog } => {
            let mut details = settled_details(tools, catalog);
            details["policy"] = policy.code().into();
            Act::on(recorded, "catalog_accepted", by).with(details)
        }
        Event::CatalogApproved { by, offered, tools, catalog } => {
            let mut details = settled_details(tools, catalog);
            details["offered"] = offered.as_str().into();
            Act::on(recorded, "catalog_approved", by).with(details)
        }
        Event::ConnectionTested { by, failure } => {
            Act::on(recorded, "connection_tested", by).with(json!({ "failure": failure }))
        }
        Event::ConnectionSessionsCut { by, reason } => {
            Act::on(recorded, "connection_sessions_cut", by).because(reason)
        }
        Event::ConnectionRetired { by, reason } => {
            Act::on(recorded, "connection_retired", by).because(reason)
        }
    }
}

fn virtual_server<'a>(recorded: &'a Recorded, event: &'a VirtualServerEvent) -> Act<'a> {
    use VirtualServerEvent as Event;
    match event {
        Event::VirtualServerDefined { by, definition } => {
            Act::on(recorded, "virtual_server_defined", by).with(definition_details(definition))
        }
        Event::VirtualServerRevised { by, definition } => {
            Act::on(recorded, "virtual_server_revised", by).with(definition_details(definition))
        }
        Event::VirtualServerSessionsCut { by, reason } => {
            Act::on(recorded, "virtual_server_sessions_cut", by).because(reason)
        }
        Event::VirtualServerRetired { by, reason } => {
            Act::on(recorded, "virtual_server_retired", by).because(reason)
        }
    }
}

fn identity_provider<'a>(recorded: &'a Recorded, event: &'a IdentityProviderEvent) -> Act<'a> {
    use IdentityProviderEvent as Event;
    match event {
        Event::IdentityProviderRegistered { by, settings } => {
            Act::on(recorded, "identity_provider_registered", by).with(json!(settings))
        }
        Event::IdentityProviderRevised { by, settings } => {
            Act::on(recorded, "identity_provider_revised", by).with(json!(settings))
        }
        Event::IdentityProviderRetired { by, reason } => {
            Act::on(recorded, "identity_provider_retired", by).because(reason)
        }
    }
}

fn subject<'a>(recorded: &'a Recorded, event: &'a SubjectEvent) -> Act<'a> {
    use SubjectEvent as Event;
    let act = match event {
        Event::SubjectRegistered { by } => Act::on(recorded, "subject_registered", by),
        Event::SubjectSessionsCut { by, reason } => {
            Act::on(recorded, "subject_sessions_cut", by).because(reason)
        }
        Event::SubjectBlocked { by, reason } => Act::on(recorded, "subject_blocked", by).because(reason),
        Event::SubjectUnblocked { by, reason } if reason.is_empty() => {
            Act::on(recorded, "subject_unblocked", by)
        }
        Event::SubjectUnblocked { by, reason } => Act::on(recorded, "subject_unblocked", by).because(reason),
    };
    act.about(&*recorded.stream.id)
}

fn user_connection<'a>(recorded: &'a Recorded, event: &'a UserConnectionEvent) -> Option<Act<'a>> {
    use UserConnectionEvent as Event;
    let id = &*recorded.stream.id;
    // The stream's identifier is the user and the connection.
    let (subject, connection) = id.split_once('.').unwrap_or((id, ""));
    // What nobody with a key did: a person in a browser, an authorization server, Proctor itself.
    let noticed = |kind, reason: Option<&'a String>, details| Act {
        by: None,
        kind,
        object: (recorded.stream.kind, id),
        subject: Value::Null,
        reason: reason.map(String::as_str),
        details,
    };
    let act = match event {
        Event::UserConnectionActivated { by, kind, generation, link, scopes, .. } => {
            let mut details =
                json!({ "connection": connection, "kind": kind.code(), "generation": generation });
            if let Some(link) = link {
                details["link"] = json!(link);
                details["scopes"] = json!(scopes);
            }
            Act::on(recorded, "user_connection_activated", by).with(details)
        }
        Event::UserConnectionLinkIssued { by, kind, link, .. } => {
            let details = json!({ "connection": connection, "kind": kind.code(), "link": link });
            Act::on(recorded, "user_connection_link_issued", by).with(details)
        }
        // Steps on the way, and what happens by itself many times a day: the stream tells of them, and
        // among acts nobody would see the acts any more.
        Event::UserConnectionAuthorizationStarted { .. }
        | Event::UserConnectionCodeTaken { .. }
        | Event::UserConnectionRefreshClaimed { .. }
        | Event::UserConnectionRefreshed { .. }
        | Event::UserConnectionRefreshFailed { .. }
        | Event::UserConnectionCarriedOver { .. } => return None,
        Event::UserConnectionAuthorized { link, kind, scopes, .. } => {
            let details =
                json!({ "connection": connection, "kind": kind.code(), "link": link, "scopes": scopes });
            noticed("user_connection_authorized", None, details)
        }
        Event::UserConnectionAuthorizationFailed { link, reason } => {
            let details = json!({ "connection": connection, "link": link });
            noticed("user_connection_authorization_failed", Some(reason), details)
        }
        Event::UserConnectionExpired { generation, reason } => {
            let details = json!({ "connection": connection, "generation": generation });
            noticed("user_connection_expired", Some(reason), details)
        }
        Event::UserConnectionDisconnected { by, reason } => {
            let act = Act::on(recorded, "user_connection_disconnected", by).because(reason);
            act.with(json!({ "connection": connection }))
        }
    };
    Some(act.about(subject))
}

fn session<'a>(
    recorded: &'a Recorded,
    event: &'a SessionEvent,
    known: Known<'_>,
) -> Result<Option<Act<'a>>, Unfounded> {
    use SessionEvent as Event;
    Ok(match event {
        Event::SessionOpened { by, terms, version } => {
            let details = json!({
                "virtual_server": terms.virtual_server,
                "version": version,
                "access": access_code(terms.access),
                "tools": terms.tools,
                "expires_at_us": terms.expires_at.0,
                "calls_max": terms.calls_max,
                "calls_per_minute_max": terms.calls_per_minute_max,
                "labels": terms.label_indexes.len(),
            });
            Some(Act::on(recorded, "session_opened", by).about(terms.subject.as_str()).with(details))
        }
        Event::SessionRevoked { by, reason } => {
            let session = known.session_of(recorded)?;
            let details = json!({ "virtual_server": &*session.virtual_server });
            let act = Act::on(recorded, "session_revoked", by).because(reason);
            Some(act.about(&session.subject).with(details))
        }
        Event::ManifestServed { .. }
        | Event::ToolCallAdmitted { .. }
        | Event::InputRequested { .. }
        | Event::InputGiven { .. }
        | Event::LogLevelSet { .. }
        | Event::ToolCallRefused { .. }
        | Event::ToolCallRefusedAgain { .. }
        | Event::ToolCallCancelRequested { .. }
        | Event::ToolCallEnded { .. }
        | Event::ToolCallAbandoned { .. } => None,
    })
}

fn api_key<'a>(recorded: &'a Recorded, event: &'a ApiKeyEvent) -> Act<'a> {
    match event {
        ApiKeyEvent::ApiKeyCreated { by, name, role, expires_at } => {
            let role = match role {
                Role::Admin => "admin",
                Role::Minter => "minter",
                Role::Auditor => "auditor",
            };
            let details =
                json!({ "name": name, "role": role, "expires_at_us": expires_at.map(|micros| micros.0) });
            Act::on(recorded, "api_key_created", by).with(details)
        }
        ApiKeyEvent::ApiKeyRevoked { by, reason } => Act::on(recorded, "api_key_revoked", by).because(reason),
    }
}

fn purpose_keys<'a>(recorded: &'a Recorded, event: &'a PurposeKeysEvent) -> Act<'a> {
    match event {
        PurposeKeysEvent::PurposeKeyRotated { by, kid, active_at } => {
            let details = json!({ "kid": kid, "active_at_us": active_at.0 });
            Act::on(recorded, "purpose_key_rotated", by).with(details)
        }
    }
}

fn watch(event: &WatchEvent) -> Act<'_> {
    match event {
        WatchEvent::AuditTrailRead { by, what, filters, rows } => Act {
            by: Some(by),
            kind: "audit_trail_read",
            object: ("audit_trail", what),
            subject: Value::Null,
            reason: None,
            details: json!({ "filters": filters, "rows": rows }),
        },
        WatchEvent::AuthenticationsFailed { door, reason, minute, count } => Act {
            by: None,
            kind: "authentications_failed",
            object: (
                "door",
                match door {
                    Door::Mcp => "mcp",
                    Door::Api => "api",
                },
            ),
            subject: Value::Null,
            reason: Some(reason),
            details: json!({ "minute": minute, "count": count }),
        },
        WatchEvent::LoginRefused { provider, virtual_server, subject, reason, minute, count } => Act {
            by: None,
            kind: "login_refused",
            object: ("virtual_server", virtual_server.as_str()),
            subject: subject.as_str().into(),
            reason: Some(reason),
            details: json!({ "provider": provider, "minute": minute, "count": count }),
        },
        WatchEvent::ReplicaStarted { by, program } => Act {
            by: Some(by),
            kind: "replica_started",
            object: (
                "replica",
                match by {
                    By::Replica(replica) => replica.as_str(),
                    By::Key(key) => key.as_str(),
                    By::Login(provider) => provider.as_str(),
                },
            ),
            subject: Value::Null,
            reason: None,
            details: json!({ "program": program }),
        },
        WatchEvent::MasterKeyRotationBegun { by, key } => Act {
            by: Some(by),
            kind: "master_key_rotation_begun",
            object: ("master_key", key),
            subject: Value::Null,
            reason: None,
            details: json!({}),
        },
        WatchEvent::MasterKeyRotated { by, key, rows } => Act {
            by: Some(by),
            kind: "master_key_rotated",
            object: ("master_key", key),
            subject: Value::Null,
            reason: None,
            details: json!({ "rows": rows }),
        },
    }
}

fn webhook<'a>(recorded: &'a Recorded, event: &'a WebhookEvent) -> Act<'a> {
    use WebhookEvent as Event;
    match event {
        Event::WebhookCreated { by, settings, generation } => {
            let details = webhook_details(settings, Some(*generation));
            Act::on(recorded, "webhook_created", by).with(details)
        }
        Event::WebhookRevised { by, settings } => {
            Act::on(recorded, "webhook_revised", by).with(webhook_details(settings, None))
        }
        Event::WebhookSecretRotated { by, generation, overlap_seconds } => {
            let details = json!({ "generation": generation, "overlap_seconds": overlap_seconds });
            Act::on(recorded, "webhook_secret_rotated", by).with(details)
        }
        Event::WebhookTested { by } => Act::on(recorded, "webhook_tested", by),
        Event::WebhookRedelivered { by, delivery } => {
            Act::on(recorded, "webhook_redelivered", by).with(json!({ "delivery": delivery }))
        }
        Event::WebhookGone { by } => Act::on(recorded, "webhook_gone", by),
        Event::WebhookRetired { by, reason } => Act::on(recorded, "webhook_retired", by).because(reason),
    }
}

fn webhook_details(settings: &webhook::Settings, generation: Option<u32>) -> Json {
    let mut details = json!({
        "url": settings.url,
        "events": settings.events,
        "description": settings.description,
        "private_network": settings.private_network,
    });
    if let Some(generation) = generation {
        details["generation"] = generation.into();
    }
    details
}

fn settings_details(settings: &Settings, generation: u32) -> Json {
    json!({
        "transport": settings.transport,
        "auth": settings.auth,
        "private_network": settings.private_network,
        "shared": settings.shared,
        "drift": settings.drift.code(),
        "generation": generation,
    })
}

/// The catalog's digest stands for the definitions, which the event names one by one.
fn catalog_details(catalog: &Catalog) -> Json {
    json!({
        "digest": catalog.digest,
        "tools": catalog.tools().count(),
        "features": catalog.features.len(),
        "protocol_version": catalog.protocol_version,
        "era": catalog.era.code(),
    })
}

/// Which tools are held from here on, and what their definitions are.
fn offered_details(offered: &Offered) -> Json {
    json!({
        "digest": offered.digest,
        "changed": names(&offered.changed),
        "new": names(&offered.new),
        "gone": offered.gone.iter().map(escaped).collect::<Vec<_>>(),
    })
}

fn names(features: &Features) -> Json {
    features.iter().map(|(name, tool)| json!({ "tool": escaped(name), "digest": tool.digest })).collect()
}

/// Which definitions were in force, and which are from here on.
fn settled_details(tools: &BTreeMap<Feature, Settled>, catalog: &str) -> Json {
    let settled = |(name, settled): (&Feature, &Settled)| {
        let to = settled.to.as_ref().map(|tool| &tool.digest);
        json!({ "tool": escaped(name), "from": settled.from, "to": to })
    };
    json!({ "catalog": catalog, "tools": tools.iter().map(settled).collect::<Vec<_>>() })
}

/// A name that an upstream chose.
fn escaped(feature: &Feature) -> String {
    feature.to_string().escape_debug().to_string()
}

/// Names only: descriptions and fixed arguments can be long, and stand in the event.
fn definition_details(definition: &Definition) -> Json {
    let tools: Vec<Json> = definition
        .tools
        .iter()
        .zip(definition.tool_names())
        .map(|(tool, name)| json!({ "connection": tool.connection, "tool": tool.tool, "name": name }))
        .collect();
    let capture = match definition.capture {
        Capture::Full => "full",
        Capture::Digest => "digest",
        Capture::None => "none",
    };
    let mut details = json!({ "tools": tools, "capture": capture });
    let prompts = definition.prompts.iter().zip(definition.prompt_names());
    let prompts: Vec<Json> = prompts
        .map(|(it, name)| json!({ "connection": it.connection, "prompt": it.prompt, "name": name }))
        .collect();
    for (what, exposed) in [
        ("prompts", prompts),
        ("resources", definition.resources.iter().map(|it| json!(it)).collect()),
        ("resource_templates", definition.resource_templates.iter().map(|it| json!(it)).collect()),
    ] {
        if !exposed.is_empty() {
            details[what] = exposed.into();
        }
    }
    if let Some(login) = &definition.login {
        details["login"] = json!(login);
    }
    details
}
