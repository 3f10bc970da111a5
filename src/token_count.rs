//! How many tokens a text costs a model that reads it: the vocabulary o200k_base.
//!
//! **Invariants.** A text from outside never makes the counting panic, or cost more than its length
//! explains.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Longest part that is counted at once. The vocabulary's expression backtracks over runs of
/// white space, and gives up (with a panic) after a million steps.
const PART_BYTES_MAX: usize = 32 * 1024;

/// How many counts are remembered before all are forgotten.
const COUNTS_MAX: usize = 65_536;

/// Loads the vocabulary on a thread of its own, so that no request waits for it. It takes a
/// fraction of a second, and several in an unoptimised build.
///
/// # Errors
/// When the operating system gives no thread; the vocabulary is then loaded by the first count.
pub fn load_in_background() -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("token-count".to_owned());
    thread
        .spawn(|| {
            tiktoken_rs::o200k_base_singleton();
        })
        .map(drop)
}

/// Counts the tokens of `text`. Waits until the vocabulary is loaded.
///
/// Exact up to 32 KiB. A longer text is counted in parts, which may add a token or two for each.
pub fn tokens(text: &str) -> usize {
    let vocabulary = tiktoken_rs::o200k_base_singleton();
    parts(text).map(|part| vocabulary.count_ordinary(part)).sum()
}

fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (part, rest) = text.split_at(text.floor_char_boundary(PART_BYTES_MAX));
        text = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// Counts by content, so that each text is counted once.
#[derive(Debug, Default)]
pub struct TokenCounts(RwLock<HashMap<String, usize>>);

impl TokenCounts {
    /// The tokens of `text`, whose SHA-256 is `digest`.
    pub fn of(&self, digest: &str, text: &str) -> usize {
        // A map is whole between two calls of its methods, so a panic elsewhere cannot have torn it.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        known.unwrap_or_else(|| {
            let count = tokens(text);
            let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if counts.len() >= COUNTS_MAX {
                counts.clear();
            }
            counts.insert(digest.to_owned(), count);
            count
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts_cost_what_the_vocabulary_says() {
        load_in_background().unwrap();
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("hello world"), 2);
        assert_eq!(tokens(r#"{"name":"search","description":"Searches notes."}"#), 12);
    }

    #[test]
    fn a_text_is_counted_once() {
        let counts = TokenCounts::default();
        assert_eq!(counts.of("d1", "hello world"), 2);
        // Another text under the same digest cannot happen; here it shows that nothing is counted.
        assert_eq!(counts.of("d1", "another text of more tokens"), 2);
        assert_eq!(counts.of("d2", "hello"), 1);
    }

    #[test]
    fn a_text_that_defeats_the_vocabularys_expression_is_counted_all_the_same() {
        let run = format!("{}x", " ".repeat(4_000_000));
        assert!(tokens(&run) > 0);
        assert!(tokens(&"a".repeat(1_000_000)) > 0);
    }

    proptest! {
        #[test]
        fn parts_put_together_are_the_text(text in "[aé€𝄞 ]{0,40}", times in 0..4_000_usize) {
            let text = text.repeat(times);
            prop_assert!(parts(&text).all(|part| part.len() <= PART_BYTES_MAX));
            prop_assert_eq!(parts(&text).collect::<String>(), text);
        }
    }
}
