//! Characters that a reader does not see, or that make a text look like another.
//!
//! Some of them have their place: a joiner between the letters of Persian or Hindi, the parts of an
//! emoji. There they are no reason to warn; a second one beside the first is.

use unicode_script::{Script, UnicodeScript as _};

/// Scripts that are written with joiners between letters.
const JOINING: [Script; 19] = [
    Script::Arabic,
    Script::Bengali,
    Script::Devanagari,
    Script::Gujarati,
    Script::Gurmukhi,
    Script::Kannada,
    Script::Khmer,
    Script::Malayalam,
    Script::Mandaic,
    Script::Mongolian,
    Script::Myanmar,
    Script::Nko,
    Script::Oriya,
    Script::Phags_Pa,
    Script::Sinhala,
    Script::Syriac,
    Script::Tamil,
    Script::Telugu,
    Script::Tibetan,
];
/// What comes after a black flag for the flags of England, Scotland and Wales, in tags.
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
const BLACK_FLAG: char = '\u{1f3f4}';
const TAG_END: char = '\u{e007f}';

/// The text with everything escaped that cannot be seen, or turns the direction of what can.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_hidden(char) && !matches!(char, '\n' | '\t') {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// The text without such characters.
pub(super) fn without_hidden(text: &str) -> String {
    text.chars().filter(|char| !is_hidden(*char) || char.is_whitespace()).collect()
}

/// The characters of a text that are hidden where they have no place.
pub(super) fn suspicious(text: &str) -> Vec<char> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        let length = flag(&chars[index..]);
        if length > 0 {
            index += length;
            continue;
        }
        if is_hidden(chars[index]) && !has_its_place(&chars, index) {
            found.push(chars[index]);
        }
        index += 1;
    }
    found
}

/// Control characters, and what Unicode has ignored by default (`Default_Ignorable_Code_Point`), with a
/// few others that show nothing.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn has_its_place(chars: &[char], index: usize) -> bool {
    let before = index.checked_sub(1).map(|before| chars[before]);
    let after = chars.get(index + 1).copied();
    match chars[index] {
        '\n' | '\t' => true,
        '\r' => after == Some('\n'),
        '\u{200c}' => before.is_some_and(is_joining) && after.is_some_and(is_joining),
        '\u{200d}' => {
            let joins = |char: char| is_pictographic(char) || char == '\u{fe0f}';
            before.is_some_and(is_joining)
                || (before.is_some_and(joins) && after.is_some_and(is_pictographic))
        }
        // How an emoji looks, or which form an ideograph has.
        '\u{fe0e}' | '\u{fe0f}' => before
            .is_some_and(|base| is_pictographic(base) || base.is_ascii_digit() || matches!(base, '#' | '*')),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => {
            before.is_some_and(|base| base.script() == Script::Han)
        }
        '\u{180b}'..='\u{180d}' | '\u{180f}' => before.is_some_and(|base| base.script() == Script::Mongolian),
        _ => false,
    }
}

fn is_joining(char: char) -> bool {
    JOINING.contains(&char.script())
}

fn is_pictographic(char: char) -> bool {
    matches!(char,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}'
        | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

/// How many characters at the beginning are a flag that is written with tags.
fn flag(chars: &[char]) -> usize {
    if chars.first() != Some(&BLACK_FLAG) {
        return 0;
    }
    for name in FLAGS {
        let tags = name.bytes().filter_map(|byte| char::from_u32(0xe0000 + u32::from(byte))).chain([TAG_END]);
        if chars[1..].iter().copied().zip(tags.clone()).filter(|(one, other)| one == other).count()
            == tags.clone().count()
        {
            return 1 + tags.count();
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_its_place_is_not_suspicious_in_any_language() {
        for text in [
            "Reads a note.\r\n\tWith tabs\nand lines.",
            "می‌خواهم این یادداشت را بخوانم",
            "क्‍ष और ज्ञ पढ़ता है",
            "ශ්‍රී ලංකා",
            "👩‍💻 works, 👨‍👩‍👧‍👦 too, and 🏳️‍🌈 flies ❤️ 1️⃣ ☺︎",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} England",
            "葛\u{e0100}城市 の 天気",
            "Größe, naïve, Ελληνικά, עברית, العربية, 日本語, 한국어, ไทย, Việt",
        ] {
            assert_eq!(suspicious(text), Vec::<char>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_hidden_elsewhere_is() {
        for (text, found) in [
            ("pass\u{200b}word", "\u{200b}"),
            ("a\u{200d}b", "\u{200d}"),
            ("a\u{200c}b", "\u{200c}"),
            ("\u{202e}txt.exe\u{202c}", "\u{202e}\u{202c}"),
            ("\u{2066}x\u{2069}", "\u{2066}\u{2069}"),
            ("hi\u{e0068}\u{e0069}", "\u{e0068}\u{e0069}"),
            ("🏴\u{e0068}\u{e0069}\u{e007f}", "\u{e0068}\u{e0069}\u{e007f}"),
            // What is said in selectors after an emoji.
            ("😀\u{fe0f}\u{fe0f}\u{e0110}", "\u{fe0f}\u{e0110}"),
            ("a\u{fe0f}", "\u{fe0f}"),
            ("bell\u{7}, \u{1b}[2J and a lone \r", "\u{7}\u{1b}\r"),
            ("soft\u{ad}hyphen \u{feff} \u{3164} \u{2028}", "\u{ad}\u{feff}\u{3164}\u{2028}"),
        ] {
            assert_eq!(suspicious(text).into_iter().collect::<String>(), found, "{text:?}");
        }
    }

    #[test]
    fn what_is_hidden_is_shown_and_nothing_else_is_touched() {
        assert_eq!(visible("a\u{200b}b\n\tü\u{202e}\u{1b}"), "a\\u{200b}b\n\tü\\u{202e}\\u{1b}");
        assert_eq!(without_hidden("i\u{200b}gn\u{ad}ore\nall"), "ignore\nall");
    }
}
