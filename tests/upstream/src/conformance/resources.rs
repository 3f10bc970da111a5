//! The resources.

use serde_json::{Value, json};

use super::tools::PNG;

/// The resource whose changes can be heard of.
pub const WATCHED: &str = "test://watched-resource";

pub const TEMPLATE: &str = "test://template/{id}/data";

/// All resources, as they are listed.
pub fn resources() -> Value {
    json!([
        {
            "uri": "test://static-text", "name": "static-text",
            "description": "A text that stays the same.", "mimeType": "text/plain",
        },
        {
            "uri": "test://static-binary", "name": "static-binary",
            "description": "An image that stays the same.", "mimeType": "image/png",
        },
        {
            "uri": WATCHED, "name": "watched-resource",
            "description": "A text whose changes can be heard of.", "mimeType": "text/plain",
        },
    ])
}

/// All templates, as they are listed.
pub fn templates() -> Value {
    json!([{
        "uriTemplate": TEMPLATE, "name": "template", "description": "A text for every id.",
        "mimeType": "application/json",
    }])
}

/// What is in the resource with this URI.
pub fn read(uri: &str) -> Option<Value> {
    let content = match uri {
        "test://static-text" => json!({
            "uri": uri, "mimeType": "text/plain",
            "text": "This is the content of the static text resource.",
        }),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
        WATCHED => json!({ "uri": uri, "mimeType": "text/plain", "text": "Watch me." }),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            let known = !id.is_empty() && !id.contains('/');
            known.then(|| json!({ "uri": uri, "mimeType": "application/json", "text": data.to_string() }))?
        }
    };
    Some(json!({ "contents": [content] }))
}
