//! Locks under simulated lives, each from a seed: invariants under any events, and a turn for each
//! client.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::super::check;
use super::super::policy::{Effect, Lock};
use super::super::types::{Event, Outcome, Party, Request};
use super::party_of;

/// Lives under any events in the ordinary run; `FERROLAB_TEST_EXTENDED` has ten thousand.
const LIVES: u64 = 1000;
/// Crowds of clients, the same.
const CROWDS: u64 = 150;

/// An xorshift generator: the same numbers on each machine.
struct Numbers(u64);

impl Numbers {
    fn of(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn for_each_seed(usual: u64, life: impl Fn(u64)) {
    let is_extended = std::env::var("FERROLAB_TEST_EXTENDED").is_ok_and(|it| !it.is_empty());
    for seed in 0..if is_extended { 10_000 } else { usual } {
        let lived = catch_unwind(AssertUnwindSafe(|| life(seed)));
        assert!(lived.is_ok(), "seed {seed}");
    }
}

#[test]
fn invariants_under_many_seeds() {
    for_each_seed(LIVES, |seed| {
        let mut numbers = Numbers::of(seed);
        let length = 400 + numbers.below(800);
        let bytes: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
        check::run_bytes(&bytes);
    });
}

/// Step of simulated time.
const STEP: Duration = Duration::from_millis(250);
/// Steps of a life: twenty minutes.
const STEPS: u64 = 4800;
/// Grants to others that a client may see while it asks: it is in line with as many clients, and an
/// attempt may come too late once.
const MOST_PASSED: u64 = 16;

/// A client that wants the lock again and again.
struct Wanting {
    /// Steps between two attempts of a client that does not wait.
    polls_each: Option<u64>,
    phase: WantPhase,
    /// Grants to others since it began to ask.
    passed: u64,
    turns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WantPhase {
    /// It asks from this step on.
    Idle {
        until: u64,
    },
    /// It asks, since it began to.
    Asking,
    /// It waits in the queue.
    Waiting,
    Holding {
        until: u64,
    },
}

struct Crowd {
    lock: Lock,
    start: Instant,
    now: Instant,
    numbers: Numbers,
    clients: BTreeMap<u64, Wanting>,
    tickets: u64,
}

impl Crowd {
    fn of(seed: u64) -> Self {
        let (mut numbers, now) = (Numbers::of(seed), Instant::now());
        let clients = 2 + numbers.below(4);
        let client = |numbers: &mut Numbers| Wanting {
            // From a quarter of a second to eight seconds.
            polls_each: (numbers.below(2) == 0).then(|| 1 + numbers.below(32)),
            phase: WantPhase::Idle { until: numbers.below(40) },
            passed: 0,
            turns: 0,
        };
        let clients = (1..=clients).map(|session| (session, client(&mut numbers))).collect();
        Crowd { lock: Lock::new(1, false), start: now, now, numbers, clients, tickets: 0 }
    }

    fn step(&mut self, step: u64) {
        self.now = self.start + STEP * u32::try_from(step).unwrap();
        let mut effects = Vec::new();
        self.lock.tick(self.now, &mut effects);
        self.apply(step, effects);
        let sessions: Vec<u64> = self.clients.keys().copied().collect();
        for session in sessions {
            self.act(session, step);
        }
    }

    fn act(&mut self, session: u64, step: u64) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let mut effects = Vec::new();
        match (client.phase, client.polls_each) {
            (WantPhase::Idle { until }, None) if step >= until => {
                client.phase = WantPhase::Waiting;
                self.ask(session, Some(Duration::from_secs(100_000)), &mut effects);
            }
            (WantPhase::Idle { until }, Some(each))
                if step >= until && step.is_multiple_of(each) =>
            {
                client.phase = WantPhase::Asking;
                self.ask(session, None, &mut effects);
            }
            (WantPhase::Asking, Some(each)) if step.is_multiple_of(each) => {
                self.ask(session, None, &mut effects);
            }
            (WantPhase::Holding { until }, _) if step >= until => {
                let pause = self.numbers.below(12);
                client.phase = WantPhase::Idle { until: step + pause };
                self.lock.unlock(self.now, session, &mut effects).unwrap();
            }
            _ => {}
        }
        self.apply(step, effects);
    }

    fn ask(&mut self, session: u64, wait: Option<Duration>, effects: &mut Vec<Effect>) {
        self.tickets += 1;
        let party = Party { ..party_of(session, &format!("user {session}")) };
        let request = Request { party, via: String::new(), wait, token: None };
        self.lock.request(self.now, self.tickets, request, effects);
    }

    fn apply(&mut self, step: u64, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(record) if record.event == Event::Granted => {
                    let hold = 1 + self.numbers.below(20);
                    let winner = self.clients.get(&record.party.session);
                    let has_waited = winner.is_some_and(|winner| winner.polls_each.is_none());
                    for (session, client) in &mut self.clients {
                        if *session == record.party.session {
                            client.phase = WantPhase::Holding { until: step + hold };
                            client.passed = 0;
                            client.turns += 1;
                        } else if client.phase == WantPhase::Waiting
                            // Those that do not wait are not in line with each other.
                            || client.phase == WantPhase::Asking && has_waited
                        {
                            client.passed += 1;
                            assert!(
                                client.passed <= MOST_PASSED,
                                "client {session} starves, polling each {:?} steps",
                                client.polls_each
                            );
                        }
                    }
                }
                Effect::Answer(_, Outcome::TimedOut) => panic!("it waits for long enough"),
                _ => {}
            }
        }
    }
}

#[test]
fn each_client_has_its_turn_under_many_seeds() {
    for_each_seed(CROWDS, |seed| {
        let mut crowd = Crowd::of(seed);
        (0..STEPS).for_each(|step| crowd.step(step));
        let waiting = crowd.clients.iter().filter(|(_, client)| client.polls_each.is_none());
        for (session, client) in waiting {
            assert!(client.turns > 5, "client {session} had {} turns", client.turns);
        }
    });
}
