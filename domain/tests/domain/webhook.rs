//! Webhook: every command, in every state that answers it differently.

use proctor_domain::session::SessionEvent;
use proctor_domain::webhook::{
    OVERLAP_SECONDS_MAX, PATTERNS_MAX, Settings, Topic, Webhook, WebhookCommand as Command, WebhookError,
    WebhookEvent as Event,
};
use proctor_domain::{Decider as _, Event as AnyEvent, Micros, Place, Position};

use crate::scene::{activated, by, disconnected, expired, given, reason};

fn to(events: &[&str]) -> Settings {
    Settings {
        url: "https://backend.example/hooks".to_owned(),
        events: events.iter().map(|&pattern| pattern.to_owned()).collect(),
        description: None,
        private_network: false,
    }
}

fn create(events: &[&str]) -> Command {
    Command::Create { by: by(), settings: to(events) }
}

fn revise(events: &[&str]) -> Command {
    Command::Revise { by: by(), settings: to(events) }
}

fn rotate(generation: u32, overlap_seconds: u32) -> Command {
    Command::RotateSecret { by: by(), generation, overlap_seconds }
}

fn disable(revision: u32) -> Command {
    Command::Disable { by: by(), revision }
}

fn redeliver() -> Command {
    Command::Redeliver { by: by(), delivery: "dlv_1".to_owned() }
}

fn retire() -> Command {
    Command::Retire { by: by(), reason: reason() }
}

fn created() -> Event {
    Event::WebhookCreated { by: by(), settings: to(&["session.*"]), generation: 1 }
}

fn revised(events: &[&str]) -> Event {
    Event::WebhookRevised { by: by(), settings: to(events) }
}

fn rotated(generation: u32, overlap_seconds: u32) -> Event {
    Event::WebhookSecretRotated { by: by(), generation, overlap_seconds }
}

fn gone() -> Event {
    Event::WebhookGone { by: by() }
}

fn retired() -> Event {
    Event::WebhookRetired { by: by(), reason: reason() }
}

fn after(events: impl IntoIterator<Item = (i64, Event)>) -> Webhook {
    let mut webhook = Webhook::default();
    for (seconds, event) in events {
        let recorded_at = Micros(seconds * 1_000_000);
        webhook.evolve(&event, Place { position: Position(1), recorded_at });
    }
    webhook
}

#[test]
fn it_is_created_once() {
    given::<Webhook>(vec![]).when(create(&["session.*"])).then_expect_events(vec![created()]);
    for before in [vec![created()], vec![created(), gone()], vec![created(), retired()]] {
        given::<Webhook>(before).when(create(&["session.*"])).then_expect_error(WebhookError::Exists);
    }
}

#[test]
fn what_names_no_events_is_refused_when_it_is_created_and_when_it_is_set_anew() {
    let refused = |events: &[&str], error: WebhookError| {
        given::<Webhook>(vec![]).when(create(events)).then_expect_error(error.clone());
        given::<Webhook>(vec![created()]).when(revise(events)).then_expect_error(error);
    };
    refused(&[], WebhookError::Patterns);
    refused(&["session.*"; PATTERNS_MAX + 1], WebhookError::Patterns);
    for wrong in
        ["*", "", "session", "session.", "sess*", "session.o*", "webhook.*", "webhook.test", "tool_call.*"]
    {
        refused(&["session.*", wrong], WebhookError::UnknownPattern(wrong.to_owned()));
    }
    let long = Settings { description: Some("x".repeat(501)), ..to(&["session.*"]) };
    given::<Webhook>(vec![])
        .when(Command::Create { by: by(), settings: long })
        .then_expect_error(WebhookError::Description);
}

#[test]
fn it_is_set_anew_and_the_same_again_changes_nothing() {
    let other = ["user_connection.expired"];
    given::<Webhook>(vec![created()]).when(revise(&other)).then_expect_events(vec![revised(&other)]);
    given::<Webhook>(vec![created()]).when(revise(&["session.*"])).then_expect_events(vec![]);
    given::<Webhook>(vec![created(), retired()])
        .when(revise(&other))
        .then_expect_error(WebhookError::Retired);
    given::<Webhook>(vec![]).when(revise(&other)).then_expect_error(WebhookError::Unknown);
}

#[test]
fn whoever_is_gone_is_sent_nothing_until_it_is_set_anew() {
    given::<Webhook>(vec![created()]).when(disable(1)).then_expect_events(vec![gone()]);
    given::<Webhook>(vec![created(), gone()]).when(disable(1)).then_expect_events(vec![]);
    for command in [Command::Test { by: by() }, redeliver()] {
        given::<Webhook>(vec![created(), gone()]).when(command).then_expect_error(WebhookError::Gone);
    }
    // The same settings are an answer to that, too.
    given::<Webhook>(vec![created(), gone()])
        .when(revise(&["session.*"]))
        .then_expect_events(vec![revised(&["session.*"])]);
    assert!(!after([(0, created()), (1, gone())]).is_active());
    assert!(after([(0, created()), (1, gone()), (2, revised(&["session.*"]))]).is_active());
}

