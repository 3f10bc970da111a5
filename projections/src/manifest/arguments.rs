//! The arguments of a call as the upstream gets them.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::raw_object::{NotAnObject, RawObject};

/// Arguments that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// The caller set what the administrator fixed.
    #[error("the arguments {} are fixed by the administrator: leave them out", names.join(", "))]
    Fixed {
        /// Which ones, in the caller's order.
        names: Vec<String>,
    },
    /// The same argument twice: the upstream might read the other one than was checked.
    #[error("the argument {name:?} is given twice: give it once")]
    Duplicate {
        /// Which one.
        name: String,
    },
    /// Not an object.
    #[error("the arguments are not an object: pass one, or leave them out")]
    NotAnObject,
}

/// Adds the fixed arguments to the caller's.
///
/// Without fixed ones the caller's bytes are passed on as they are, whatever they hold. With fixed
/// ones, each of the caller's values keeps its bytes, and the fixed ones follow.
///
/// # Errors
/// Only when there are fixed arguments: the caller sets one of them, gives any argument twice, or
/// passes something else than an object.
pub fn merge_arguments<'a>(
    arguments: Option<&'a RawValue>,
    fixed: &Map<String, Value>,
) -> Result<Option<Cow<'a, RawValue>>, ArgumentsError> {
    if fixed.is_empty() {
        return Ok(arguments.map(Cow::Borrowed));
    }
    let mut merged = match arguments {
        None => RawObject::default(),
        Some(arguments) => RawObject::parse(arguments).map_err(|err| match err {
            NotAnObject::OtherType => ArgumentsError::NotAnObject,
            NotAnObject::DuplicateKey(name) => ArgumentsError::Duplicate { name },
        })?,
    };
    let names: Vec<String> =
        merged.keys().filter(|name| fixed.contains_key(*name)).map(str::to_owned).collect();
    if !names.is_empty() {
        return Err(ArgumentsError::Fixed { names });
    }
    for (name, value) in fixed {
        let value = to_raw_value(value).expect("a JSON value is always JSON");
        merged.set(name, value);
    }
    Ok(Some(Cow::Owned(merged.to_raw())))
}
