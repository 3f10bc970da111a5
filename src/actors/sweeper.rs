//! Gives up the calls of processes that are gone, so that none stays without an outcome.

use std::future::Future;
use std::sync::Arc;

use proctor_domain::session::{Session, SessionCommand};
use proctor_domain::{ReplicaId, SessionId};

use super::ask::AskError;
use super::calls::Calls;
use super::directory::Directory;

/// Looks once for replicas whose lease has ended and records their calls as abandoned.
/// `sessions_with_open_calls` answers from a projection that has seen the journal's head; what is
/// recorded is decided by each session. Answers how many calls were given up.
pub async fn sweep<F>(
    directory: &Arc<Directory>,
    calls: &Calls,
    sessions_with_open_calls: impl Fn(ReplicaId) -> F,
) -> usize
where
    F: Future<Output = Option<Vec<SessionId>>>,
{
    end_orphans(directory, calls).await;
    let reader = directory.journal().reader();
    let (Ok(leases), Ok(now)) = (reader.leases().await, reader.now().await) else {
        return 0;
    };
    let mut abandoned = 0;
    for lease in leases {
        if lease.ends_at > now || lease.replica == *directory.journal().replica() {
            continue;
        }
        // A projection that lags or a session that fails is tried again at the next sweep.
        let Some(sessions) = sessions_with_open_calls(lease.replica.clone()).await else { continue };
        let mut complete = true;
        for session in sessions {
            let command = SessionCommand::AbandonCalls { replica: lease.replica.clone() };
            match directory.tell::<Session>(session.as_str(), command).await {
                Ok(events) => abandoned += events.len(),
                Err(error) => {
                    tracing::warn!(%session, %error, "failed to give up the calls of a replica that is gone");
                    complete = false;
                }
            }
        }
        if complete && directory.journal().forget_lease(&lease.replica).await.is_ok() {
            tracing::info!(replica = %lease.replica, "a replica is gone; its calls without an outcome were given up");
        }
    }
    abandoned
}

async fn end_orphans(directory: &Arc<Directory>, calls: &Calls) {
    for (session, call, outcome) in calls.take_orphans() {
        let command = SessionCommand::RecordOutcome {
            call: call.clone(),
            outcome: outcome.clone(),
            duration_us: 0,
            result_bytes: 0,
        };
        match directory.tell::<Session>(session.as_str(), command).await {
            Ok(_) | Err(AskError::Nonsense(_)) => {}
            Err(error) => {
                tracing::warn!(%session, %call, %error, "failed to record the end of a call that nobody holds");
                calls.orphan(call, session, outcome);
            }
        }
    }
}
