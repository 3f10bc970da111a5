//! What stands in a destination that is not empty: often what is wanted, because the same command
//! has been there before.
//!
//! **Invariants.** Nothing is written. What is called the same was compared.

use proctor_domain::Position;

use super::verify::{self, Comparison, Walk};
use super::{CopyError, Difference, EVENTS, End, Outcome, Progress, Stage, rows_of};

/// Finds out how the destination's journal, which ends at `there`, is related to the source's.
pub(super) async fn examine(
    source: &mut dyn End,
    destination: &mut dyn End,
    there: Position,
    watch: &mut dyn FnMut(Progress),
) -> Result<Outcome, CopyError> {
    let head = source.head().await.map_err(CopyError::Source)?;
    let mut difference = None;
    if head == there {
        let rows_total = rows_of(source).await.map_err(CopyError::Source)?;
        match verify::verify(source, destination, rows_total, watch).await {
            Ok(copied) => return Ok(Outcome::WasThere(copied)),
            Err(CopyError::Differs(found)) => difference = Some(found),
            Err(error) => return Err(error),
        }
    }
    let ends_first = head.min(there);
    let same = events_in_common(source, destination, ends_first, watch).await?;
    let (more, more_there) = (head.0 - same, there.0 - same);
    let found = match (same, difference) {
        (0, _) => format!("it holds another journal, of {there} events"),
        (same, _) if same < ends_first.0 => format!(
            "it holds this journal up to position {same}; after that both have gone on, the destination by \
             {more_there} events and the source by {more}"
        ),
        (_, Some(Difference(found))) => format!("it holds the same events, but {found}"),
        (_, None) if there > head => return Ok(Outcome::HasGoneOn { head, there }),
        (_, None) => format!(
            "it holds an older state of this journal: the first {there} events, to which the source has \
             added {more}"
        ),
    };
    Err(CopyError::Another(found))
}

/// How many events both have in common, from the first one on.
async fn events_in_common(
    source: &mut dyn End,
    destination: &mut dyn End,
    until: Position,
    watch: &mut dyn FnMut(Progress),
) -> Result<u64, CopyError> {
    let progress = Progress { stage: Stage::Comparing, rows: 0, rows_total: until.0, events: 0 };
    let mut stores = Comparison { source, destination, progress, watch };
    let mut events = Walk::new(&EVENTS);
    for same in 0..until.0 {
        match events.next(&mut stores).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(CopyError::Differs(_)) => return Ok(same),
            Err(error) => return Err(error),
        }
    }
    Ok(until.0)
}
