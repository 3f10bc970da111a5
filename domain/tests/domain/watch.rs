//! Watch: what was noticed is written down as it is.

use std::collections::BTreeMap;

use proctor_domain::watch::{Door, Notice, Watch, WatchEvent};

use crate::scene::{by, given};

#[test]
fn a_read_of_the_audit_trail_is_written_down() {
    let event = WatchEvent::AuditTrailRead {
        by: by(),
        what: "tool_calls".to_owned(),
        filters: BTreeMap::from([("subject".to_owned(), "sub_1".to_owned())]),
        rows: 20,
    };
    given::<Watch>(vec![]).when(Notice(event.clone())).then_expect_events(vec![event]);
}

#[test]
fn failed_authentications_are_written_down_each_time_they_are_noticed() {
    let event = WatchEvent::AuthenticationsFailed {
        door: Door::Mcp,
        reason: "token_expired".to_owned(),
        minute: 1,
        count: 7,
    };
    given::<Watch>(vec![event.clone()]).when(Notice(event.clone())).then_expect_events(vec![event]);
}

#[test]
fn a_process_that_begins_to_serve_is_written_down() {
    let event = WatchEvent::ReplicaStarted { by: by(), program: "0.1.0".to_owned() };
    given::<Watch>(vec![]).when(Notice(event.clone())).then_expect_events(vec![event]);
}

#[test]
fn a_rotation_of_the_master_key_is_written_down_when_it_begins_and_when_it_is_done() {
    let begun = WatchEvent::MasterKeyRotationBegun { by: by(), key: "0a1b2c3d4e5f6071".to_owned() };
    given::<Watch>(vec![]).when(Notice(begun.clone())).then_expect_events(vec![begun.clone()]);
    let done = WatchEvent::MasterKeyRotated { by: by(), key: "0a1b2c3d4e5f6071".to_owned(), rows: 7 };
    given::<Watch>(vec![begun]).when(Notice(done.clone())).then_expect_events(vec![done]);
}
