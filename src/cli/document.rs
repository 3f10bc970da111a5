//! Files that say what is to be there, in YAML or JSON.
//!
//! **Invariants.** A secret never stands in such a file, only where it is: `{from_env: NAME}` or
//! `{from_file: PATH}`. No error repeats one.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::Failure;

const FROM_ENV: &str = "from_env";
const FROM_FILE: &str = "from_file";
/// Where a connection's document holds a secret: the object's place, and its member.
const SECRETS: [(&str, &str); 2] = [("/auth", "value"), ("/auth", "client_secret")];
/// Where it holds variables, each of which is one.
const VARIABLES: &str = "/transport/env";

/// Reads one document; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let failed = |reason: &dyn std::fmt::Display| format!("failed to read {}: {reason}", path.display());
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| failed(&error))?;
        text
    } else {
        std::fs::read_to_string(path).map_err(|error| failed(&error))?
    };
    // JSON is YAML, too.
    Ok(serde_saphyr::from_str(&text).map_err(|error| failed(&error))?)
}

/// Puts secrets in the place of what says where they are.
pub(super) fn with_secrets(value: &mut Value) -> Result<(), Failure> {
    match value {
        Value::Object(members) => match secret(members)? {
            Some(secret) => *value = Value::String(secret),
            None => members.values_mut().try_for_each(with_secrets)?,
        },
        Value::Array(items) => items.iter_mut().try_for_each(with_secrets)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

fn secret(members: &Map<String, Value>) -> Result<Option<String>, Failure> {
    if members.len() != 1 {
        return Ok(None);
    }
    match (members.get(FROM_ENV), members.get(FROM_FILE)) {
        (Some(Value::String(name)), _) => {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            let missing = || format!("the variable {name}, which should hold a secret, is not set: set it");
            Ok(Some(value.ok_or_else(missing)?))
        }
        (_, Some(Value::String(path))) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|error| format!("failed to read the secret in {path}: {error}"))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        _ => Ok(None),
    }
}

/// The secrets of a connection's document, or where they are, each with its place.
pub(super) fn secrets(connection: &Value) -> impl Iterator<Item = (String, &Value)> {
    let object = |place: &str| connection.pointer(place).and_then(Value::as_object);
    let named = |place: &str, name: &str| format!("{}.{name}", place[1..].replace('/', "."));
    let single = SECRETS
        .into_iter()
        .filter_map(move |(place, member)| Some((named(place, member), object(place)?.get(member)?)));
    let variables = object(VARIABLES).into_iter().flatten();
    single.chain(variables.map(move |(name, value)| (named(VARIABLES, name), value)))
}

/// A connection's document as a server shows it: variables by their names, and no secret.
pub(super) fn without_secrets(connection: &Value) -> Value {
    let mut open = connection.clone();
    for (place, member) in SECRETS {
        if let Some(Value::Object(members)) = open.pointer_mut(place) {
            members.remove(member);
        }
    }
    if let Some(env) = open.pointer_mut(VARIABLES) {
        let names: Vec<_> = env.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        *env = names.into();
    }
    open
}

/// What a server shows, with something in the place of each variable's value.
pub(super) fn with_variables(mut open: Value, value: impl Fn(&str) -> Value) -> Value {
    if let Some(env) = open.pointer_mut(VARIABLES) {
        let names = env.as_array().into_iter().flatten().filter_map(Value::as_str);
        *env = names.map(|name| (name.to_owned(), value(name))).collect();
    }
    open
}

/// Refuses secrets that stand in a connection's document themselves.
pub(super) fn refuse_plain_secrets(connection: &Value) -> Result<(), Failure> {
    for (place, value) in secrets(connection) {
        if value.is_string() {
            return Err(format!(
                "{place} is a secret, which does not belong into a file: say where it is, with \
                 {{{FROM_ENV}: NAME}} or {{{FROM_FILE}: PATH}}"
            )
            .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_stands_where_the_document_says_it_is() {
        let file = std::env::temp_dir().join(format!("proctor-secret-{}", std::process::id()));
        std::fs::write(&file, "s3cret\n").unwrap();
        let mut document = json!({
            "auth": { "type": "header", "value": { "from_file": file } },
            "transport": { "env": { "HOME": { "from_env": "HOME" }, "PLAIN": null } },
        });
        with_secrets(&mut document).unwrap();
        assert_eq!(document["auth"]["value"], "s3cret");
        assert_eq!(document["transport"]["env"]["HOME"], std::env::var("HOME").unwrap());
        std::fs::remove_file(file).unwrap();
        let mut nowhere = json!({ "from_env": "PROCTOR_NO_SUCH_VARIABLE" });
        assert!(with_secrets(&mut nowhere).unwrap_err().to_string().contains("PROCTOR_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn a_secret_itself_is_refused_with_its_place_and_without_its_value() {
        for (place, document) in [
            ("auth.value", json!({ "auth": { "value": "s3cret" } })),
            ("auth.client_secret", json!({ "auth": { "client_secret": "s3cret" } })),
            ("transport.env.TOKEN", json!({ "transport": { "env": { "TOKEN": "s3cret" } } })),
        ] {
            let refused = refuse_plain_secrets(&document).unwrap_err().to_string();
            assert!(
                refused.contains(place) && refused.contains("from_env") && !refused.contains("s3cret"),
                "{refused}"
            );
        }
        let referred =
            json!({ "auth": { "value": { "from_env": "X" } }, "transport": { "env": { "A": null } } });
        refuse_plain_secrets(&referred).unwrap();
    }
}
