//! What is to be done in idle time: at most one of each kind, the newest, in the order of their use.

use std::time::{Duration, Instant};

use crate::worker::jobs::Chore;

/// After this time without a key, what may be of use later is computed.
const PAUSE: Duration = Duration::from_millis(60);

/// The chores that wait.
#[derive(Default)]
pub struct Chores {
    go_on: Option<Chore>,
    elsewhere: Option<(Instant, Chore)>,
    warm_up: Option<(Instant, Chore)>,
    look_ahead: Option<(Instant, Chore)>,
}

impl Chores {
    /// Another chore; it takes the place of an older one of its kind.
    pub fn add(&mut self, chore: Chore) {
        let due = Instant::now() + PAUSE;
        match chore {
            Chore::GoOn(..) => self.go_on = Some(chore),
            Chore::WarmUp(..) => self.warm_up = Some((due, chore)),
            Chore::LookAhead(..) => self.look_ahead = Some((due, chore)),
            Chore::Elsewhere(..) => self.elsewhere = Some((due, chore)),
        }
    }

    /// A newer request came: all that followed from an older one is out of date.
    pub fn clear(&mut self) {
        *self = Self { elsewhere: self.elsewhere.take(), ..Self::default() };
    }

    /// The chore that is due.
    pub fn next(&mut self) -> Option<Chore> {
        let now = Instant::now();
        let due = |waiting: &mut Option<(Instant, Chore)>| {
            waiting.take_if(|(due, _)| *due <= now).map(|(_, chore)| chore)
        };
        self.go_on
            .take()
            .or_else(|| due(&mut self.warm_up))
            .or_else(|| due(&mut self.look_ahead))
            .or_else(|| due(&mut self.elsewhere))
    }

    /// How long until one is due, if any waits.
    pub fn wait(&self) -> Option<Duration> {
        let dues =
            [&self.warm_up, &self.look_ahead, &self.elsewhere].into_iter().flatten().map(|(due, _)| *due);
        dues.min().map(|due| due.saturating_duration_since(Instant::now()))
    }
}
