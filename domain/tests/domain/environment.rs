//! Environment variables that each user brings: which an administrator may name, and which credentials
//! are ones.

use std::sync::Arc;

use proctor_domain::Micros;
use proctor_domain::connection::{
    AuthMethod, Connection, ConnectionCommand, ConnectionError, ConnectionEvent, CredentialKind, Settings,
    Transport,
};
use proctor_domain::environment::{LABEL_CHARS_MAX, SettingsError, VARIABLES_MAX, Variable};
use proctor_domain::user_connection::{
    CONFIRM_SECONDS, Status, UserConnection, UserConnectionCommand, UserConnectionError, UserConnectionEvent,
};

use crate::scene::{GMAIL, NOW, account, by, connection, given, name, settings};

fn variable(name: &str) -> Variable {
    Variable { name: name.to_owned(), label: None }
}

fn of_names(names: &[&str]) -> Vec<Variable> {
    names.iter().map(|name| variable(name)).collect()
}

/// A child process that has `REGION` from the connection and these from each user.
fn child(variables: Vec<Variable>) -> Settings {
    let (command, args, env) = ("notes".to_owned(), Vec::new(), vec!["REGION".to_owned()]);
    let transport = Transport::Stdio { command, args, env };
    Settings { transport, auth: AuthMethod::Environment { variables }, ..settings() }
}

fn register(settings: Settings) -> ConnectionCommand {
    ConnectionCommand::Register { by: by(), settings }
}

#[track_caller]
fn refused(settings: &Settings, error: &SettingsError) {
    let error = ConnectionError::Settings(error.clone());
    given::<Connection>(vec![]).when(register(settings.clone())).then_expect_error(error.clone());
    let registered =
        ConnectionEvent::ConnectionRegistered { by: by(), settings: crate::scene::settings(), generation: 1 };
    let reconfigure =
        ConnectionCommand::Reconfigure { by: by(), settings: settings.clone(), new_secrets: true };
    given::<Connection>(vec![registered]).when(reconfigure).then_expect_error(error);
}

#[test]
fn a_child_process_may_want_variables_of_each_user() {
    let labelled = Variable { name: "API_KEY".to_owned(), label: Some("Clé d’accès".to_owned()) };
    for variables in [
        of_names(&["API_KEY"]),
        vec![labelled, variable("_x9")],
        (0..VARIABLES_MAX).map(|n| variable(&format!("V{n}"))).collect(),
        of_names(&["GITHUB_TOKEN", "HOME_ASSISTANT_TOKEN", "PATHS", "PYTHONANYWHERE_API_TOKEN", "LDAP_KEY"]),
    ] {
        let settings = child(variables);
        let registered =
            ConnectionEvent::ConnectionRegistered { by: by(), settings: settings.clone(), generation: 1 };
        given::<Connection>(vec![]).when(register(settings)).then_expect_events(vec![registered]);
    }
}

#[test]
fn what_a_transport_cannot_carry_is_refused() {
    let remote = Settings { auth: child(of_names(&["API_KEY"])).auth, ..settings() };
    refused(&remote, &SettingsError::NoChild);
    let bearer = AuthMethod::Bearer { header: "Authorization".into(), format: "Bearer {secret}".into() };
    for auth in [AuthMethod::Basic, bearer.clone()] {
        refused(&Settings { auth, ..child(Vec::new()) }, &SettingsError::NoHeader);
    }
    refused(&Settings { shared: true, ..child(of_names(&["API_KEY"])) }, &SettingsError::Shared);
    refused(&Settings { shared: true, auth: bearer, ..settings() }, &SettingsError::Shared);
}

#[test]
fn a_variable_is_named_once_so_that_every_environment_can_have_it() {
    let too_many = (0..=VARIABLES_MAX).map(|n| variable(&format!("V{n}"))).collect();
    for variables in [Vec::new(), too_many] {
        refused(&child(variables), &SettingsError::Count);
    }
    for wrong in ["", "1A", "A=B", "A B", "Ä", "A-B", "A\0B"] {
        let shown = wrong.escape_debug().to_string();
        refused(&child(of_names(&[wrong])), &SettingsError::Name(shown));
    }
    let long = "A".repeat(129);
    refused(&child(of_names(&[&long])), &SettingsError::Name("A".repeat(128)));
    refused(&child(of_names(&["A", "B", "A"])), &SettingsError::Twice("A".to_owned()));
    refused(&child(of_names(&["REGION"])), &SettingsError::SetForAll("REGION".to_owned()));
    for label in ["", "  ", "a\nb", &"x".repeat(LABEL_CHARS_MAX + 1)] {
        let variable = Variable { name: "A".to_owned(), label: Some(label.to_owned()) };
        refused(&child(vec![variable]), &SettingsError::Label("A".to_owned()));
    }
}

