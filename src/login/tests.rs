//! What a verified login opens, without the provider that verified it.

use std::ffi::OsString;
use std::path::PathBuf;

use proctor_domain::identity_provider::IdentityProviderCommand;
use proctor_domain::session::Access;
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::{Definition, Login, VirtualServer, VirtualServerCommand};
use proctor_domain::watch::Watch;
use proctor_domain::{By, Micros};

use super::*;
use crate::actors::{day, now};
use crate::config::{Config, Flags};
use crate::server::Server;

const ADMIN_KEY: &str = "an-administrators-key-for-tests-only-0123456789";
const MASTER_KEY: &str = "dGhpcnR5LXR3byBieXRlcyBvZiBrZXksIGZvciB1cyE=";

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct World {
    server: Server,
    login: Login,
    _folder: Folder,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl World {
    /// The virtual server `desk`, without tools, which takes logins of `corp`.
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(crate::actors::new_id("proctor-login-test"));
        let flags = Flags { data_dir: Some(folder.clone()), listen: Some("127.0.0.1:0".to_owned()) };
        let config = Config::read(&flags, |setting| match setting {
            "PROCTOR_MASTER_KEY" => Some(OsString::from(MASTER_KEY)),
            "PROCTOR_ADMIN_KEY" => Some(OsString::from(ADMIN_KEY)),
            _ => None,
        });
        let server = Server::start(config.unwrap()).await.unwrap();
        let login = Login { provider: name("corp"), ttl_seconds_max: None, access: Access::Full };
        let world = Self { server, login, _folder: Folder(folder) };
        let directory = &world.server.proctor.directory;
        let settings = Settings {
            issuer: "https://login.example.com".to_owned(),
            audience: None,
            user_claim: "sub".to_owned(),
            algorithms: Algorithm::DEFAULT.to_vec(),
            scopes: Vec::new(),
            private_network: false,
        };
        let register = IdentityProviderCommand::Register { by: world.by(), settings };
        directory.tell::<IdentityProvider>("corp", register).await.unwrap();
        let provider = directory.state::<IdentityProvider>("corp").await.unwrap();
        let define = VirtualServerCommand::Define {
            by: world.by(),
            definition: Definition { login: Some(world.login.clone()), ..Definition::default() },
            connections: Default::default(),
            providers: [(name("corp"), provider)].into(),
        };
        directory.tell::<VirtualServer>("desk", define).await.unwrap();
        world
    }

    fn by(&self) -> By {
        By::Replica(self.server.proctor.replica.clone())
    }

    /// What the token of this number opens for `ada`.
    async fn open(&self, number: u8) -> Result<String, String> {
        let verified = verified(number);
        let opened = open(&self.server.proctor, &name("desk"), &self.login, &verified).await;
        opened.map(|(id, _)| id).map_err(|error| match error {
            NotOpened::Refused { code, .. } => code.to_owned(),
            other => other.to_string(),
        })
    }

    async fn subject(&self, command: SubjectCommand) {
        let subject = self.server.proctor.keyring.subject_of("ada").await.unwrap().unwrap();
        self.server.proctor.directory.tell::<Subject>(subject.as_str(), command).await.unwrap();
    }
}

/// The token of this number, which is good for five minutes.
fn verified(number: u8) -> VerifiedLogin {
    VerifiedLogin {
        provider: name("corp"),
        provider_version: 1,
        user: Zeroizing::new("ada".to_owned()),
        subject: OnceLock::new(),
        expires_at_s: now().0 / MICROSECONDS_PER_SECOND + 300,
        not_before_s: i64::MIN,
        audiences: Vec::new(),
        kid: String::new(),
        algorithm: Algorithm::RS256,
        key: [0; 32],
        signed: [number; 32],
    }
}

#[actix_web::test]
async fn a_blocked_user_gets_no_session_also_with_a_new_token_and_that_is_on_the_record() {
    let world = World::start().await;
    let first = world.open(1).await.unwrap();
    assert_eq!(world.open(1).await.unwrap(), first);
    world.subject(SubjectCommand::Block { by: world.by(), reason: "left".to_owned() }).await;
    for number in [2, 3, 2] {
        assert_eq!(world.open(number).await, Err("subject_blocked".to_owned()));
    }
    let proctor = &world.server.proctor;
    let stream = format!("login:corp:{}", day(now()));
    let recorded = async || proctor.directory.fresh::<Watch>(&stream).await.unwrap().version();
    assert_eq!(recorded().await, 0);
    proctor.logins.refused.flush(&proctor.directory).await;
    // The minute may have ended meanwhile.
    assert!((1..=2).contains(&recorded().await));
    world.subject(SubjectCommand::Unblock { by: world.by(), reason: String::new() }).await;
    assert_ne!(world.open(2).await.unwrap(), first);
    world.server.stop().await.unwrap();
}

#[actix_web::test]
async fn a_token_that_was_verified_under_other_settings_opens_nothing() {
    let world = World::start().await;
    let verified = VerifiedLogin { provider_version: 7, ..verified(1) };
    let opened = open(&world.server.proctor, &name("desk"), &world.login, &verified).await;
    assert!(matches!(opened, Err(NotOpened::Unavailable(_))));
    world.server.stop().await.unwrap();
}

#[test]
fn a_sessions_id_follows_from_the_token_and_the_virtual_server_and_is_a_uuid_of_version_8() {
    let id = verified(1).session_at(&name("desk"));
    assert_eq!(id, verified(1).session_at(&name("desk")));
    assert_ne!(id, verified(2).session_at(&name("desk")));
    assert_ne!(id, verified(1).session_at(&name("other")));
    let uuid = uuid::Uuid::parse_str(id.strip_prefix("ses_").unwrap()).unwrap();
    assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
}

#[test]
fn a_login_has_expired_at_the_second_that_it_names() {
    let verified = VerifiedLogin { expires_at_s: 10, ..verified(1) };
    assert!(!verified.expired(9_999_999) && verified.expired(Micros(10_000_000).0));
}
