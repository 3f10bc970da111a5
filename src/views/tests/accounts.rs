//! What happens to users' accounts and to identity providers, as histories have it.

use proctor_domain::connection::CredentialKind;
use proctor_domain::identity_provider::{Algorithm, IdentityProviderEvent, Settings};
use proctor_domain::user_connection::UserConnectionEvent;
use proctor_domain::{Event, Micros};

use super::history::{by, name};

/// How many there are.
pub(super) const KINDS: usize = 13;

/// One of them, with its stream's kind and identifier.
pub(super) fn event(pick: usize) -> (&'static str, &'static str, Event) {
    use UserConnectionEvent as Account;
    let (link, connection) = ("lnk_1".to_owned(), name("con0"));
    let (kind, scopes, at) = (CredentialKind::Oauth2, vec!["read".to_owned()], Micros(9));
    let settings = || Settings {
        issuer: "https://login.example".into(),
        audience: None,
        user_claim: "sub".into(),
        algorithms: vec![Algorithm::ES256],
        scopes: Vec::new(),
        private_network: false,
    };
    let account = match pick {
        0 => {
            return provider(IdentityProviderEvent::IdentityProviderRegistered {
                by: by(),
                settings: settings(),
            });
        }
        1 => {
            return provider(IdentityProviderEvent::IdentityProviderRevised {
                by: by(),
                settings: settings(),
            });
        }
        2 => {
            return provider(IdentityProviderEvent::IdentityProviderRetired {
                by: by(),
                reason: "old".into(),
            });
        }
        3 => Account::UserConnectionLinkIssued {
            by: by(),
            subject: "sub_0".into(),
            connection,
            kind,
            link,
            expires_at: at,
        },
        4 => Account::UserConnectionAuthorizationStarted { link, attempt: 1, browser: "b".into() },
        5 => Account::UserConnectionCodeTaken { link, attempt: 1 },
        6 => Account::UserConnectionAuthorized {
            link,
            kind,
            variables: Vec::new(),
            scopes,
            expires_at: None,
            code: "c".into(),
            confirm_by: at,
        },
        7 => Account::UserConnectionAuthorizationFailed { link, reason: "access_denied".into() },
        8 => Account::UserConnectionActivated {
            by: by(),
            subject: "sub_0".into(),
            connection,
            kind,
            variables: Vec::new(),
            generation: 1,
            link: Some(link),
            scopes,
            expires_at: None,
        },
        9 => Account::UserConnectionRefreshed { generation: 2, scopes, expires_at: None },
        10 => Account::UserConnectionRefreshFailed {
            generation: 2,
            reason: "provider_unavailable".into(),
            retry_at: at,
        },
        11 => Account::UserConnectionExpired { generation: 2, reason: "refresh_refused".into() },
        _ => Account::UserConnectionDisconnected { by: by(), reason: "left".into() },
    };
    ("user_connection", "sub_0.con0", account.into())
}

fn provider(event: IdentityProviderEvent) -> (&'static str, &'static str, Event) {
    ("identity_provider", "corp", event.into())
}
