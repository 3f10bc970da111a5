//! The one table that says which problem each error of the domain and the rooms below is.

use std::convert::Infallible;

use proctor_domain::Name;
use proctor_domain::api_key::ApiKeyError;
use proctor_domain::connection::{ConnectionError, Feature};
use proctor_domain::identity_provider::IdentityProviderError;
use proctor_domain::purpose_keys::PurposeKeysError;
use proctor_domain::session::SessionError;
use proctor_domain::subject::SubjectError;
use proctor_domain::user_connection::{Status, UserConnectionError};
use proctor_domain::virtual_server::VirtualServerError;
use proctor_domain::webhook::WebhookError;
use serde_json::json;

use super::problem::{Code, Problem};
use crate::actors::{AskError, KeyringError};
use crate::journal::{AppendError, StoreError};
use crate::manifests::ManifestsError;
use crate::targets::TargetError;
use crate::upstream::{FailureKind, UpstreamError};

impl<E: std::error::Error + 'static> From<AskError<E>> for Problem
where
    Self: From<E>,
{
    fn from(error: AskError<E>) -> Self {
        match error {
            AskError::Nonsense(error) => error.into(),
            AskError::Append(error) => error.into(),
            error @ (AskError::Stale(_) | AskError::Unavailable(_)) => {
                Self::new(Code::Busy, error.to_string())
            }
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::Store(_) => Code::JournalUnavailable,
            AppendError::InDoubt(_) => Code::InDoubt,
            AppendError::SideWriteExists { .. } => Code::WrittenMeanwhile,
            AppendError::Halted(_) => Code::JournalHalted,
            AppendError::Stopping => Code::Stopping,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        // What the database said may name files of the machine.
        Self::new(Code::JournalUnavailable, "failed to read the journal: try again soon")
    }
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        let code = match &error {
            ConnectionError::Unknown => Code::ConnectionNotFound,
            ConnectionError::Exists => Code::ConnectionExists,
            ConnectionError::Retired => Code::ConnectionRetired,
            ConnectionError::Reconfigured => Code::ConnectionReconfigured,
            ConnectionError::OfferedOtherwise => Code::CatalogChanged,
            ConnectionError::NoSuchTool { tool, .. } => unknown(tool),
            ConnectionError::Settings(_) => Code::InvalidConnection,
        };
        Self::new(code, error.to_string())
    }
}

fn unknown(feature: &Feature) -> Code {
    match feature {
        Feature::Tool(_) => Code::UnknownTool,
        Feature::Prompt(_) => Code::UnknownPrompt,
        Feature::ResourceTemplate(_) => Code::UnknownResourceTemplate,
    }
}

impl From<VirtualServerError> for Problem {
    fn from(error: VirtualServerError) -> Self {
        let code = match &error {
            VirtualServerError::Unknown => Code::VirtualServerNotFound,
            VirtualServerError::Exists => Code::VirtualServerExists,
            VirtualServerError::Retired => Code::VirtualServerRetired,
            VirtualServerError::Invalid(_) => Code::InvalidDefinition,
            VirtualServerError::UnknownConnection { .. } => Code::UnknownConnection,
            VirtualServerError::UnknownProvider { .. } => Code::UnknownIdentityProvider,
            VirtualServerError::NoCatalog(_) => Code::CatalogNotRead,
            VirtualServerError::UnknownFeature { feature, .. } => unknown(feature),
            VirtualServerError::NoResources(_) => Code::NoResources,
            VirtualServerError::HeldFeature { .. } => Code::ToolHeld,
        };
        Self::new(code, error.to_string())
    }
}

