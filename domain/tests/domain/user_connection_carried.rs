//! An account's state is carried over, so that there is never much to load.

use proctor_domain::connection::CredentialKind;
use proctor_domain::user_connection::{
    CARRIED_EVERY_EVENTS, UserConnection, UserConnectionCommand, UserConnectionEvent,
};
use proctor_domain::{Decider as _, Micros, Place, Position};
use proptest::prelude::*;
use proptest::sample::select;

use crate::scene::{NOW, SECOND, account, activated, by, name, of_each_user, reason};

/// A stream, with the state that followed from each event as it came.
#[derive(Default)]
struct Stream {
    events: Vec<(UserConnectionEvent, Place)>,
    state: UserConnection,
}

impl Stream {
    fn record(&mut self, event: UserConnectionEvent, at: Micros) {
        let position = Position(self.events.len() as u64 * 3 + 5);
        let place = Place { position, recorded_at: at };
        self.state.evolve(&event, place);
        self.events.push((event, place));
    }

    fn carry_out(&mut self, command: &UserConnectionCommand, at: Micros) {
        // What is nonsense in this state is part of the game and changes nothing.
        for event in self.state.decide(command).into_iter().flatten() {
            self.record(event, at);
        }
    }

    /// Where whoever loads the state begins.
    fn carried(&self) -> usize {
        let carried =
            |(event, _): &(UserConnectionEvent, Place)| Some(event.type_name()) == UserConnection::CARRIED_BY;
        self.events.iter().rposition(carried).unwrap_or_default()
    }

    fn loaded_from(&self, first: usize) -> UserConnection {
        let mut state = UserConnection::default();
        self.events[first..].iter().for_each(|(event, place)| state.evolve(event, *place));
        state
    }
}

fn claim(generation: u32, at: Micros) -> UserConnectionCommand {
    UserConnectionCommand::ClaimRefresh { at, generation, replica: "rep_1".into(), refused: true }
}

fn complete(generation: u32, at: Micros) -> UserConnectionCommand {
    let expires_at = Some(at.plus_seconds(3_600));
    UserConnectionCommand::CompleteRefresh { generation, scopes: vec!["mail.read".to_owned()], expires_at }
}

#[test]
fn an_account_that_was_renewed_for_years_has_as_little_to_load_as_a_new_one() {
    let mut stream = Stream::default();
    stream.record(activated(1), NOW);
    for generation in 1..=20_000 {
        let at = NOW.plus_seconds(generation * 3_600);
        stream.carry_out(&claim(generation, at), at);
        stream.carry_out(&complete(generation, at), at);
        let loaded = stream.events.len() - stream.carried();
        // What carries, up to as many events as may come before the next, and what that came with.
        assert!(loaded as u64 <= 2 + CARRIED_EVERY_EVENTS, "{loaded}");
    }
    assert_eq!(stream.state.generation(), 20_001);
    assert!(stream.events.len() > 40_000, "nothing is left out: {}", stream.events.len());
    assert_eq!(stream.loaded_from(stream.carried()), stream.state);
    assert_eq!(stream.loaded_from(0), stream.state);
}

#[test]
fn what_changes_nothing_carries_nothing_over() {
    let mut stream = Stream::default();
    for _ in 0..2 * CARRIED_EVERY_EVENTS {
        stream.record(activated(1), NOW);
    }
    assert_eq!(stream.state.decide(&claim(7, NOW)).unwrap(), []);
    let carried = stream.state.decide(&claim(1, NOW)).unwrap();
    assert!(
        matches!(
            &carried[..],
            [
                UserConnectionEvent::UserConnectionCarriedOver { state },
                UserConnectionEvent::UserConnectionRefreshClaimed { .. }
            ] if **state == stream.state
        ),
        "{carried:?}"
    );
}

#[test]
fn what_is_not_recorded_yet_is_not_carried_over() {
    // Its time may come to be another one, which would stand in the journal for good.
    let events = (0..2 * CARRIED_EVERY_EVENTS).map(|_| activated(1));
    let mut state = UserConnection::clone(&account(events));
    state.evolve(&activated(2), Place::to_come(NOW));
    let decided = state.decide(&claim(2, NOW)).unwrap();
    assert!(matches!(decided[..], [UserConnectionEvent::UserConnectionRefreshClaimed { .. }]), "{decided:?}");
}

fn command() -> impl Strategy<Value = (u32, fn(&UserConnection, Micros) -> UserConnectionCommand)> {
    use UserConnectionCommand as Command;
    let commands: Vec<fn(&UserConnection, Micros) -> Command> = vec![
        |account, _| Command::Activate {
            variables: Vec::new(),
            by: by(),
            subject: "sub_1".into(),
            connection: name("gmail"),
            kind: CredentialKind::Bearer,
            grounds: of_each_user(),
            generation: account.generation() + 1,
        },
        |account, at| Command::IssueLink {
            at,
            by: by(),
            subject: "sub_1".into(),
            connection: name("gmail"),
            grounds: of_each_user(),
            link: format!("lnk_{}", account.version()),
            ttl_seconds: 600,
        },
        |account, at| Command::StartAuthorization { at, link: link(account), browser: "b".to_owned() },
        |account, at| Command::TakeCode { at, link: link(account), attempt: 1, browser: "b".to_owned() },
        |account, at| Command::Authorize {
            variables: Vec::new(),
            at,
            link: link(account),
            kind: CredentialKind::Bearer,
            scopes: vec!["mail.read".to_owned()],
            expires_at: Some(at.plus_seconds(60)),
            code: "c".to_owned(),
        },
        |account, _| Command::FailAuthorization { link: link(account), reason: "access_denied".to_owned() },
        |account, at| Command::Confirm {
            at,
            by: by(),
            subject: "sub_1".into(),
            connection: name("gmail"),
            grounds: of_each_user(),
            link: link(account),
            code: "c".to_owned(),
            generation: account.generation() + 1,
        },
        |account, at| claim(account.generation(), at),
        |account, at| complete(account.generation(), at),
        |account, at| Command::ReleaseRefresh {
            at,
            generation: account.generation(),
            replica: "rep_1".into(),
            reason: "unreachable".to_owned(),
        },
        |account, _| Command::Expire { generation: account.generation(), reason: "unauthorized".to_owned() },
        |_, _| Command::Disconnect { by: by(), reason: reason() },
    ];
    (0..40_u32, select(commands))
}

fn link(account: &UserConnection) -> String {
    account.link().map(|link| link.id().to_owned()).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_state_is_the_same_from_wherever_it_was_carried_over(
        commands in prop::collection::vec(command(), 1..500)
    ) {
        let mut stream = Stream::default();
        let mut at = NOW;
        for (seconds, command) in commands {
            at.0 += i64::from(seconds) * SECOND;
            let command = command(&stream.state, at);
            let before = stream.loaded_from(stream.carried());
            prop_assert_eq!(&before, &stream.state);
            prop_assert_eq!(before.decide(&command), stream.state.decide(&command));
            stream.carry_out(&command, at);
        }
        for (index, (event, _)) in stream.events.iter().enumerate() {
            if Some(event.type_name()) == UserConnection::CARRIED_BY {
                prop_assert_eq!(&stream.loaded_from(index), &stream.state);
                // As it stands in the journal, nothing is lost either.
                let text = serde_json::to_string(event).unwrap();
                prop_assert_eq!(&serde_json::from_str::<UserConnectionEvent>(&text).unwrap(), event);
            }
        }
        prop_assert_eq!(stream.loaded_from(0), stream.state);
    }
}
