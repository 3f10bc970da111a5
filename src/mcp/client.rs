//! What an agent's software says of itself, as it may stand in the journal.
//!
//! **Invariants.** Control characters, and marks that turn the direction of text, are escaped, and
//! length is bounded: whoever reads the record must not be misled by a name.

use proctor_domain::session::Client;
use serde_json::value::RawValue;

use super::members::{members, text};

/// Longest name, version or trace id of a client, in characters.
const CLIENT_CHARS_MAX: usize = 128;
/// Length of a W3C trace id.
const TRACE_ID_CHARS: usize = 32;

/// Reads `clientInfo`; what is missing or of another type is left empty.
pub(super) fn client(info: Option<&RawValue>, protocol: &str) -> Client {
    let mut client = Client { protocol: protocol.to_owned(), ..Client::default() };
    if let Some(info) = info {
        let read = members(info.get(), |key, value| match key {
            "name" => client.name = text(value).map(|text| for_the_record(&text)).unwrap_or_default(),
            "version" => client.version = text(value).map(|text| for_the_record(&text)).unwrap_or_default(),
            _ => {}
        });
        if read.is_err() {
            return Client { protocol: protocol.to_owned(), ..Client::default() };
        }
    }
    client
}

fn for_the_record(text: &str) -> String {
    let plain = |c: char| !(c.is_control() || turns_text(c));
    if text.len() <= CLIENT_CHARS_MAX && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut escaped = String::new();
    for c in text.chars().take(CLIENT_CHARS_MAX) {
        if plain(c) { escaped.push(c) } else { escaped.extend(c.escape_default()) }
    }
    escaped.chars().take(CLIENT_CHARS_MAX).collect()
}

fn turns_text(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The trace id of a `traceparent` (W3C Trace Context, 3.2.2), if it has one.
pub(super) fn trace_id(traceparent: &str) -> Option<String> {
    let (_version, rest) = traceparent.split_once('-')?;
    let (id, _) = rest.split_once('-')?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let valid = id.len() == TRACE_ID_CHARS && id.bytes().all(hex) && id.bytes().any(|byte| byte != b'0');
    valid.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_is_escaped_and_cut() {
        let info = RawValue::from_string(format!(
            r#"{{"name":"a\u001b[31m\u202eb","version":"{}","x":1}}"#,
            "v".repeat(500)
        ));
        let client = client(Some(&info.unwrap()), "2026-07-28");
        assert_eq!(client.name, "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(client.version.len(), CLIENT_CHARS_MAX);
        assert_eq!(client.protocol, "2026-07-28");
    }

    #[test]
    fn what_is_no_client_info_names_no_client() {
        for info in ["[]", "1", r#"{"name":7}"#, r#"{"name":"a","name":"b"}"#] {
            let info = RawValue::from_string(info.to_owned()).unwrap();
            assert_eq!(client(Some(&info), "p").name, "", "{info}");
        }
    }

    #[test]
    fn a_trace_id_is_taken_from_a_well_formed_traceparent_only() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Some(id));
        for odd in [
            "",
            "00",
            "00-x-y-01",
            &format!("00-{}-1-1", "0".repeat(32)),
            &format!("00-{}-1", id.to_uppercase()),
        ] {
            assert_eq!(trace_id(odd), None, "{odd}");
        }
    }
}
