//! Connecting an account by a link: every step, and who may take it.

use std::sync::Arc;

use proctor_domain::Micros;
use proctor_domain::connection::{Connection, CredentialKind};
use proctor_domain::user_connection::{
    ATTEMPTS_MAX, CONFIRM_SECONDS, Status, UserConnection, UserConnectionCommand, UserConnectionError,
    UserConnectionEvent,
};

use crate::scene::{NOW, account, activated, by, disconnected, given, name, of_each_user};

const ENDS: Micros = Micros(NOW.0 + 600_000_000);

fn issue(ttl_seconds: u32, grounds: Arc<Connection>) -> UserConnectionCommand {
    UserConnectionCommand::IssueLink {
        at: NOW,
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        grounds,
        link: "lnk_1".to_owned(),
        ttl_seconds,
    }
}

fn issued(link: &str) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionLinkIssued {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Bearer,
        link: link.to_owned(),
        expires_at: ENDS,
    }
}

fn start(at: Micros, browser: &str) -> UserConnectionCommand {
    UserConnectionCommand::StartAuthorization { at, link: "lnk_1".to_owned(), browser: browser.to_owned() }
}

fn started(attempt: u32, browser: &str) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionAuthorizationStarted {
        link: "lnk_1".to_owned(),
        attempt,
        browser: browser.to_owned(),
    }
}

fn take(at: Micros, attempt: u32, browser: &str) -> UserConnectionCommand {
    let (link, browser) = ("lnk_1".to_owned(), browser.to_owned());
    UserConnectionCommand::TakeCode { at, link, attempt, browser }
}

fn taken(attempt: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionCodeTaken { link: "lnk_1".to_owned(), attempt }
}

fn authorize(at: Micros, kind: CredentialKind) -> UserConnectionCommand {
    UserConnectionCommand::Authorize {
        at,
        link: "lnk_1".to_owned(),
        kind,
        variables: Vec::new(),
        scopes: vec!["read".to_owned()],
        expires_at: Some(ENDS),
        code: "hash".to_owned(),
    }
}

fn authorized() -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionAuthorized {
        link: "lnk_1".to_owned(),
        kind: CredentialKind::Bearer,
        variables: Vec::new(),
        scopes: vec!["read".to_owned()],
        expires_at: Some(ENDS),
        code: "hash".to_owned(),
        confirm_by: NOW.plus_seconds(CONFIRM_SECONDS),
    }
}

fn confirm(at: Micros, link: &str, code: &str, generation: u32) -> UserConnectionCommand {
    UserConnectionCommand::Confirm {
        at,
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        grounds: of_each_user(),
        link: link.to_owned(),
        code: code.to_owned(),
        generation,
    }
}

fn activated_by_link(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionActivated {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Bearer,
        variables: Vec::new(),
        generation,
        link: Some("lnk_1".to_owned()),
        scopes: vec!["read".to_owned()],
        expires_at: Some(ENDS),
    }
}

fn refused(before: Vec<UserConnectionEvent>, command: UserConnectionCommand, error: UserConnectionError) {
    given::<UserConnection>(before).when(command).then_expect_error(error);
}

#[test]
fn a_link_is_issued_for_a_connection_to_which_users_bring_something() {
    given::<UserConnection>(vec![])
        .when(issue(600, of_each_user()))
        .then_expect_events(vec![issued("lnk_1")]);
    refused(vec![], issue(600, Arc::default()), UserConnectionError::NoConnection(name("gmail")));
    refused(vec![], issue(59, of_each_user()), UserConnectionError::LinkSeconds);
    refused(vec![], issue(86_401, of_each_user()), UserConnectionError::LinkSeconds);
}

#[test]
fn one_browser_can_start_again_and_no_other_can() {
    let starts = |before, browser, attempt| {
        given::<UserConnection>(before)
            .when(start(NOW, browser))
            .then_expect_events(vec![started(attempt, browser)]);
    };
    starts(vec![issued("lnk_1")], "a", 1);
    starts(vec![issued("lnk_1"), started(1, "a")], "a", 2);
    refused(vec![issued("lnk_1"), started(1, "a")], start(NOW, "b"), UserConnectionError::LinkUsed);
    let often = vec![issued("lnk_1"), started(ATTEMPTS_MAX, "a")];
    refused(often, start(NOW, "a"), UserConnectionError::LinkUsed);
}

#[test]
fn a_link_that_is_over_used_or_replaced_starts_nothing() {
    refused(vec![], start(NOW, "a"), UserConnectionError::LinkUnknown);
    refused(vec![issued("lnk_1"), issued("lnk_2")], start(NOW, "a"), UserConnectionError::LinkUnknown);
    refused(vec![issued("lnk_1")], start(ENDS, "a"), UserConnectionError::LinkExpired);
    let used = vec![issued("lnk_1"), started(1, "a"), taken(1)];
    refused(used, start(NOW, "a"), UserConnectionError::LinkUsed);
    let over = vec![activated(1), issued("lnk_1"), disconnected()];
    refused(over, start(NOW, "a"), UserConnectionError::LinkUnknown);
}

#[test]
fn an_answer_is_taken_in_once_for_the_newest_start_of_the_same_browser() {
    let before = || vec![issued("lnk_1"), started(1, "a"), started(2, "a")];
    given::<UserConnection>(before()).when(take(NOW, 2, "a")).then_expect_events(vec![taken(2)]);
    refused(before(), take(NOW, 1, "a"), UserConnectionError::LinkUsed);
    refused(before(), take(NOW, 2, "b"), UserConnectionError::OtherBrowser);
    refused(before(), take(ENDS, 2, "a"), UserConnectionError::LinkExpired);
    refused([before(), vec![taken(2)]].concat(), take(NOW, 2, "a"), UserConnectionError::LinkUsed);
    refused(vec![issued("lnk_1")], take(NOW, 1, "a"), UserConnectionError::LinkUsed);
}