#[test]
fn no_user_chooses_what_runs() {
    for name in [
        "PATH",
        "HOME",
        "LANG",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "BASH_ENV",
        "ENV",
        "IFS",
        "SHELL",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "npm_config_registry",
        "Path",
    ] {
        refused(&child(of_names(&[name])), &SettingsError::Running(name.to_owned()));
    }
}

/// The connection `gmail` as a child process that wants these of each user.
fn wants(names: &[&str]) -> Arc<Connection> {
    let settings = child(of_names(names));
    let event = ConnectionEvent::ConnectionReconfigured { by: by(), settings, generation: 2 };
    connection(&GMAIL, [(4, event)])
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn activate(names: &[&str], grounds: Arc<Connection>) -> UserConnectionCommand {
    UserConnectionCommand::Activate {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Environment,
        variables: owned(names),
        grounds,
        generation: 1,
    }
}

fn activated(names: &[&str], link: Option<&str>) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionActivated {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Environment,
        variables: owned(names),
        generation: 1,
        link: link.map(str::to_owned),
        scopes: Vec::new(),
        expires_at: None,
    }
}

#[test]
fn a_credential_has_exactly_the_variables_that_are_wanted() {
    let wanted = ["USER_NAME", "API_KEY"];
    given::<UserConnection>(vec![])
        .when(activate(&["API_KEY", "USER_NAME"], wants(&wanted)))
        .then_expect_events(vec![activated(&["API_KEY", "USER_NAME"], None)]);
    for other in
        [&[][..], &["API_KEY"], &["API_KEY", "REGION"], &["API_KEY", "USER_NAME", "REGION"], &["API_KEY"; 2]]
    {
        given::<UserConnection>(vec![])
            .when(activate(other, wants(&wanted)))
            .then_expect_error(UserConnectionError::OtherVariables(name("gmail")));
    }
}

#[test]
fn an_account_with_other_variables_than_are_wanted_by_now_is_as_good_as_none() {
    let account = account([activated(&["API_KEY"], None)]);
    for (names, status) in [
        (&["API_KEY"][..], Status::Active),
        (&["API_KEY", "USER_NAME"], Status::Missing),
        (&["USER_NAME"], Status::Missing),
    ] {
        assert_eq!(account.status_for(wants(names).takes().unwrap()), status, "{names:?}");
    }
    assert_eq!(account.status_for(CredentialKind::Bearer), Status::Missing);
}

#[test]
fn what_a_person_typed_is_put_in_force_only_where_it_is_still_what_is_wanted() {
    let issued = UserConnectionEvent::UserConnectionLinkIssued {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Environment,
        link: "lnk_1".to_owned(),
        expires_at: Micros(NOW.0 + 600_000_000),
    };
    let authorized = UserConnectionEvent::UserConnectionAuthorized {
        link: "lnk_1".to_owned(),
        kind: CredentialKind::Environment,
        variables: owned(&["API_KEY"]),
        scopes: Vec::new(),
        expires_at: None,
        code: "hash".to_owned(),
        confirm_by: NOW.plus_seconds(CONFIRM_SECONDS),
    };
    let authorize = UserConnectionCommand::Authorize {
        at: NOW,
        link: "lnk_1".to_owned(),
        kind: CredentialKind::Environment,
        variables: owned(&["API_KEY"]),
        scopes: Vec::new(),
        expires_at: None,
        code: "hash".to_owned(),
    };
    given::<UserConnection>(vec![issued.clone()])
        .when(authorize)
        .then_expect_events(vec![authorized.clone()]);
    let confirm = |grounds| UserConnectionCommand::Confirm {
        at: NOW,
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        grounds,
        link: "lnk_1".to_owned(),
        code: "hash".to_owned(),
        generation: 1,
    };
    let before = vec![issued, authorized];
    given::<UserConnection>(before.clone())
        .when(confirm(wants(&["API_KEY"])))
        .then_expect_events(vec![activated(&["API_KEY"], Some("lnk_1"))]);
    given::<UserConnection>(before)
        .when(confirm(wants(&["API_KEY", "USER_NAME"])))
        .then_expect_error(UserConnectionError::OtherVariables(name("gmail")));
}
