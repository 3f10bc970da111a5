//! Upstreams that change their tools all the time.

use proctor_domain::connection::{
    CHANGES_MAX, Catalog, Connection, ConnectionCommand as Command, ConnectionEvent, Drift, Era, Feature,
    Observation, Pinned, RESTLESS_SECONDS, Settings, Standing,
};
use proctor_domain::{By, Decider, Micros, Place, Position};

use crate::scene::{by, settings};

/// A connection with a clock of its own.
struct Scene {
    connection: Connection,
    written: u64,
    at: Micros,
}

fn catalog(tools: &[(&str, u32)]) -> Catalog {
    let tool = |(name, variant): &(&str, u32)| {
        (Feature::from(*name), Pinned { digest: format!("{name} {variant}"), read_only: true })
    };
    Catalog::of(Era::Modern, "2026-07-28".to_owned(), tools.iter().map(tool).collect())
}

fn observed(tools: &[(&str, u32)]) -> Observation {
    Observation { catalog: catalog(tools), complete: true, narrowed: Vec::new() }
}

impl Scene {
    /// With these tools in force, on this policy.
    fn with(drift: Drift, tools: &[(&str, u32)]) -> Self {
        let mut scene = Self { connection: Connection::default(), written: 0, at: Micros(0) };
        scene.takes(Command::Register { by: by(), settings: Settings { drift, ..settings() } });
        scene.takes(Command::RefreshCatalog { by: by(), catalog: catalog(tools), generation: 1 });
        scene
    }

    /// How many events come of a command.
    fn takes(&mut self, command: Command) -> usize {
        let events: Vec<ConnectionEvent> = self.connection.decide(&command).unwrap();
        for event in &events {
            self.written += 1;
            let place = Place { position: Position(self.written), recorded_at: self.at };
            self.connection.evolve(event, place);
        }
        events.len()
    }

    /// How many events come of a look that finds these tools, by Proctor itself and some seconds after the
    /// last.
    fn looks(&mut self, seconds: u32, tools: &[(&str, u32)]) -> usize {
        self.at = self.at.plus_seconds(seconds);
        self.is_shown(By::Replica("rep_1".into()), tools)
    }

    fn is_shown(&mut self, by: By, tools: &[(&str, u32)]) -> usize {
        let observation = observed(tools);
        let generation = self.connection.generation();
        self.takes(Command::ObserveCatalog { by, observation, generation, at: self.at })
    }

    /// One that has changed so often that not everything is written down any more: `a` is held, `b` in
    /// force.
    fn restless() -> Self {
        let mut scene = Self::with(Drift::Hold, &[("a", 0), ("b", 0)]);
        for variant in 1..=CHANGES_MAX {
            assert_eq!(scene.looks(1, &[("a", variant), ("b", 0)]), 1, "change {variant}");
        }
        scene
    }

    fn is_callable(&self, tool: &str) -> bool {
        matches!(self.connection.standing(&tool.into()), Standing::InForce(_))
    }
}

const HOUR: u32 = RESTLESS_SECONDS;

#[test]
fn an_upstream_that_changes_with_each_look_is_not_written_down_each_time() {
    for drift in [Drift::Hold, Drift::Narrowing, Drift::All] {
        let mut scene = Scene::with(drift, &[("a", 0), ("b", 0)]);
        let before = scene.written;
        let mut variant = 0;
        for _ in 0..86_400 / 10 {
            variant += 1;
            // Now one, now the other, and some that are new, gone and back.
            let tools = match variant % 4 {
                0 => vec![("a", variant), ("b", 0)],
                1 => vec![("a", 0), ("b", variant)],
                2 => vec![("a", 0), ("b", 0), ("c", variant)],
                _ => vec![("b", variant)],
            };
            scene.looks(10, &tools);
        }
        // What is let in is an event more.
        let most = 2 * (u64::from(CHANGES_MAX) + 24 * (1 + 3));
        assert!(scene.written - before <= most, "{drift:?}: {} events", scene.written - before);
    }
}

#[test]
fn what_takes_a_tool_away_is_written_at_once_however_often_it_changed() {
    let mut scene = Scene::restless();
    assert_eq!(scene.looks(1, &[("a", 7), ("b", 0)]), 0, "it is held already");
    assert_eq!(scene.looks(1, &[("a", 0), ("b", 0)]), 0, "it is not let go for now");
    assert_eq!(scene.looks(1, &[("a", 0), ("b", 0), ("c", 1)]), 0, "what is new cannot be called anyway");
    assert!(!scene.is_callable("a") && scene.is_callable("b"));
    assert!(scene.connection.is_behind(&observed(&[("a", 0), ("b", 0)])));
    assert!(!scene.connection.is_behind(&observed(&[("a", CHANGES_MAX), ("b", 0)])));
    assert_eq!(scene.looks(1, &[("a", 0), ("b", 1)]), 1);
    assert!(!scene.is_callable("a") && !scene.is_callable("b"));
    let mut scene = Scene::restless();
    assert_eq!(scene.looks(1, &[("a", 0)]), 1);
    assert!(!scene.is_callable("b"));
}

#[test]
fn after_an_hour_in_which_nothing_was_written_everything_is_again() {
    let mut scene = Scene::restless();
    assert_eq!(scene.looks(HOUR - 1, &[("a", 0), ("b", 0)]), 0);
    assert_eq!(scene.looks(1, &[("a", 0), ("b", 0)]), 1);
    assert!(scene.is_callable("a"));
    assert_eq!(scene.looks(1, &[("a", 0), ("b", 0), ("c", 1)]), 0, "it is as restless as before");
}

#[test]
fn whatever_an_administrator_does_ends_it() {
    let digest = |scene: &Scene| scene.connection.offered_digest();
    for act in ["look", "approve", "refresh", "set"] {
        let mut scene = Scene::restless();
        let count = match act {
            "look" => scene.is_shown(by(), &[("a", 500), ("b", 0)]),
            "approve" => {
                let digest = digest(&scene);
                scene.takes(Command::ApproveCatalog { by: by(), tools: None, digest })
            }
            "refresh" => {
                let catalog = catalog(&[("a", 500), ("b", 0)]);
                scene.takes(Command::RefreshCatalog { by: by(), catalog, generation: 1 })
            }
            _ => {
                let settings = Settings { shared: true, ..settings() };
                scene.takes(Command::Reconfigure { by: by(), settings, new_secrets: false })
            }
        };
        assert_eq!(count, 1, "{act}");
        assert_eq!(scene.looks(1, &[("a", 501), ("b", 0), ("c", 1)]), 1, "{act}");
    }
}
