//! Services written in Rust, by the names that a configuration gives as `native:`.
//!
//! Owns the list of them ([`SERVICES`]) and their making. A driver is a module with a type under
//! `#[remote::expose]` and a function that makes it from its parameters (`power_supply` is the
//! shortest), and a line of that list. Must not know the configuration, daemons and processes: a
//! driver gets plain values, and its object is served like any other.

mod bench;
mod loopback;
mod multimeter;
mod power_supply;

use std::sync::Arc;

use remote::card::Card;
use remote::{Dict, Expose, Object};

pub use bench::Benches;

use loopback::Loopback;
use multimeter::Multimeter;
use power_supply::PowerSupply;

/// The native services. A line here registers one: its name, its card and how it is made.
pub const SERVICES: &[NativeService] = &[
    NativeService::new("simulated.loopback", Loopback::card, loopback::build),
    NativeService::new("simulated.multimeter", Multimeter::card, multimeter::build),
    NativeService::new("simulated.power_supply", PowerSupply::card, power_supply::build),
];

/// A service that a configuration can name.
pub struct NativeService {
    name: &'static str,
    card: fn() -> Card,
    build: Build,
}

/// Makes the object of a service with the parameters from the configuration, beside those that its
/// daemon has already. The error is in words for `ferrolab status`.
type Build = fn(&Dict, &mut Benches) -> Result<Arc<dyn Object>, String>;

impl NativeService {
    const fn new(name: &'static str, card: fn() -> Card, build: Build) -> Self {
        NativeService { name, card, build }
    }

    /// The name that `native:` gives.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The typed description of its members.
    pub fn card(&self) -> Card {
        (self.card)()
    }
}

/// Makes the native service `name` with `parameters`; `benches` are those of its daemon.
///
/// # Errors
/// No service has this name, or its parameters make no sense; in words for `ferrolab status`.
pub fn build(
    name: &str,
    parameters: &Dict,
    benches: &mut Benches,
) -> Result<Arc<dyn Object>, String> {
    match SERVICES.iter().find(|service| service.name == name) {
        Some(service) => (service.build)(parameters, benches),
        None => {
            let names: Vec<&str> = SERVICES.iter().map(NativeService::name).collect();
            Err(format!("there is no native service '{name}'; there are {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_described_and_made_by_its_name() {
        let mut benches = Benches::default();
        for service in SERVICES {
            let made = build(service.name(), &Dict::new(), &mut benches);
            let made = made.unwrap_or_else(|error| panic!("{}: {error}", service.name()));
            let version = made.card().map(|card| card.version.clone());
            assert_eq!(version, Some(service.card().version), "{}", service.name());
            assert!(!service.card().members.is_empty(), "{}", service.name());
        }
    }

    #[test]
    fn other_names_are_answered_with_these() {
        let refused = build("simulated.oven", &Dict::new(), &mut Benches::default()).err();
        let expected = "there is no native service 'simulated.oven'; there are simulated.loopback, \
                        simulated.multimeter, simulated.power_supply";
        assert_eq!(refused.as_deref(), Some(expected));
    }
}
