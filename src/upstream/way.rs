//! The way to one upstream, whichever transport it takes.

use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::{runtime::Handle, time::timeout};

use super::{
    Call, Catalog, Dialer, Era, Limits, Probed, Reach, Target, Transport,
    catalog::{self, Listed},
    envelope::{self, Answer},
    failure::Failure,
    hears::Hears,
    http::HttpUpstream,
    line::{Line as _, Outgoing, Pass, discover, next_id},
    pool::Heard,
    stdio::{Places, Program, StdioUpstream},
    told::Teller,
};

/// Ending a session or a child when it is closed may take so long.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// What a way that is open is asked for: all that there can be, since what its server can do is not
/// remembered there.
const LISTED_WHERE_OPEN: [Listed; 3] = [Listed::Tools, Listed::Prompts, Listed::ResourceTemplates];

pub(super) enum Way {
    Http(Arc<HttpUpstream>),
    Stdio(Box<StdioUpstream>),
}

impl Way {
    /// Takes a target's settings apart; nothing is connected or started yet.
    pub fn new(
        target: &Target,
        dialer: &Dialer,
        limits: &Arc<Limits>,
        places: Option<&Arc<Places>>,
        teller: Option<Teller>,
        declares: Option<&str>,
        runtime: &Handle,
    ) -> Result<Self, Failure> {
        match &target.transport {
            Transport::Http { url } => {
                let reach = match target.private_network {
                    true => Reach::Private,
                    false => Reach::Global,
                };
                let http =
                    HttpUpstream::new(url, &target.auth, reach, dialer.clone(), limits.clone(), declares)?;
                Ok(Self::Http(Arc::new(http)))
            }
            Transport::Stdio { command, args, env, of_user } => {
                let program = Program {
                    connection: target.connection.clone(),
                    command: command.clone(),
                    args: args.clone(),
                    env: env.clone(),
                    of_user: of_user.clone(),
                    teller,
                };
                let (places, limits, runtime) = (places.cloned(), limits.clone(), runtime.clone());
                Ok(Self::Stdio(Box::new(StdioUpstream::new(program, places, limits, runtime))))
            }
        }
    }

    pub fn is_child(&self) -> bool {
        matches!(self, Self::Stdio(_))
    }

    /// Makes a call.
    pub async fn call<H: Hears>(
        &self,
        era: Option<Era>,
        call: &Call<'_>,
        pass: Pass,
        hears: &mut H,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Http(upstream) => upstream.call(era, call, &pass, hears).await,
            Self::Stdio(upstream) => Box::pin(upstream.call(era, call, pass, hears)).await,
        }
    }

    /// Tells the upstream that a call is not wanted any more.
    pub async fn cancel(&self, id: u64) {
        match self {
            Self::Http(upstream) => upstream.cancel(id).await,
            Self::Stdio(upstream) => upstream.cancel(id).await,
        }
    }

    /// Finds the era and takes it up.
    pub async fn probe(&self) -> Result<Probed, Failure> {
        match self {
            Self::Http(upstream) => {
                let (ready, probed) = discover(upstream).await?;
                upstream.adopt(ready);
                Ok(probed)
            }
            Self::Stdio(upstream) => {
                let starting = upstream.starting().await?;
                let (ready, probed) = discover(&starting).await?;
                upstream.adopt(&starting, ready).await;
                Ok(probed)
            }
        }
    }

    /// Asks something that is no call.
    pub async fn ask(&self, era: Era, outgoing: Outgoing<'_>) -> Result<Answer, Failure> {
        match self {
            Self::Http(upstream) => upstream.ask_ready(era, outgoing).await,
            Self::Stdio(upstream) => upstream.ask(Some(era), outgoing).await,
        }
    }

    /// What is offered on it, where it is open.
    pub async fn list_where_open(&self, limits: &Limits) -> Option<Result<Catalog, Failure>> {
        match self {
            Self::Http(upstream) => {
                let ready = &upstream.current()?;
                let page = |list: Listed, cursor: Option<String>| async move {
                    let (id, method) = (next_id(), list.method());
                    let body = envelope::list(id, method, cursor.as_deref(), ready.is_modern());
                    Ok(upstream.ask(ready, Outgoing::plain(id, method, body)).await?.answer)
                };
                Some(catalog::discover(limits, &LISTED_WHERE_OPEN, page).await)
            }
            Self::Stdio(upstream) => {
                let (child, ready) = &upstream.running().await?;
                let page = |list: Listed, cursor: Option<String>| async move {
                    let id = next_id();
                    let body = envelope::list(id, list.method(), cursor.as_deref(), ready.is_modern());
                    child.ask(id, body, None, &mut |_: &RawValue| ()).await
                };
                Some(catalog::discover(limits, &LISTED_WHERE_OPEN, page).await)
            }
        }
    }

    /// Hears what a probed upstream says by itself, until it ends that; not at all where that is no
    /// stream of its own.
    pub async fn listen(&self, heard: &mut (dyn FnMut(Heard) + Send)) -> Result<(), Failure> {
        match self {
            Self::Http(upstream) => match upstream.current() {
                Some(ready) => upstream.listen(&ready, heard).await,
                None => Ok(()),
            },
            Self::Stdio(_) => Ok(()),
        }
    }

    /// Closes idle connections that are old.
    pub fn prune(&self) {
        if let Self::Http(upstream) = self {
            upstream.prune();
        }
    }

    /// Ends sessions, connections and the child.
    pub async fn close(&self) {
        let closing = async {
            match self {
                Self::Http(upstream) => upstream.close().await,
                Self::Stdio(upstream) => upstream.close().await,
            }
        };
        let _abandoned = timeout(CLOSE_WAIT, closing).await;
    }
}
