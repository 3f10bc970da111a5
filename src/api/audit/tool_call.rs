//! `GET /audit/tool-calls/{call_id}`: one tool call, with what was sent and what came back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use proctor_domain::CallId;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::answer;
use super::super::caller::Caller;
use super::super::filters::views_at_head;
use super::super::opened::{Opener, unreadable};
use super::super::problem::{Code, Problem};
use super::{Shown, on_the_record, shown};
use crate::payload::{Asked, Ended};
use crate::proctor::Proctor;

/// A tool call, with what was sent and what came back.
#[derive(Serialize, ToSchema)]
#[schema(as = ToolCallDetail)]
pub(super) struct Detail<'a> {
    #[serde(flatten)]
    #[schema(inline)]
    row: Shown<'a>,
    /// Exactly as the agent sent them; `null` where they are not kept.
    #[schema(value_type = Value, required)]
    arguments: Option<&'a RawValue>,
    /// What the agent brought that the upstream had wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>, nullable = false)]
    input: Option<&'a RawValue>,
    /// What else the request's `_meta` said to the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>, nullable = false)]
    meta: Option<&'a RawValue>,
    #[schema(value_type = Option<String>)]
    arguments_digest: Option<Cow<'a, str>>,
    /// Exactly as the upstream sent it.
    #[schema(value_type = Value, required)]
    result: Option<&'a RawValue>,
    #[schema(value_type = Value, required)]
    error: Option<&'a RawValue>,
    #[schema(value_type = Option<String>)]
    result_digest: Option<Cow<'a, str>>,
}

pub(in crate::api) async fn tool_call(
    proctor: web::Data<Proctor>,
    caller: Caller,
    call: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let position = views_at_head(&proctor).await?;
    let row = proctor.views.tool_call(CallId::from(call.as_str())).await?.ok_or_else(|| {
        Problem::new(Code::ToolCallNotFound, "there is no such tool call: check its identifier")
    })?;
    let filters = BTreeMap::from([("call".to_owned(), call.into_inner())]);
    on_the_record(&proctor, &caller, "tool-call", filters, 1).await?;
    let session = row.session.as_str();
    let mut opener = Opener::new(&proctor);
    let asked = opener.payload(session, &row.subject, row.position).await?;
    let asked = asked.as_deref().map(Asked::read).transpose().map_err(unreadable)?;
    let ended = match row.ended_position {
        Some(position) => opener.payload(session, &row.subject, position).await?,
        None => None,
    };
    let ended = ended.as_deref().map(Ended::read).transpose().map_err(unreadable)?;
    let detail = Detail {
        row: shown(&mut opener, &row, asked.as_ref()).await?,
        arguments: asked.as_ref().and_then(|asked| asked.arguments),
        input: asked.as_ref().and_then(|asked| asked.input),
        meta: asked.as_ref().and_then(|asked| asked.meta),
        arguments_digest: asked.as_ref().and_then(|asked| asked.digest.clone()),
        result: ended.as_ref().and_then(|ended| ended.result),
        error: ended.as_ref().and_then(|ended| ended.error),
        result_digest: ended.as_ref().and_then(|ended| ended.digest.clone()),
    };
    Ok(answer::ok(position, &detail))
}
