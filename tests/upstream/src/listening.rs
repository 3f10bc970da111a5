//! Streams on which the upstream says that its tools have changed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::server::lock;

/// Messages that wait for a slow listener.
const WAITING_MAX: usize = 16;

/// Who listens.
#[derive(Debug, Default)]
pub struct Listeners {
    open: Mutex<Vec<(Sender<String>, String)>>,
    in_next_call: AtomicBool,
}

impl Listeners {
    /// Another one; a modern one has subscribed with a request of this id.
    pub fn add(&self, subscription: Option<&str>) -> Receiver<String> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let meta =
            subscription.map(|id| format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}"#));
        if let Some(meta) = &meta {
            let acknowledged = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{{meta},"notifications":{{"toolsListChanged":true}}}}}}"#
            );
            sender.try_send(acknowledged).expect("room in a new channel");
        }
        lock(&self.open).push((sender, changed(&meta.unwrap_or_default())));
        receiver
    }

    pub fn announce(&self) {
        lock(&self.open).retain(|(sender, message)| sender.try_send(message.clone()).is_ok());
    }

    pub fn announce_in_next_call(&self) {
        self.in_next_call.store(true, Ordering::Release);
    }

    /// What the call that asks has to say first.
    pub fn in_this_call(&self) -> Option<String> {
        self.in_next_call.swap(false, Ordering::AcqRel).then(|| changed(""))
    }

    pub fn hang_up(&self) {
        lock(&self.open).clear();
    }

    pub fn open(&self) -> usize {
        let mut open = lock(&self.open);
        open.retain(|(sender, _)| !sender.is_closed());
        open.len()
    }
}

fn changed(meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{{meta}}}}}"#)
}
