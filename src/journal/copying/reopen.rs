//! Takes a store that was left back into use.

use super::End;
use crate::journal::moved::MovedAway;
use crate::journal::store::StoreError;

/// Opens a store again that was marked as moved. Answers what the mark said; nothing when there was
/// none.
///
/// # Errors
/// When the store does not answer, or this role may not write there.
pub async fn reopen(store: &mut dyn End) -> Result<Option<MovedAway>, StoreError> {
    let moved = reopen_locked(store).await;
    store.close().await;
    moved
}

async fn reopen_locked(store: &mut dyn End) -> Result<Option<MovedAway>, StoreError> {
    store.begin().await?;
    let moved = store.moved().await?;
    if moved.is_some() {
        let at = store.now().await?;
        store.mark(at, None).await?;
    }
    store.commit().await?;
    Ok(moved)
}
