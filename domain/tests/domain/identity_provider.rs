//! IdentityProvider: every command, in every state that answers it differently.

use proctor_domain::identity_provider::{
    Algorithm, IdentityProvider, IdentityProviderCommand as Command, IdentityProviderError,
    IdentityProviderEvent, Settings,
};

use crate::scene::{by, given, provider, provider_settings, reason};

fn other_settings() -> Settings {
    Settings { algorithms: vec![Algorithm::EdDSA], ..provider_settings() }
}

fn registered() -> IdentityProviderEvent {
    IdentityProviderEvent::IdentityProviderRegistered { by: by(), settings: provider_settings() }
}

fn revised() -> IdentityProviderEvent {
    IdentityProviderEvent::IdentityProviderRevised { by: by(), settings: other_settings() }
}

fn retired() -> IdentityProviderEvent {
    IdentityProviderEvent::IdentityProviderRetired { by: by(), reason: reason() }
}

fn register() -> Command {
    Command::Register { by: by(), settings: provider_settings() }
}

fn revise(settings: Settings) -> Command {
    Command::Revise { by: by(), settings }
}

fn retire() -> Command {
    Command::Retire { by: by(), reason: reason() }
}

#[test]
fn a_new_provider_is_registered_once() {
    given::<IdentityProvider>(vec![]).when(register()).then_expect_events(vec![registered()]);
    given::<IdentityProvider>(vec![registered()])
        .when(register())
        .then_expect_error(IdentityProviderError::Exists);
}

#[test]
fn nothing_but_registering_can_be_asked_of_an_unknown_provider() {
    for command in [revise(other_settings()), retire()] {
        given::<IdentityProvider>(vec![]).when(command).then_expect_error(IdentityProviderError::Unknown);
    }
}

#[test]
fn setting_it_anew_is_recorded_unless_nothing_changes() {
    given::<IdentityProvider>(vec![registered()])
        .when(revise(other_settings()))
        .then_expect_events(vec![revised()]);
    given::<IdentityProvider>(vec![registered()])
        .when(revise(provider_settings()))
        .then_expect_events(vec![]);
    given::<IdentityProvider>(vec![registered(), revised()])
        .when(revise(other_settings()))
        .then_expect_events(vec![]);
}

#[test]
fn a_retired_provider_stays_retired_and_its_name_is_never_used_again() {
    given::<IdentityProvider>(vec![registered()]).when(retire()).then_expect_events(vec![retired()]);
    given::<IdentityProvider>(vec![registered(), retired()]).when(retire()).then_expect_events(vec![]);
    for command in [register(), revise(other_settings())] {
        given::<IdentityProvider>(vec![registered(), retired()])
            .when(command)
            .then_expect_error(IdentityProviderError::Retired);
    }
}

#[test]
fn the_state_says_whether_it_is_in_use_and_how_it_is_set() {
    let unknown = IdentityProvider::default();
    assert!(!unknown.is_usable() && !unknown.is_retired() && unknown.settings().is_none());
    let now = provider([(1, revised())]);
    assert!(now.is_usable());
    assert_eq!(now.settings().map(|settings| (**settings).clone()), Some(other_settings()));
    let then = provider([(1, retired())]);
    assert!(!then.is_usable() && then.is_retired());
    assert_eq!(then.settings().map(|settings| (**settings).clone()), Some(provider_settings()));
}

#[test]
fn no_algorithm_can_be_named_that_needs_a_shared_secret_or_nothing() {
    for name in ["none", "None", "HS256", "HS384", "HS512", "rs256", ""] {
        assert_eq!(Algorithm::named(name), None, "{name}");
    }
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("\"{}\"", algorithm.name()));
    }
}
