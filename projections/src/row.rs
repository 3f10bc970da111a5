//! Changes of rows, as data.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::Table;

/// One field of a row.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A number, a position, or microseconds.
    Integer(i64),
    /// Text of the event itself.
    Text(Cow<'a, str>),
    /// Text of an earlier event.
    Shared(Arc<str>),
}

impl Value<'_> {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Null | Self::Integer(_) => None,
        }
    }

    /// A count that may not fit: the largest number stands for all that are larger.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(one), Self::Integer(two)) => one == two,
            _ => self.as_text().is_some() && self.as_text() == other.as_text(),
        }
    }
}

impl Eq for Value<'_> {}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Null => state.write_u8(0),
            Self::Integer(number) => state.write_i64(*number),
            Self::Text(text) => text.hash(state),
            Self::Shared(text) => text.hash(state),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&Arc<str>> for Value<'_> {
    fn from(text: &Arc<str>) -> Self {
        Self::Shared(Arc::clone(text))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// How a row changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new. Columns that are not named are empty.
    Insert,
    /// The named columns have these values from here on. The row exists.
    Update,
    /// These numbers are added to the named columns. Where [`Table::counts_only`], a row that does
    /// not exist begins with them; otherwise it exists.
    Add,
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange<'a> {
    /// How.
    pub change: Change,
    /// Where.
    pub table: Table,
    /// The values of [`Table::key`], in its order.
    pub key: Vec<Value<'a>>,
    /// Other columns, by their index in [`Table::columns`].
    pub columns: Vec<(usize, Value<'a>)>,
}
