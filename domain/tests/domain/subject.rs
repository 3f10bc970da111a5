//! Subject: every command, in every state that answers it differently.

use proctor_domain::subject::{Subject, SubjectCommand, SubjectError, SubjectEvent};
use proctor_domain::{Micros, Position};

use crate::scene::{by, given, reason, state};

fn registered() -> SubjectEvent {
    SubjectEvent::SubjectRegistered { by: by() }
}

fn blocked() -> SubjectEvent {
    SubjectEvent::SubjectBlocked { by: by(), reason: reason() }
}

fn unblocked() -> SubjectEvent {
    SubjectEvent::SubjectUnblocked { by: by(), reason: String::new() }
}

fn cut() -> SubjectEvent {
    SubjectEvent::SubjectSessionsCut { by: by(), reason: reason() }
}

#[test]
fn a_new_subject_is_registered() {
    given::<Subject>(vec![])
        .when(SubjectCommand::Register { by: by() })
        .then_expect_events(vec![registered()]);
}

#[test]
fn registering_again_changes_nothing() {
    given::<Subject>(vec![registered()])
        .when(SubjectCommand::Register { by: by() })
        .then_expect_events(vec![]);
}

#[test]
fn nothing_but_registering_can_be_asked_of_an_unknown_subject() {
    for command in [
        SubjectCommand::CutSessions { by: by(), reason: reason() },
        SubjectCommand::Block { by: by(), reason: reason() },
        SubjectCommand::Unblock { by: by(), reason: String::new() },
    ] {
        given::<Subject>(vec![]).when(command).then_expect_error(SubjectError::Unknown);
    }
}

#[test]
fn each_cut_of_a_subject_is_a_new_event_because_sessions_may_have_been_opened_since() {
    given::<Subject>(vec![registered(), cut()])
        .when(SubjectCommand::CutSessions { by: by(), reason: reason() })
        .then_expect_events(vec![cut()]);
}

#[test]
fn a_subject_is_blocked_once() {
    let block = SubjectCommand::Block { by: by(), reason: reason() };
    given::<Subject>(vec![registered()]).when(block.clone()).then_expect_events(vec![blocked()]);
    given::<Subject>(vec![registered(), blocked()]).when(block.clone()).then_expect_events(vec![]);
    given::<Subject>(vec![registered(), blocked(), unblocked()])
        .when(block)
        .then_expect_events(vec![blocked()]);
}

#[test]
fn only_a_blocked_subject_is_unblocked() {
    let unblock = SubjectCommand::Unblock { by: by(), reason: String::new() };
    given::<Subject>(vec![registered()]).when(unblock.clone()).then_expect_events(vec![]);
    given::<Subject>(vec![registered(), blocked()]).when(unblock).then_expect_events(vec![unblocked()]);
}

#[test]
fn a_block_ends_the_sessions_so_far_also_after_it_was_lifted() {
    let subject = state::<Subject>([(3, registered()), (5, blocked()), (7, unblocked())]);
    assert!(subject.is_registered());
    assert!(!subject.is_blocked());
    assert_eq!(subject.cut_at(), Some(Position(5)));
}

#[test]
fn the_last_cut_of_a_subject_counts() {
    let subject = state::<Subject>([(3, registered()), (5, cut()), (9, cut())]);
    assert_eq!(subject.cut_at(), Some(Position(9)));
}

#[test]
fn it_says_since_when_and_why_it_is_blocked() {
    let subject = state::<Subject>([(1, registered()), (2, blocked())]);
    let known = subject.blocked().unwrap();
    assert_eq!((known.since, &known.reason), (Micros(0), &reason()));
    assert_eq!(state::<Subject>([(1, registered()), (2, blocked()), (3, unblocked())]).blocked(), None);
}

#[test]
fn why_it_is_unblocked_is_kept_where_that_is_said() {
    let why = || "the laptop was found".to_owned();
    given::<Subject>(vec![registered(), blocked()])
        .when(SubjectCommand::Unblock { by: by(), reason: why() })
        .then_expect_events(vec![SubjectEvent::SubjectUnblocked { by: by(), reason: why() }]);
}
