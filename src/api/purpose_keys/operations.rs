//! What the reference says about the keys that Proctor makes for its own purposes.

use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::Shown;
use super::rotate::Rotation;

pub(in crate::api) fn list() -> Operation {
    Operation::new(
        Tag::Keys,
        "listPurposeKeys",
        "List Proctor's own keys",
        "Those that it made for its own purposes, by purpose, newest first. None of them is ever shown.",
    )
    .query::<Page>()
    .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn rotate() -> Operation {
    Operation::new(
        Tag::Keys,
        "rotatePurposeKey",
        "Make a new key for a purpose",
        "Every replica takes it in before any of them signs or seals with it.",
    )
    .may_take::<Rotation>()
    .answers::<Shown<'_>>(200, "It is made, and waits for its time.")
    .fails(&[
        Code::PurposeNotFound,
        Code::InvalidRotation,
        Code::KeyWaiting,
        Code::TooManyKeys,
        Code::WrittenMeanwhile,
    ])
}
