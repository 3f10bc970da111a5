//! Names that are the same to a reader, or to a model, though they are not.

use unicode_security::skeleton;

use crate::difference::hidden::without_hidden;

/// Another tool that the same agents see.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Where it is, in words.
    pub place: String,
    looks: Looks,
}

impl Neighbour {
    /// The tool of this name, at this place.
    #[must_use]
    pub fn new(name: String, place: String) -> Self {
        Self { looks: Looks::of(&name), name, place }
    }
}

/// What a name comes to but for case, separators, what cannot be seen and letters that look like others
/// (UTS 39, confusable detection).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    /// Looked at after case was folded, and before: a capital i looks like a small l, and a small one not.
    folded: String,
    unfolded: String,
}

impl Looks {
    pub(super) fn of(name: &str) -> Self {
        let visible = without_hidden(name);
        let bare: String =
            visible.chars().filter(|char| !matches!(char, '_' | '-' | '.' | ' ' | '/')).collect();
        Self {
            folded: skeleton(&bare.to_lowercase()).collect(),
            unfolded: skeleton(&bare).collect::<String>().to_lowercase(),
        }
    }

    /// Whether this name would pass for that of the neighbour.
    pub(super) fn shadow(&self, neighbour: &Neighbour) -> bool {
        !self.folded.is_empty()
            && (self.folded == neighbour.looks.folded || self.unfolded == neighbour.looks.unfolded)
    }
}
