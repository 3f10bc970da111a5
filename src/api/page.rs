//! Pages of lists: how long they are, and where the next one begins.
//!
//! **Invariants.** A cursor is sealed and says which list it belongs to: what a client hands back is
//! read only if this list gave it out.

use proctor_domain::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// Items of a page when nothing is said.
pub(super) const ITEMS_DEFAULT: usize = 50;
/// Most items of a page.
pub(super) const ITEMS_MAX: usize = 500;

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    list: String,
    after: T,
}

/// The query of a list without filters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// How many items the page has at most: 50 when nothing is said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    pub(super) limit: Option<String>,
    /// `next_cursor` of the page before, as it is.
    pub(super) cursor: Option<String>,
}

/// A page as it is answered.
#[derive(Serialize, ToSchema)]
pub(super) struct Paged<T> {
    items: Vec<T>,
    /// Where the next page begins; `null` when this is the last.
    next_cursor: Option<String>,
    /// The journal's position that the page has seen.
    #[schema(value_type = u64)]
    position: Position,
}

/// How many items a page has.
pub(super) fn limit(asked: Option<&str>) -> Result<usize, Problem> {
    let Some(asked) = given(asked) else { return Ok(ITEMS_DEFAULT) };
    asked.parse().ok().filter(|limit| (1..=ITEMS_MAX).contains(limit)).ok_or_else(|| {
        Problem::new(Code::InvalidQuery, format!("limit is {asked:?}: choose 1 to {ITEMS_MAX}"))
    })
}

/// The item after which the page begins; nothing at the beginning.
pub(super) fn after<T: DeserializeOwned>(
    proctor: &Proctor,
    list: &str,
    cursor: Option<&str>,
) -> Result<Option<T>, Problem> {
    let Some(cursor) = given(cursor) else { return Ok(None) };
    let opened = proctor.vault.open_cursor(cursor).ok();
    let opened = opened.and_then(|opened| serde_json::from_slice::<Sealed<T>>(&opened).ok());
    opened.filter(|sealed| sealed.list == list).map(|sealed| Some(sealed.after)).ok_or_else(|| {
        let detail =
            "the cursor is not one that this list gave out: take next_cursor as it is, or begin anew without";
        Problem::new(Code::InvalidCursor, detail)
    })
}

/// Where the page after the one that ends with `after` begins.
pub(super) fn cursor<T: Serialize>(
    proctor: &Proctor,
    list: &str,
    after: Option<T>,
) -> Result<Option<String>, Problem> {
    let Some(after) = after else { return Ok(None) };
    let sealed = serde_json::to_vec(&Sealed { list: list.to_owned(), after })
        .map_err(|error| Problem::internal("make a cursor", &error))?;
    proctor.vault.seal_cursor(&sealed).map(Some).map_err(|error| Problem::internal("make a cursor", &error))
}

/// A page as it is answered.
pub(super) fn shown<T>(items: Vec<T>, next_cursor: Option<&str>, position: Position) -> Paged<T> {
    Paged { items, next_cursor: next_cursor.map(str::to_owned), position }
}

/// A query parameter that says something: an empty one says nothing.
pub(super) fn given(parameter: Option<&str>) -> Option<&str> {
    parameter.filter(|text| !text.is_empty())
}

/// One page of `names`, which are in order, and whether there are more.
pub(super) fn of_names(mut names: Vec<String>, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
    names.retain(|name| after.is_none_or(|after| name.as_str() > after));
    let more = names.len() > limit;
    names.truncate(limit);
    (names, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paged_in_order_without_one_twice() {
        let names = || ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(of_names(names(), None, 2), (vec!["a".into(), "b".into()], true));
        assert_eq!(of_names(names(), Some("b"), 2), (vec!["c".into()], false));
        assert_eq!(of_names(names(), Some("c"), 2), (vec![], false));
        assert!(!of_names(names(), None, 3).1);
    }

    #[test]
    fn a_page_has_1_to_500_items() {
        assert_eq!(limit(None).unwrap(), ITEMS_DEFAULT);
        assert_eq!(limit(Some("")).unwrap(), ITEMS_DEFAULT);
        assert_eq!(limit(Some("500")).unwrap(), 500);
        for wrong in ["0", "501", "-1", "many"] {
            assert_eq!(limit(Some(wrong)).unwrap_err().code, Code::InvalidQuery);
        }
    }
}
