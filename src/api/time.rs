//! Points in time as clients write and read them: RFC 3339, in UTC when written.

use chrono::{DateTime, SecondsFormat};
use proctor_domain::Micros;

/// `2026-11-22T20:14:05.123456Z`.
pub(super) fn shown(at: Micros) -> String {
    DateTime::from_timestamp_micros(at.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads any RFC 3339 time, also one whose `+` became a space on its way in a query.
pub(super) fn read(text: &str) -> Option<Micros> {
    let parse = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    let at = parse(text).or_else(|| parse(&text.replacen(' ', "+", 1)))?;
    Some(Micros(at.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was_written() {
        let at = Micros(1_795_378_445_123_456);
        assert_eq!(shown(at), "2026-11-22T20:14:05.123456Z");
        assert_eq!(read(&shown(at)), Some(at));
        assert_eq!(shown(Micros(0)), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn zones_are_read_and_a_plus_that_became_a_space_is_a_plus() {
        let at = read("2026-11-22T20:14:05Z");
        assert!(at.is_some());
        assert_eq!(read("2026-11-22T22:14:05+02:00"), at);
        assert_eq!(read("2026-11-22T22:14:05 02:00"), at);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "yesterday", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T20:14:05", "1795378445"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
