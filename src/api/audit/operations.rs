//! What the reference says about the audit trail.

use super::super::openapi::{Operation, Tag};
use super::super::problem::Code;
use super::tool_call::Detail;
use super::{Shown, acts as administrative, tool_calls as calls};

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::Audit, id, summary, description).reads_views()
}

pub(in crate::api) fn tool_calls() -> Operation {
    operation(
        "searchToolCalls",
        "Search tool calls",
        "Every call that was attempted, refused ones included, newest first.",
    )
    .query::<calls::Query>()
    .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn tool_call() -> Operation {
    operation(
        "showToolCall",
        "Show a tool call",
        "With what was sent and what came back, as far as it is kept.",
    )
    .answers::<Detail<'_>>(200, "The tool call.")
    .fails(&[Code::ToolCallNotFound])
}

pub(in crate::api) fn acts() -> Operation {
    operation("searchActs", "Search administrative acts", "Everything that anybody changed, newest first.")
        .query::<administrative::Query>()
        .answers_page::<administrative::Shown<'_>>()
}
