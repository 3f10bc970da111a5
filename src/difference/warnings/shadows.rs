//! Names that are the same to a reader, or to a model, though they are not.

use unicode_security::skeleton;

use crate::difference::hidden::without_hidden;

/// Another tool that the same agents see.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is, in words.
    pub place: &'a str,
}

/// Whether two names are the same but for case, separators, what cannot be seen and letters that look
/// like others (UTS 39, confusable detection).
pub(super) fn shadows(name: &str, other: &str) -> bool {
    let (name, other) = (bare(name), bare(other));
    let folded = |name: &str| skeleton(&name.to_lowercase()).collect::<String>();
    let looks = |name: &str| skeleton(name).collect::<String>().to_lowercase();
    !name.is_empty() && (folded(&name) == folded(&other) || looks(&name) == looks(&other))
}

fn bare(name: &str) -> String {
    without_hidden(name).chars().filter(|char| !matches!(char, '_' | '-' | '.' | ' ' | '/')).collect()
}