#[test]
fn the_word_of_a_receiver_that_it_was_sent_to_before_disables_nothing() {
    given::<Webhook>(vec![created(), revised(&["session.cut"])])
        .when(disable(1))
        .then_expect_error(WebhookError::Overtaken);
}

#[test]
fn a_secret_is_replaced_by_the_next_one_only() {
    given::<Webhook>(vec![created()]).when(rotate(2, 60)).then_expect_events(vec![rotated(2, 60)]);
    given::<Webhook>(vec![created(), gone()]).when(rotate(2, 0)).then_expect_events(vec![rotated(2, 0)]);
    for wrong in [1, 3] {
        given::<Webhook>(vec![created()]).when(rotate(wrong, 60)).then_expect_error(WebhookError::Overtaken);
    }
    given::<Webhook>(vec![created()])
        .when(rotate(2, OVERLAP_SECONDS_MAX + 1))
        .then_expect_error(WebhookError::Overlap);
    given::<Webhook>(vec![created(), retired()]).when(rotate(2, 60)).then_expect_error(WebhookError::Retired);
}

#[test]
fn a_secret_that_was_replaced_signs_until_its_time_is_over() {
    let signing = |webhook: &Webhook, seconds: i64| webhook.signing(Micros(seconds * 1_000_000));
    let once = after([(0, created()), (100, rotated(2, 60))]);
    assert_eq!(signing(&once, 159), [2, 1]);
    assert_eq!(signing(&once, 160), [2]);
    let twice = after([(0, created()), (100, rotated(2, 60)), (110, rotated(3, 600))]);
    assert_eq!(signing(&twice, 159), [3, 2, 1]);
    assert_eq!(signing(&twice, 160), [3, 2]);
}

#[test]
fn a_secret_that_leaked_is_taken_out_of_force_at_once_with_all_before_it() {
    let at_once = after([(0, created()), (100, rotated(2, 600)), (110, rotated(3, 0))]);
    assert_eq!(at_once.signing(Micros(110_000_000)), [3]);
}

#[test]
fn however_often_it_is_rotated_few_secrets_sign() {
    let rotations = (2..40).map(|generation| (100, rotated(generation, 600)));
    let often = after(std::iter::once((0, created())).chain(rotations));
    assert_eq!(often.signing(Micros(100_000_000)), [39, 38, 37, 36, 35]);
}

#[test]
fn it_is_tried_and_a_message_is_sent_again_while_it_is_in_use() {
    given::<Webhook>(vec![created()])
        .when(Command::Test { by: by() })
        .then_expect_events(vec![Event::WebhookTested { by: by() }]);
    given::<Webhook>(vec![created()])
        .when(redeliver())
        .then_expect_events(vec![Event::WebhookRedelivered { by: by(), delivery: "dlv_1".to_owned() }]);
    for command in [Command::Test { by: by() }, redeliver()] {
        given::<Webhook>(vec![]).when(command.clone()).then_expect_error(WebhookError::Unknown);
        given::<Webhook>(vec![created(), retired()]).when(command).then_expect_error(WebhookError::Retired);
    }
}

#[test]
fn it_is_retired_once_and_for_good() {
    for before in [vec![created()], vec![created(), gone()]] {
        given::<Webhook>(before).when(retire()).then_expect_events(vec![retired()]);
    }
    given::<Webhook>(vec![created(), retired()]).when(retire()).then_expect_events(vec![]);
    given::<Webhook>(vec![created(), retired()]).when(disable(1)).then_expect_events(vec![]);
    given::<Webhook>(vec![]).when(retire()).then_expect_error(WebhookError::Unknown);
}

#[test]
fn a_family_names_all_of_its_topics_and_no_other() {
    let named = |pattern| Topic::SUBSCRIBED.into_iter().filter(|topic| topic.is_named_by(pattern)).count();
    assert_eq!((named("session.*"), named("user_connection.*")), (3, 3));
    assert_eq!(named("connection.*"), 1);
    assert_eq!((named("session.cut"), named("*"), named("session.")), (1, 0, 0));
}

#[test]
fn what_happens_to_an_account_is_told_as_what_it_is() {
    for (event, topic) in [
        (activated(1), Topic::UserConnectionActivated),
        (expired(1), Topic::UserConnectionExpired),
        (disconnected(), Topic::UserConnectionDisconnected),
    ] {
        assert_eq!(Topic::of(&AnyEvent::UserConnection(event)), Some(topic));
    }
    let revoked = SessionEvent::SessionRevoked { by: by(), reason: reason() };
    assert_eq!(Topic::of(&AnyEvent::Session(revoked)), Some(Topic::SessionRevoked));
    assert_eq!(Topic::of(&AnyEvent::Webhook(created())), None);
}
