//! `proctor serve`: the server, until it is told to stop.

use super::{Failure, logs};
use crate::config::{Config, Flags};
use crate::server::Server;

pub(super) fn run(flags: Flags) -> Result<(), Failure> {
    let config = Config::read(&flags, |name| std::env::var_os(name))?;
    logs::start(&config);
    actix_web::rt::System::new().block_on(async {
        let server = Server::start(config).await?;
        server.run_until_signal().await?;
        Ok(())
    })
}
