//! `proctor keys rotate`: makes new keys.

use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::remote::{Client, Refused};
use crate::cli::shown::Shown;
use crate::vault::Purpose;

const ALL: &str = "all";

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// What the key is for: token_signing, digests, blind_indexes, cursors, mcp_sessions, connect, or all
    /// of them.
    #[arg(long, value_name = "PURPOSE", default_value = ALL)]
    purpose: String,
    /// When the new key comes into force (360 for token_signing, 30 otherwise).
    #[arg(long, value_name = "SECONDS")]
    after_seconds: Option<u32>,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Rotate) -> Result<(), Failure> {
    let (mut keys, purposes) = (Vec::new(), named(&wanted.purpose)?);
    for purpose in &purposes {
        let key = rotate(client, *purpose, wanted.after_seconds).await.inspect_err(|_| {
            let (done, all) = (keys.len(), purposes.len());
            eprintln!("{done} of {all} purposes have their new key: run the same command again.");
        })?;
        keys.push(key);
    }
    shown.done(&json!({ "keys": keys }), || keys.iter().map(line).collect::<Vec<_>>().join("\n"));
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
    match client.post(&path, &body).await {
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
