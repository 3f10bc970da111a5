//! What reading the configuration promises.

use std::collections::HashMap;

use std::path::Path;

use super::*;
use crate::vault::MasterKey;

const ADMIN_KEY: &str = "pk_0123456789abcdef0123456789abcdef";

fn read(flags: &Flags, set: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let (_, master_key) = MasterKey::generate();
    let mut environment: HashMap<&str, &str> =
        [("PROCTOR_MASTER_KEY", master_key.as_str()), ("PROCTOR_ADMIN_KEY", ADMIN_KEY)].into();
    environment.extend(set.iter().copied());
    Config::read(flags, |setting| environment.get(setting).map(OsString::from))
}

/// The settings that are wrong, each with what is said of it.
fn wrong(set: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    read(&Flags::default(), set)
        .unwrap_err()
        .0
        .into_iter()
        .map(|error| (error.setting, error.wrong))
        .collect()
}

#[test]
fn two_keys_are_enough_to_start() {
    let config = read(&Flags::default(), &[]).unwrap();
    assert_eq!(config.data_dir, Path::new("proctor-data"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:8700");
    assert_eq!(config.store, StoreConfig::Sqlite { path: "proctor-data/journal.sqlite".into() });
    assert_eq!(config.lease, Duration::from_secs(30));
    assert_eq!(config.entity_idle, Duration::from_secs(300));
    assert_eq!(config.call_deadline, Duration::from_secs(60));
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    assert_eq!((config.body_bytes_max, config.result_bytes_max), (4 << 20, 16 << 20));
    assert_eq!((config.children_max, config.children_of_connection_max), (64, 48));
    assert_eq!(config.catalog_every, Some(Duration::from_secs(300)));
    assert_eq!((config.log_format, config.log_filter.as_str()), (LogFormat::Text, "info"));
    assert_eq!(config.admin_key.expose(), ADMIN_KEY);
}

#[test]
fn flags_go_before_the_environment_and_an_empty_setting_counts_as_absent() {
    let set = [("PROCTOR_DATA_DIR", "/env"), ("PROCTOR_LISTEN", "127.0.0.1:1"), ("DATABASE_URL", "")];
    let config = read(&Flags::default(), &set).unwrap();
    assert_eq!(config.data_dir, Path::new("/env"));
    assert_eq!(config.listen.port(), 1);
    let flags = Flags { data_dir: Some("/flag".into()), listen: Some("localhost:2".to_owned()) };
    let config = read(&flags, &set).unwrap();
    assert_eq!(config.store, StoreConfig::Sqlite { path: "/flag/journal.sqlite".into() });
    assert_eq!(config.listen.to_string(), "127.0.0.1:2");
}

#[test]
fn upstreams_are_looked_at_on_a_schedule_or_never() {
    let every =
        |seconds| read(&Flags::default(), &[("PROCTOR_CATALOG_SECONDS", seconds)]).unwrap().catalog_every;
    assert_eq!((every("7"), every("0")), (Some(Duration::from_secs(7)), None));
}

#[test]
fn without_keys_the_server_does_not_start_and_says_how_to_make_them() {
    let errors = Config::read(&Flags::default(), |_| None).unwrap_err();
    let settings: Vec<_> = errors.0.iter().map(|error| error.setting).collect();
    assert_eq!(settings, ["PROCTOR_MASTER_KEY", "PROCTOR_ADMIN_KEY"]);
    assert_eq!(errors.to_string().matches("openssl rand").count(), 2);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = wrong(&[
        ("PROCTOR_LISTEN", "nowhere"),
        ("PROCTOR_APP_NAME", &"x".repeat(101)),
        ("PROCTOR_PUBLIC_URL", "mcp.example.com"),
        ("PROCTOR_MASTER_KEY", "short"),
        ("PROCTOR_MASTER_KEY_SECOND", "short"),
        ("PROCTOR_ADMIN_KEY", "short"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("PROCTOR_LEASE_SECONDS", "1"),
        ("PROCTOR_WEB_THREADS", "0"),
        ("PROCTOR_ENTITY_IDLE_SECONDS", "-3"),
        ("PROCTOR_CALL_DEADLINE_MS", "600001"),
        ("PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS", "0"),
        ("PROCTOR_WEBHOOK_RETRY_FOR_SECONDS", "soon"),
        ("PROCTOR_CATALOG_SECONDS", "86401"),
        ("PROCTOR_SHUTDOWN_GRACE_MS", "soon"),
        ("PROCTOR_BODY_BYTES_MAX", "1e6"),
        ("PROCTOR_RESULT_BYTES_MAX", "99999999999999999999"),
        ("PROCTOR_ALLOWED_HOSTS", "ok.example.com, http://x"),
        ("PROCTOR_ALLOWED_ORIGINS", "x"),
        ("PROCTOR_LOG_FORMAT", "xml"),
        ("PROCTOR_LOG", "a=b=c"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ]);
    let mut settings: Vec<_> = wrong.iter().map(|(setting, _)| *setting).collect();
    settings.dedup();
    assert_eq!(settings.len(), 24, "{wrong:#?}");
    for (setting, wrong) in &wrong {
        assert!(wrong.contains(": "), "{setting} does not say what to do: {wrong}");
    }
}

#[test]
fn one_trace_in_ten_is_told_unless_it_is_said_how_many() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    let ratio = |more: &[(&str, &str)]| {
        let config = read(&Flags::default(), &[&[endpoint], more].concat()).unwrap();
        config.traces.map(|traces| traces.ratio)
    };
    assert_eq!(ratio(&[]), Some(0.1));
    assert_eq!(ratio(&[("OTEL_TRACES_SAMPLER_ARG", "")]), Some(0.1));
    assert_eq!(ratio(&[("OTEL_TRACES_SAMPLER_ARG", "1")]), Some(1.0));
    assert_eq!(ratio(&[("OTEL_TRACES_SAMPLER_ARG", "0")]), Some(0.0));
}

#[test]
fn no_secret_is_repeated_in_an_error_or_when_the_configuration_is_printed() {
    let secrets = ["c2hvcnRzZWNyZXQ", "tooshortsecret", "hunter2"];
    let url = format!("postgres://proctor:{}@db", secrets[2]);
    let errors = read(
        &Flags::default(),
        &[("PROCTOR_MASTER_KEY", secrets[0]), ("PROCTOR_ADMIN_KEY", secrets[1]), ("DATABASE_URL", &url)],
    )
    .unwrap_err();
    assert_eq!(errors.0.len(), 3);
    let said = format!("{errors} {errors:?}");
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    assert!(!format!("{:?}", read(&Flags::default(), &[]).unwrap()).contains(ADMIN_KEY));
}

#[test]
fn a_postgres_url_names_a_database_and_may_have_several_hosts() {
    let hosts = ("PROCTOR_DATABASE_HOSTS", "one, two:5433,[::1]:5434");
    for url in ["postgres://u:hunter2@db/proctor", "postgresql://db/proctor"] {
        let config = read(&Flags::default(), &[("DATABASE_URL", url), hosts]).unwrap();
        let StoreConfig::Postgres { url: kept, hosts } = &config.store else { panic!("{:?}", config.store) };
        assert_eq!(kept.expose(), url);
        assert_eq!(hosts, &["one", "two:5433", "[::1]:5434"]);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
    assert!(wrong(&[("DATABASE_URL", "postgres://u:hunter2@db")])[0].1.contains("no database"));
    for host in ["a b", "u@h", "h/x", "h:port"] {
        let wrong = wrong(&[("DATABASE_URL", "postgres://db/proctor"), ("PROCTOR_DATABASE_HOSTS", host)]);
        assert_eq!(wrong[0].0, "PROCTOR_DATABASE_HOSTS", "{host}");
    }
    assert!(wrong(&[("PROCTOR_DATABASE_HOSTS", "db")])[0].1.contains("DATABASE_URL"));
}

#[test]
fn a_sqlite_url_names_the_journals_file() {
    for (url, path) in
        [("sqlite:j.db", "j.db"), ("sqlite://j.db", "j.db"), ("sqlite:///var/j.db", "/var/j.db")]
    {
        let config = read(&Flags::default(), &[("DATABASE_URL", url)]).unwrap();
        assert_eq!(config.store, StoreConfig::Sqlite { path: path.into() });
    }
    for url in ["sqlite:", "sqlite::memory:", "j.db"] {
        assert_eq!(wrong(&[("DATABASE_URL", url)])[0].0, "DATABASE_URL");
    }
}

#[test]
fn the_public_url_is_where_the_server_listens_unless_it_is_set() {
    let config = read(&Flags::default(), &[]).unwrap();
    for (bound, url) in [
        ("127.0.0.1:4321", "http://127.0.0.1:4321"),
        ("0.0.0.0:80", "http://localhost:80"),
        ("[::1]:4321", "http://[::1]:4321"),
    ] {
        assert_eq!(config.public_url_at(bound.parse().unwrap()).as_str(), url);
    }
    let config = read(&Flags::default(), &[("PROCTOR_PUBLIC_URL", "https://mcp.example.com/x/")]).unwrap();
    let url = config.public_url_at("127.0.0.1:1".parse().unwrap());
    assert_eq!(url.at("/mcp/support"), "https://mcp.example.com/x/mcp/support");
    assert!(config.allowed.host("mcp.example.com"));
    assert!(config.allowed.origin("https://mcp.example.com"));
}

#[test]
fn a_public_url_with_a_user_query_or_fragment_is_refused() {
    for url in ["ftp://h", "https://u:p@h", "https://h?q", "https://h#f", "h"] {
        assert_eq!(wrong(&[("PROCTOR_PUBLIC_URL", url)])[0].0, "PROCTOR_PUBLIC_URL");
    }
}

#[test]
fn an_administrators_key_must_be_long_and_fit_a_header() {
    for key in ["x", &"a".repeat(64), &"ab ".repeat(20), &"é1".repeat(20), &"ab".repeat(300)] {
        assert_eq!(wrong(&[("PROCTOR_ADMIN_KEY", key)])[0].0, "PROCTOR_ADMIN_KEY");
    }
}

#[test]
fn a_master_key_may_stand_in_a_file_and_a_second_one_opens_beside_it() {
    let ((first, text), (second, second_text)) = (MasterKey::generate(), MasterKey::generate());
    let folder = std::env::temp_dir().join(format!("proctor-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("second.key");
    std::fs::write(&file, format!("{}\n", *second_text)).unwrap();
    let file = file.to_str().unwrap();
    let in_file = |setting| (setting, file);
    let first_here = ("PROCTOR_MASTER_KEY", text.as_str());

    let config = read(&Flags::default(), &[first_here, in_file("PROCTOR_MASTER_KEY_SECOND_FILE")]).unwrap();
    assert_eq!(config.master_keys.to_string(), format!("{},{}", first.id(), second.id()));
    let config = read(&Flags::default(), &[("PROCTOR_MASTER_KEY", ""), in_file("PROCTOR_MASTER_KEY_FILE")]);
    assert_eq!(config.unwrap().master_keys.to_string(), second.id().to_string());

    let both = wrong(&[first_here, in_file("PROCTOR_MASTER_KEY_FILE")]);
    assert!(both[0].0 == "PROCTOR_MASTER_KEY_FILE" && both[0].1.contains("one of the two"), "{both:?}");
    let same = wrong(&[first_here, ("PROCTOR_MASTER_KEY_SECOND", &text)]);
    assert!(same[0].0 == "PROCTOR_MASTER_KEY_SECOND" && same[0].1.contains("same key"), "{same:?}");
    let gone = wrong(&[("PROCTOR_MASTER_KEY", ""), ("PROCTOR_MASTER_KEY_FILE", "/nowhere/master.key")]);
    assert!(gone[0].0 == "PROCTOR_MASTER_KEY_FILE" && gone[0].1.contains("cannot be read"), "{gone:?}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn a_setting_that_is_not_text_is_refused_and_not_taken_for_absent() {
    use std::os::unix::ffi::OsStringExt;
    let errors = Config::read(&Flags::default(), |setting| {
        (setting == "PROCTOR_MASTER_KEY").then(|| OsString::from_vec(vec![0xff]))
    })
    .unwrap_err();
    assert!(errors.0[0].wrong.contains("UTF-8"));
}
