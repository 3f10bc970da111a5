//! Does a URI come from a URI template (RFC 6570)?
//!
//! **Invariants.** Matching takes time in proportion to the URI's length, whatever the template. What
//! matches stays below the template's literal parts: a URI with a `.` or `..` segment, percent-encoded or
//! not, matches nothing, since a server that resolves it would leave them.

use serde::{Deserialize, Serialize};

/// Longest URI or template, in bytes.
pub const URI_BYTES_MAX: usize = 2_048;
/// Most variables of one expression.
const VARIABLES_MAX: usize = 16;
/// How often percent-encoding is taken off in search of `..`.
const DECODED_MAX: usize = 4;

/// What may stand between braces, before the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Operator {
    Simple,
    Reserved,
    Fragment,
    Label,
    Path,
    Parameter,
    Query,
    QueryMore,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Literal(String),
    Expression { operator: Operator, names: Vec<String>, explodes: bool },
}

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UriTemplate(Vec<Part>);

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// It is too long, or has characters that no URI has.
    #[error("it is empty, has spaces or control characters, or has more than {URI_BYTES_MAX} bytes")]
    Text,
    /// A brace that is not closed, or not opened.
    #[error("its braces do not match")]
    Braces,
    /// An expression that RFC 6570 does not know.
    #[error("{{{0}}} is no expression of RFC 6570")]
    Expression(String),
    /// Nothing says which resources are meant.
    #[error("it does not begin with a scheme, such as docs:")]
    Scheme,
}

/// Whether the text can stand as a URI or a template at all.
#[must_use]
pub fn is_uri_text(text: &str) -> bool {
    let fits = (1..=URI_BYTES_MAX).contains(&text.len());
    fits && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// The length of the scheme that a URI begins with (RFC 3986, 3.1), without its colon.
fn scheme_len(text: &str) -> Option<usize> {
    let colon = text.find(':')?;
    let mut bytes = text[..colon].bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (begins && goes_on).then_some(colon)
}

/// Whether a text is a URI as far as a name for a resource needs it: with a scheme, in printable
/// characters.
#[must_use]
pub fn is_uri(text: &str) -> bool {
    is_uri_text(text) && scheme_len(text).is_some()
}

/// The scheme of a URI, as far as one can be seen.
#[must_use]
pub fn scheme(uri: &str) -> Option<&str> {
    scheme_len(uri).map(|len| &uri[..len])
}

impl UriTemplate {
    /// Takes a template apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if !is_uri_text(text) {
            return Err(InvalidTemplate::Text);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, from) = rest.split_at(open);
            let (inside, after) = from
                .strip_prefix('{')
                .and_then(|from| from.split_once('}'))
                .ok_or(InvalidTemplate::Braces)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let unknown = || InvalidTemplate::Expression(inside.chars().take(80).collect());
            parts.push(expression(inside).ok_or_else(unknown)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let template = Self(parts);
        let prefix = template.prefix();
        scheme_len(prefix).map(|_| ()).ok_or(InvalidTemplate::Scheme)?;
        Ok(template)
    }

    /// What every URI of it begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Part::Literal(literal)) => literal,
            Some(Part::Expression { .. }) | None => "",
        }
    }

    /// Whether `uri` comes from it.
    #[must_use]
    pub fn matches(&self, uri: &str) -> bool {
        if !is_uri_text(uri) || has_dot_segment(uri) {
            return false;
        }
        let uri = uri.as_bytes();
        let mut reached = vec![false; uri.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            reached = match part {
                Part::Literal(literal) => literally(uri, &reached, literal.as_bytes()),
                Part::Expression { operator, names, explodes } => {
                    expanded(uri, &reached, *operator, names, *explodes)
                }
            };
        }
        reached[uri.len()]
    }
}

