//! The headers that repeat parts of the body, so that something on the way can go by them without
//! reading it (SEP-2243).

use std::borrow::Cow;

use actix_web::http::header::HeaderMap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use proctor_domain::watch::Door;
use proctor_projections::manifest::HeaderParam;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mcp::answer::{Fault, codes};
use crate::mcp::members::shown;
use crate::proctor::Proctor;

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM_PREFIX: &str = "mcp-param-";

/// Values that HTTP cannot carry as they are travel between these.
const BASE64_PREFIX: &str = "=?base64?";
const BASE64_SUFFIX: &str = "?=";

/// Counts a disagreement: it may be somebody who wants to be let through by one reading and
/// understood by the other.
pub(super) fn counted(proctor: &Proctor, fault: Fault) -> Fault {
    proctor.failures.count(Door::Mcp, "header_mismatch");
    fault
}

pub(super) fn check_version(headers: &HeaderMap, version: &str) -> Result<(), Fault> {
    let header = only(headers, PROTOCOL_VERSION)?;
    agree("MCP-Protocol-Version", header, version)
}

pub(super) fn check_method(headers: &HeaderMap, method: &str) -> Result<(), Fault> {
    let header = only(headers, METHOD)?;
    agree("Mcp-Method", header, method)
}

pub(super) fn check_name(headers: &HeaderMap, name: &str) -> Result<(), Fault> {
    let header = only(headers, NAME)?.map(|value| decoded(NAME, value)).transpose()?;
    agree("Mcp-Name", header.as_deref(), name)
}

/// Checks the arguments that a tool's schema wants repeated.
pub(in crate::mcp) fn check_params(
    headers: &HeaderMap,
    params: &[HeaderParam],
    arguments: Option<&RawValue>,
    proctor: &Proctor,
) -> Result<(), Fault> {
    if params.is_empty() {
        return Ok(());
    }
    params_agree(headers, params, arguments).map_err(|fault| counted(proctor, fault))
}

fn params_agree(
    headers: &HeaderMap,
    params: &[HeaderParam],
    arguments: Option<&RawValue>,
) -> Result<(), Fault> {
    let arguments: Value = arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    for param in params {
        let name = format!("{PARAM_PREFIX}{}", param.header);
        let header = only(headers, &name)?.map(|value| decoded(&name, value)).transpose()?;
        let value = param.path.iter().try_fold(&arguments, |value, key| value.get(key));
        let expected = match value {
            Some(Value::String(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(Cow::Owned(value.to_string())),
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => None,
        };
        match (header, expected) {
            (header, Some(expected)) => agree(&name, header.as_deref(), &expected)?,
            (Some(_), None) => {
                return Err(mismatch(format!("the header {name} stands for an argument that is not there")));
            }
            (None, None) => {}
        }
    }
    Ok(())
}

fn agree(name: &str, header: Option<&str>, body: &str) -> Result<(), Fault> {
    match header {
        Some(header) if header == body => Ok(()),
        Some(header) => {
            let (header, body) = (shown(header), shown(body));
            Err(mismatch(format!("the header {name} says \"{header}\", but the body says \"{body}\"")))
        }
        None => Err(mismatch(format!("the header {name} is missing"))),
    }
}

/// The one value of a header. Of two, somebody on the way may have read the other.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(mismatch(format!("the header {name} stands there twice")));
    }
    let value = value.to_str().map_err(|_| mismatch(format!("the header {name} is not ASCII")))?;
    Ok(Some(value))
}

fn decoded<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    let Some(wrapped) = value.strip_prefix(BASE64_PREFIX).and_then(|value| value.strip_suffix(BASE64_SUFFIX))
    else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = BASE64_STANDARD.decode(wrapped).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or_else(|| mismatch(format!("the header {name} is not Base64 of a text")))
}

fn mismatch(message: String) -> Fault {
    Fault::malformed(codes::HEADER_MISMATCH, message)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn is_mismatch(result: Result<(), Fault>) -> bool {
        result.is_err_and(|fault| fault.code == codes::HEADER_MISMATCH && fault.status == 400)
    }

    #[test]
    fn a_header_must_say_what_the_body_says() {
        assert!(check_method(&headers(&[("mcp-method", "tools/call")]), "tools/call").is_ok());
        assert!(is_mismatch(check_method(&headers(&[("mcp-method", "tools/list")]), "tools/call")));
        assert!(is_mismatch(check_method(&headers(&[]), "tools/call")));
        assert!(is_mismatch(check_version(
            &headers(&[("mcp-protocol-version", "2025-11-25")]),
            "2026-07-28"
        )));
    }

    #[test]
    fn a_header_that_stands_there_twice_is_refused_even_when_both_agree() {
        let twice = headers(&[("mcp-method", "ping"), ("mcp-method", "ping")]);
        assert!(is_mismatch(check_method(&twice, "ping")));
    }

    #[test]
    fn a_name_that_http_cannot_carry_is_wrapped_in_base64() {
        assert!(check_name(&headers(&[("mcp-name", "=?base64?Y2Fmw6k=?=")]), "café").is_ok());
        assert!(is_mismatch(check_name(&headers(&[("mcp-name", "=?base64?!?=")]), "café")));
        assert!(is_mismatch(check_name(&headers(&[("mcp-name", "caf\u{e9}")]), "café")));
    }

    #[test]
    fn arguments_in_headers_must_be_those_of_the_body() {
        let param = |header: &str, path: &[&str]| HeaderParam {
            header: header.to_owned(),
            path: path.iter().map(|key| (*key).to_owned()).collect(),
        };
        let params = [param("Region", &["region"]), param("Count", &["page", "count"])];
        let check = |list: &[(&str, &str)], arguments: &str| {
            let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
            params_agree(&headers(list), &params, Some(&arguments))
        };
        let both = [("mcp-param-region", "eu"), ("Mcp-Param-Count", "42")];
        assert!(check(&both, r#"{"region":"eu","page":{"count":42}}"#).is_ok());
        assert!(check(&both[..1], r#"{"region":"eu","page":{"count":null}}"#).is_ok());
        assert!(is_mismatch(check(&both, r#"{"region":"us","page":{"count":42}}"#)));
        assert!(is_mismatch(check(&both, r#"{"region":"eu"}"#)));
        assert!(is_mismatch(check(&[], r#"{"region":"eu"}"#)));
        assert!(params_agree(&headers(&[]), &params, None).is_ok());
    }
}
