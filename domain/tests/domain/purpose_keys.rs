//! PurposeKeys: one key after the other.

use proctor_domain::Micros;
use proctor_domain::purpose_keys::{
    PurposeKeys, PurposeKeysCommand, PurposeKeysError, PurposeKeysEvent, ROTATIONS_MAX,
};

use crate::scene::{by, given, state};

fn rotate(at: i64, kid: &str, active_at: i64) -> PurposeKeysCommand {
    PurposeKeysCommand::Rotate { by: by(), at: Micros(at), kid: kid.to_owned(), active_at: Micros(active_at) }
}

fn rotated(kid: &str, active_at: i64) -> PurposeKeysEvent {
    PurposeKeysEvent::PurposeKeyRotated { by: by(), kid: kid.to_owned(), active_at: Micros(active_at) }
}

#[test]
fn a_key_is_made_and_comes_into_force_later() {
    given::<PurposeKeys>(vec![]).when(rotate(0, "k1", 10)).then_expect_events(vec![rotated("k1", 10)]);
    let keys = state::<PurposeKeys>([(1, rotated("k1", 10)), (2, rotated("k2", 30))]);
    assert_eq!(keys.keys(), [("k1".to_owned(), Micros(10)), ("k2".to_owned(), Micros(30))]);
}

#[test]
fn while_a_key_waits_no_other_is_made() {
    let waiting = PurposeKeysError::Waiting { kid: "k1".to_owned(), active_at: Micros(10) };
    given::<PurposeKeys>(vec![rotated("k1", 10)]).when(rotate(9, "k2", 19)).then_expect_error(waiting);
    given::<PurposeKeys>(vec![rotated("k1", 10)])
        .when(rotate(10, "k2", 20))
        .then_expect_events(vec![rotated("k2", 20)]);
}

#[test]
fn a_purpose_has_no_more_keys_than_can_be_tried() {
    let made = |count: usize| (0..count).map(|_| rotated("k", 10)).collect::<Vec<_>>();
    given::<PurposeKeys>(made(ROTATIONS_MAX - 1))
        .when(rotate(11, "k2", 20))
        .then_expect_events(vec![rotated("k2", 20)]);
    given::<PurposeKeys>(made(ROTATIONS_MAX))
        .when(rotate(11, "k2", 20))
        .then_expect_error(PurposeKeysError::TooMany);
}