fn expression(inside: &str) -> Option<Part> {
    let operator = match inside.as_bytes().first()? {
        b'+' => Operator::Reserved,
        b'#' => Operator::Fragment,
        b'.' => Operator::Label,
        b'/' => Operator::Path,
        b';' => Operator::Parameter,
        b'?' => Operator::Query,
        b'&' => Operator::QueryMore,
        _ => Operator::Simple,
    };
    let list = if operator == Operator::Simple { inside } else { &inside[1..] };
    let (mut names, mut explodes) = (Vec::new(), false);
    for variable in list.split(',') {
        let name = match (variable.strip_suffix('*'), variable.split_once(':')) {
            (Some(name), _) => {
                explodes = true;
                name
            }
            (None, Some((name, length))) => {
                let digits = !length.is_empty() && length.len() <= 4;
                (digits && length.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)?
            }
            (None, None) => variable,
        };
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'%');
        // No RFC allows a hyphen here, but servers in use have some.
        if name.is_empty() || !name.bytes().all(|byte| word(byte) || byte == b'-') {
            return None;
        }
        names.push(name.to_owned());
    }
    (names.len() <= VARIABLES_MAX).then_some(Part::Expression { operator, names, explodes })
}

/// Unreserved characters and percent-encoded ones; whatever is not ASCII would be encoded.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%') || !byte.is_ascii()
}

fn is_any(_: u8) -> bool {
    true
}

/// From where a literal leads on.
fn literally(uri: &[u8], reached: &[bool], literal: &[u8]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for (start, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
        if uri[start..].starts_with(literal) {
            next[start + literal.len()] = true;
        }
    }
    next
}

/// From where a value leads on; an empty one only where that is `let`.
fn valued(uri: &[u8], reached: &[bool], of: impl Fn(u8) -> bool, empty: bool) -> Vec<bool> {
    let mut next = if empty { reached.to_vec() } else { vec![false; reached.len()] };
    let mut inside = false;
    for (at, byte) in uri.iter().enumerate() {
        inside = (inside || reached[at]) && of(*byte);
        next[at + 1] |= inside;
    }
    next
}

fn either(mut a: Vec<bool>, b: &[bool]) -> Vec<bool> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
    a
}

/// From where an expression leads on.
fn expanded(uri: &[u8], from: &[bool], operator: Operator, names: &[String], explodes: bool) -> Vec<bool> {
    let several = explodes || names.len() > 1;
    let listed = move |byte: u8| is_plain(byte) || (several && byte == b',');
    match operator {
        Operator::Simple => valued(uri, from, listed, false),
        Operator::Reserved => valued(uri, from, is_any, false),
        Operator::Fragment => valued(uri, &literally(uri, from, b"#"), is_any, false),
        Operator::Label => repeated(uri, from, b".", names.len(), explodes),
        Operator::Path => repeated(uri, from, b"/", names.len(), explodes),
        Operator::Parameter => named(uri, from, b";", b";", names),
        Operator::Query => named(uri, from, b"?", b"&", names),
        Operator::QueryMore => named(uri, from, b"&", b"&", names),
    }
}

/// One value for each variable, each with the mark in front; any number of them where one explodes.
fn repeated(uri: &[u8], from: &[bool], mark: &[u8], count: usize, explodes: bool) -> Vec<bool> {
    if explodes {
        let marked = literally(uri, from, mark);
        return valued(uri, &marked, |byte| is_plain(byte) || byte == mark[0], false);
    }
    let (mut now, mut all) = (from.to_vec(), vec![false; from.len()]);
    for _ in 0..count {
        now = valued(uri, &literally(uri, &now, mark), is_plain, false);
        all = either(all, &now);
    }
    all
}

/// `name=value` for some of the variables, in any order; none is none.
fn named(uri: &[u8], from: &[bool], first: &[u8], then: &[u8], names: &[String]) -> Vec<bool> {
    let (mut now, mut all) = (from.to_vec(), from.to_vec());
    for nth in 0..names.len() {
        let marked = literally(uri, &now, if nth == 0 { first } else { then });
        now = vec![false; from.len()];
        for name in names {
            let named = literally(uri, &marked, name.as_bytes());
            let valued = valued(uri, &literally(uri, &named, b"="), |b| is_plain(b) || b == b',', true);
            now = either(now, &valued);
        }
        all = either(all, &now);
    }
    all
}

/// Whether a server that resolves the URI would find `.` or `..` in it.
fn has_dot_segment(uri: &str) -> bool {
    let mut text = uri.as_bytes().to_vec();
    for _ in 0..DECODED_MAX {
        let segments = text.split(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#' | b';'));
        if segments.into_iter().any(|segment| segment == b"." || segment == b"..") {
            return true;
        }
        let decoded = decoded(&text);
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    // Encoded that often for nothing good.
    true
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    plain
}
