//! Words whose letters are of several scripts.
//!
//! By UTS 39 (mixed-script detection): the scripts that a language mixes count as one, and Latin may
//! stand beside any one of them but Cyrillic and Greek, whose letters look like its own.

use unicode_script::{Script, UnicodeScript as _};
use unicode_security::{MixedScript as _, skeleton};

/// The words of a text that mix scripts in a way in which no language does.
pub(super) fn mixed(text: &str) -> Vec<String> {
    let is_of_word = |char: char| char.is_alphabetic() || char.script() == Script::Inherited;
    let words = text.split(|char| !is_of_word(char)).filter(|word| !word.is_empty());
    words.filter(|word| is_mixed(word)).map(str::to_owned).collect()
}

fn is_mixed(word: &str) -> bool {
    if word.is_ascii() || word.is_single_script() {
        return false;
    }
    let others: String = word.chars().filter(|char| char.script() != Script::Latin).collect();
    let looks_latin = |char: char| skeleton(&char.to_string()).all(|shown| shown.is_ascii());
    // μs, ΔT and the like look like nothing else.
    let is_symbol = others.chars().all(|char| char.script() == Script::Greek && !looks_latin(char));
    if is_symbol {
        return false;
    }
    let mixes_badly = |script| matches!(script, Script::Cyrillic | Script::Greek);
    let of_one = others.as_str().is_single_script();
    !of_one || others.chars().any(|char| mixes_badly(char.script()) || !is_usual(char.script()))
}

fn is_usual(script: Script) -> bool {
    script.is_recommended() || matches!(script, Script::Common | Script::Inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_pass_for_others_are_found_and_what_a_language_mixes_is_not() {
        for (text, words) in [
            ("раypal and аpple", &["раypal", "аpple"][..]),
            ("gοοgle", &["gοοgle"]),
            ("sсope", &["sсope"]),
            ("Ꭺmazon", &["Ꭺmazon"]),
            ("Größe naïve Việt API-ключ send_почта 東京タワーです Tシャツ JSON으로 URLは 3D動画", &[]),
            ("μs ΔT λx Ωm", &[]),
            ("e\u{301}té", &[]),
        ] {
            assert_eq!(mixed(text), words, "{text}");
        }
    }
}