#[test]
fn what_was_brought_waits_and_is_not_in_force() {
    let bearer = CredentialKind::Bearer;
    for before in [vec![issued("lnk_1")], vec![issued("lnk_1"), started(1, "a"), taken(1)]] {
        given::<UserConnection>(before).when(authorize(NOW, bearer)).then_expect_events(vec![authorized()]);
    }
    // The answer of the authorization server was in time: what it takes after that does not count.
    let in_time = vec![issued("lnk_1"), started(1, "a"), taken(1)];
    given::<UserConnection>(in_time).when(authorize(ENDS, bearer));
    refused(vec![issued("lnk_1")], authorize(ENDS, bearer), UserConnectionError::LinkExpired);
    refused(vec![issued("lnk_1")], authorize(NOW, CredentialKind::Basic), UserConnectionError::LinkUnknown);
    refused(vec![issued("lnk_1"), authorized()], authorize(NOW, bearer), UserConnectionError::LinkUsed);
    assert_eq!(account([issued("lnk_1"), authorized()]).status_for(bearer), Status::Pending);
    assert_eq!(account([activated(1), issued("lnk_1"), authorized()]).generation(), 1);
}

#[test]
fn a_code_confirms_once_and_in_time() {
    let before = || vec![issued("lnk_1"), authorized()];
    given::<UserConnection>(before())
        .when(confirm(NOW, "lnk_1", "hash", 1))
        .then_expect_events(vec![activated_by_link(1)]);
    given::<UserConnection>([vec![activated(1)], before()].concat())
        .when(confirm(NOW, "lnk_1", "hash", 2))
        .then_expect_events(vec![activated_by_link(2)]);
    refused(before(), confirm(NOW, "lnk_1", "other", 1), UserConnectionError::CodeUnknown);
    refused(before(), confirm(NOW, "lnk_2", "hash", 1), UserConnectionError::CodeUnknown);
    refused(before(), confirm(NOW, "lnk_1", "hash", 2), UserConnectionError::Overtaken);
    let late = NOW.plus_seconds(CONFIRM_SECONDS);
    refused(before(), confirm(late, "lnk_1", "hash", 1), UserConnectionError::CodeExpired);
    let confirmed = [before(), vec![activated_by_link(1)]].concat();
    refused(confirmed, confirm(NOW, "lnk_1", "hash", 2), UserConnectionError::CodeUnknown);
    refused(vec![issued("lnk_1")], confirm(NOW, "lnk_1", "hash", 1), UserConnectionError::CodeUnknown);
}

#[test]
fn a_link_that_led_nowhere_is_over() {
    let fail = || UserConnectionCommand::FailAuthorization {
        link: "lnk_1".to_owned(),
        reason: "access_denied".to_owned(),
    };
    let failed = || UserConnectionEvent::UserConnectionAuthorizationFailed {
        link: "lnk_1".to_owned(),
        reason: "access_denied".to_owned(),
    };
    for before in [vec![issued("lnk_1"), started(1, "a")], vec![issued("lnk_1"), authorized()]] {
        given::<UserConnection>(before).when(fail()).then_expect_events(vec![failed()]);
    }
    let over = || vec![issued("lnk_1"), failed()];
    given::<UserConnection>(over()).when(fail()).then_expect_events(vec![]);
    refused(over(), start(NOW, "a"), UserConnectionError::LinkUsed);
    refused(over(), confirm(NOW, "lnk_1", "hash", 1), UserConnectionError::CodeUnknown);
}

fn lapse(at: Micros) -> UserConnectionCommand {
    UserConnectionCommand::LapseAuthorization { at, link: "lnk_1".to_owned() }
}

#[test]
fn what_was_brought_is_given_up_once_its_time_to_be_confirmed_is_over() {
    let over = NOW.plus_seconds(CONFIRM_SECONDS);
    let brought = || vec![issued("lnk_1"), started(1, "b"), taken(1), authorized()];
    let given_up = UserConnectionEvent::UserConnectionAuthorizationFailed {
        link: "lnk_1".to_owned(),
        reason: "not_confirmed".to_owned(),
    };
    given::<UserConnection>(brought()).when(lapse(Micros(over.0 - 1))).then_expect_events(vec![]);
    given::<UserConnection>(brought()).when(lapse(over)).then_expect_events(vec![given_up.clone()]);
    // Once, and for good.
    let after = [brought(), vec![given_up]].concat();
    given::<UserConnection>(after.clone()).when(lapse(over)).then_expect_events(vec![]);
    assert!(!account(after).link().unwrap().is_authorized());
}

#[test]
fn only_what_was_brought_is_given_up() {
    let late = NOW.plus_seconds(10 * CONFIRM_SECONDS);
    for before in [vec![issued("lnk_1")], vec![issued("lnk_1"), started(1, "b"), taken(1)]] {
        given::<UserConnection>(before).when(lapse(late)).then_expect_events(vec![]);
    }
    given::<UserConnection>(vec![issued("lnk_1"), authorized(), issued("lnk_2")])
        .when(lapse(late))
        .then_expect_error(UserConnectionError::LinkUnknown);
}
