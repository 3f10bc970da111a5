//! `proctor keys rotate`: makes new keys.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::client::{Client, Refused};
use crate::vault::Purpose;

const ALL: &str = "all";

pub(super) async fn run(
    client: &Client,
    purpose: &str,
    after_seconds: Option<u32>,
    as_json: bool,
) -> Result<(), Failure> {
    let (mut keys, purposes) = (Vec::new(), named(purpose)?);
    for purpose in &purposes {
        let key = rotate(client, *purpose, after_seconds).await.map_err(|failure| {
            let (done, all) = (keys.len(), purposes.len());
            format!("{failure} ({done} of {all} purposes have their new key: run the same command again)")
        })?;
        if !as_json {
            println!("{}", line(&key));
        }
        keys.push(key);
    }
    if as_json {
        println!("{}", json!({ "keys": keys }));
    }
    Ok(())
}

fn named(purpose: &str) -> Result<Vec<Purpose>, Failure> {
    if purpose == ALL {
        return Ok(Purpose::ALL.to_vec());
    }
    let known = || Purpose::ALL.map(Purpose::name).join(", ");
    let unknown = || format!("{purpose:?} is no purpose of a key: choose all or one of {}", known()).into();
    Purpose::from_name(purpose).map(|purpose| vec![purpose]).ok_or_else(unknown)
}

/// The purpose's new key: made now, or made before and waiting.
async fn rotate(client: &Client, purpose: Purpose, after_seconds: Option<u32>) -> Result<Value, Failure> {
    let path = format!("/api/v1/purpose-keys/{purpose}/rotate");
    let body = after_seconds.map_or_else(|| json!({}), |seconds| json!({ "after_seconds": seconds }));
    match client.send(Method::POST, &path, Some(&body)).await {
        Ok(mut key) => {
            key["made"] = true.into();
            Ok(key)
        }
        Err(failure) => match failure.downcast_ref::<Refused>() {
            Some(refused)
                if refused.status == StatusCode::CONFLICT && refused.problem["code"] == "key_waiting" =>
            {
                Ok(json!({
                    "purpose": purpose.name(),
                    "kid": refused.problem["kid"],
                    "state": "waiting",
                    "active_at": refused.problem["active_at"],
                    "made": false,
                }))
            }
            _ => Err(failure),
        },
    }
}

fn line(key: &Value) -> String {
    let text = |member: &str| key[member].as_str().unwrap_or_default();
    let (purpose, kid, active_at) = (text("purpose"), text("kid"), text("active_at"));
    if key["made"] == true {
        format!("{purpose}: the new key {kid} comes into force at {active_at}")
    } else {
        format!("{purpose}: nothing was done, the key {kid} waits already, until {active_at}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_purpose_is_named_or_all_of_them() {
        assert_eq!(named("all").unwrap(), Purpose::ALL);
        assert_eq!(named("cursors").unwrap(), [Purpose::Cursors]);
        assert!(named("nonsense").unwrap_err().to_string().contains("blind_indexes"));
    }

    #[test]
    fn a_line_says_what_was_made_and_what_waits() {
        let mut key = json!({ "purpose": "cursors", "kid": "0a1b", "active_at": "T", "made": true });
        assert_eq!(line(&key), "cursors: the new key 0a1b comes into force at T");
        key["made"] = false.into();
        assert_eq!(line(&key), "cursors: nothing was done, the key 0a1b waits already, until T");
    }
}
