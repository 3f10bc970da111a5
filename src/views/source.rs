//! Where the projector reads what was not handed to it.

use std::future::Future;
use std::sync::Arc;

use proctor_domain::{Position, Recorded};

/// The journal, as the views need it.
pub trait JournalSource: Send + Sync + 'static {
    /// What can go wrong. An event that cannot be read is an error, never left out.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The events after `after`, in order and without a gap, at most `limit`.
    fn read(
        &self,
        after: Position,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Arc<Recorded>>, Self::Error>> + Send;

    /// The last position.
    fn head(&self) -> impl Future<Output = Result<Position, Self::Error>> + Send;
}
