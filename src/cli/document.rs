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

/// Refuses secrets that stand in a connection's document themselves.
pub(super) fn refuse_plain_secrets(connection: &Value) -> Result<(), Failure> {
    let env = connection.pointer("/transport/env").and_then(Value::as_object);
    let places = [("auth.value", connection.pointer("/auth/value"))]
        .into_iter()
        .map(|(place, value)| (place.to_owned(), value))
        .chain([("auth.client_secret".to_owned(), connection.pointer("/auth/client_secret"))])
        .chain(env.into_iter().flatten().map(|(name, value)| (format!("transport.env.{name}"), Some(value))));
    for (place, value) in places {
        if value.is_some_and(Value::is_string) {
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
