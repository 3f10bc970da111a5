//! What every aggregate is: a pure decision and a pure change of state.

use cqrs_es::Aggregate;

use crate::{Micros, Place};

/// An aggregate as the journal needs it. `cqrs_es::Aggregate` is derived from it by `aggregate!`.
pub trait Decider: Aggregate<Services = ()> + Clone + 'static {
    /// The type of the event that says everything that came of those before it in its stream, if there is
    /// such a type. Whoever wants the state alone begins with the last of these.
    const CARRIED_BY: Option<&'static str> = None;

    /// The facts that follow from `command` in this state, in order; none when it changes nothing.
    ///
    /// # Errors
    /// When the command is nonsense. A refusal that an auditor would want to see is an event.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Takes in one event of this stream, recorded at `place`.
    fn evolve(&mut self, event: &Self::Event, place: Place);

    /// How many events this state has taken in: the sequence of its last one.
    fn version(&self) -> u64;

    /// Sets the time that a command is decided at, if it depends on one. The appender calls it
    /// with the database's time when it decides again under its lock.
    fn set_time(command: &mut Self::Command, at: Micros);

    /// Until when this state decides `command` as it does now, as far as time matters, after up to
    /// `ahead` others. [`Micros::BEFORE_ALL`] where only the journal's own time can tell.
    fn valid_until(&self, command: &Self::Command, ahead: usize) -> Option<Micros> {
        let _ = (command, ahead);
        None
    }
}

/// Implements `cqrs_es::Aggregate` by way of [`Decider`]. Outside the journal an event's place is
/// that of a journal which holds nothing but this stream and was written at the epoch.
macro_rules! aggregate {
    ($state:ty, $kind:literal, $command:ty, $event:ty, $error:ty) => {
        impl cqrs_es::Aggregate for $state {
            const TYPE: &'static str = $kind;
            type Command = $command;
            type Event = $event;
            type Error = $error;
            type Services = ();

            async fn handle(
                &mut self,
                command: Self::Command,
                (): &(),
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::Decider::decide(self, &command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                let position = $crate::Position($crate::Decider::version(self) + 1);
                let place = $crate::Place { position, recorded_at: $crate::Micros(0) };
                $crate::Decider::evolve(self, &event, place);
            }
        }
    };
}

/// Implements `cqrs_es::DomainEvent`: the type's name is the variant's name, the version is given.
macro_rules! domain_event {
    ($event:ty { $($variant:ident = $version:literal),+ $(,)? }) => {
        impl $event {
            /// The event's type, as the journal names it.
            #[must_use]
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => stringify!($variant)),+ }
            }

            /// The version of the event's form, as the journal names it.
            #[must_use]
            pub fn version_name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $version),+ }
            }

            /// Every type and version that this program reads and writes.
            pub const FORMS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($variant), $version)),+];
        }

        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                self.type_name().to_owned()
            }

            fn event_version(&self) -> String {
                self.version_name().to_owned()
            }
        }
    };
}

pub(crate) use {aggregate, domain_event};