impl From<IdentityProviderError> for Problem {
    fn from(error: IdentityProviderError) -> Self {
        let code = match &error {
            IdentityProviderError::Unknown => Code::IdentityProviderNotFound,
            IdentityProviderError::Exists => Code::IdentityProviderExists,
            IdentityProviderError::Retired => Code::IdentityProviderRetired,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        let code = match &error {
            SessionError::Unknown => Code::SessionNotFound,
            SessionError::UnknownServer(_) => Code::VirtualServerNotFound,
            SessionError::RetiredServer(_) => Code::VirtualServerRetired,
            SessionError::SubjectBlocked => Code::UserBlocked,
            SessionError::UnknownSubject => Code::UserNotFound,
            SessionError::UnknownTool { .. } => Code::UnknownTool,
            SessionError::Ttl(_) => Code::InvalidTerms,
            SessionError::AccountsMissing(missing) => {
                let shown = |(name, status): &(Name, Status)| json!({ "connection": name, "status": status });
                let missing: Vec<_> = missing.iter().map(shown).collect();
                return Self::new(Code::AccountsMissing, error.to_string()).with("missing", missing);
            }
            // Identifiers are made here, so that none of these can be asked for at this door.
            SessionError::Exists
            | SessionError::UnknownCall(_)
            | SessionError::CallExists(_)
            | SessionError::TooManyInputs
            | SessionError::TooManyLogLevels
            | SessionError::Ended
            // Nor is a session of a login opened at this one.
            | SessionError::NoLogin { .. }
            | SessionError::ProviderNotInUse(_)
            | SessionError::Over => {
                return Self::internal("change a session", &error);
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<UserConnectionError> for Problem {
    fn from(error: UserConnectionError) -> Self {
        let code = match &error {
            UserConnectionError::Unknown => Code::UserConnectionNotFound,
            UserConnectionError::NoConnection(_) => Code::ConnectionNotFound,
            UserConnectionError::Shared(_)
            | UserConnectionError::OtherKind { .. }
            | UserConnectionError::OtherVariables(_) => Code::InvalidCredential,
            UserConnectionError::Overtaken => Code::WrittenMeanwhile,
            UserConnectionError::LinkSeconds => Code::InvalidLink,
            UserConnectionError::LinkUnknown
            | UserConnectionError::LinkUsed
            | UserConnectionError::OtherBrowser
            | UserConnectionError::CodeUnknown => Code::CodeUnknown,
            UserConnectionError::LinkExpired | UserConnectionError::CodeExpired => Code::CodeExpired,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SubjectError> for Problem {
    fn from(error: SubjectError) -> Self {
        match error {
            SubjectError::Unknown => Self::new(Code::UserNotFound, error.to_string()),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let code = match &error {
            WebhookError::Unknown => Code::WebhookNotFound,
            WebhookError::Retired => Code::WebhookRetired,
            WebhookError::Gone => Code::WebhookGone,
            WebhookError::Overtaken => Code::WrittenMeanwhile,
            WebhookError::Patterns
            | WebhookError::UnknownPattern(_)
            | WebhookError::Description
            | WebhookError::Overlap => Code::InvalidWebhook,
            // Identifiers are made here, so that this cannot be asked for at this door.
            WebhookError::Exists => return Self::internal("create a webhook", &error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<PurposeKeysError> for Problem {
    fn from(error: PurposeKeysError) -> Self {
        let message = error.to_string();
        match error {
            PurposeKeysError::Waiting { kid, active_at } => Self::new(Code::KeyWaiting, message)
                .with("kid", kid)
                .with("active_at", super::time::shown(active_at)),
            PurposeKeysError::TooMany => Self::new(Code::TooManyKeys, message),
        }
    }
}

impl From<ApiKeyError> for Problem {
    fn from(error: ApiKeyError) -> Self {
        let code = match &error {
            ApiKeyError::Unknown => Code::ApiKeyNotFound,
            ApiKeyError::LastAdministrator => Code::LastAdministrator,
            // Keys are made here, so that none can be created twice at this door.
            ApiKeyError::Exists | ApiKeyError::Revoked => {
                return Self::internal("create an API key", &error);
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<Infallible> for Problem {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

impl From<ManifestsError> for Problem {
    fn from(error: ManifestsError) -> Self {
        match error {
            ManifestsError::Unavailable(_) => Self::new(Code::Busy, error.to_string()),
            ManifestsError::Store(error) => error.into(),
            ManifestsError::DefinitionMissing(_) => Self::internal("read a tool's definition", &error),
            ManifestsError::Manifest(error) => Self::new(Code::InvalidDefinition, error.to_string()),
        }
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::NotInUse(_) => Self::new(Code::ConnectionNotFound, error.to_string()),
            TargetError::Store(error) => error.into(),
            TargetError::Credential { .. } => Self::new(Code::InvalidCredential, error.to_string()),
            TargetError::Secrets { .. } => {
                tracing::error!(%error, "a connection's secrets do not open");
                Self::new(Code::Internal, error.to_string())
            }
        }
    }
}

impl From<KeyringError> for Problem {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Store(error) => error.into(),
            KeyringError::Open(error) => Self::internal("open a data key", &error),
            KeyringError::Vault(error) => Self::internal("take in the keys of this installation", &error),
            KeyringError::Gone(_) => Self::new(Code::Erased, error.to_string()),
        }
    }
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        let code = match error.kind {
            FailureKind::Configuration | FailureKind::AddressForbidden => Code::UpstreamRefused,
            FailureKind::Unreachable
            | FailureKind::Timeout
            | FailureKind::TooLarge
            | FailureKind::Protocol
            | FailureKind::Redirect
            | FailureKind::Unauthorized
            | FailureKind::Forbidden
            | FailureKind::Http(_)
            | FailureKind::NotLet => Code::UpstreamFailed,
            FailureKind::Busy => Code::Busy,
        };
        Self::new(code, error.to_string()).with("failure", error.kind.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::ResponseError as _;
    use proctor_domain::virtual_server::VirtualServer;
    use proctor_domain::{Name, StreamId};

    use super::*;

    #[test]
    fn trouble_of_the_store_is_to_be_tried_again_and_never_the_callers_fault() {
        let lost = || StoreError::Database { doing: "read", reason: "/data/journal.sqlite: gone".to_owned() };
        let stream = StreamId::of::<VirtualServer>("desk");
        for problem in [
            Problem::from(AppendError::Store(Arc::new(lost()))),
            Problem::from(AppendError::Stopping),
            Problem::from(AppendError::Halted("it went backwards".into())),
            Problem::from(AskError::<VirtualServerError>::Unavailable(stream)),
            Problem::from(lost()),
        ] {
            let response = problem.error_response();
            assert_eq!(response.status(), 503, "{problem}");
            assert!(response.headers().contains_key("retry-after"), "{problem}");
            assert!(!problem.detail.contains("/data"), "{problem}");
        }
    }

    #[test]
    fn unknown_is_404_taken_is_409_and_nonsense_is_422() {
        let name = Name::new("gmail").unwrap();
        let unknown_tool = VirtualServerError::UnknownFeature {
            connection: name,
            feature: "x".into(),
            known: vec!["y".into()],
        };
        for (problem, status) in [
            (Problem::from(ConnectionError::Unknown), 404),
            (Problem::from(AskError::Nonsense(VirtualServerError::Unknown)), 404),
            (Problem::from(SessionError::Unknown), 404),
            (Problem::from(ConnectionError::Exists), 409),
            (Problem::from(VirtualServerError::Retired), 409),
            (Problem::from(SessionError::Ttl(59)), 422),
            (Problem::from(unknown_tool), 422),
        ] {
            assert_eq!(problem.status_code(), status, "{problem}");
        }
    }
}
