//! `proctor keys list`: which keys there are, and how each is used.

use hyper::Method;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::client::Client;

pub(super) async fn run(client: &Client, as_json: bool) -> Result<(), Failure> {
    let keys = all(client).await?;
    if as_json {
        println!("{}", json!({ "keys": keys }));
        return Ok(());
    }
    println!("{}", line(["PURPOSE", "KEY", "STATE", "IN FORCE FROM"]));
    for key in &keys {
        let text = |member: &str| key[member].as_str().unwrap_or_default();
        println!("{}", line([text("purpose"), text("kid"), text("state"), text("active_at")]));
    }
    Ok(())
}

fn line([purpose, kid, state, active_at]: [&str; 4]) -> String {
    format!("{purpose:<15}{kid:<18}{state:<10}{active_at}")
}

/// All keys, over all pages.
async fn all(client: &Client) -> Result<Vec<Value>, Failure> {
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/purpose-keys?limit=500{cursor}");
        let page = client.send(Method::GET, &path, None).await?;
        keys.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(keys),
        }
    }
}
