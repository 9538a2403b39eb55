//! The steps of a run: their headings, their times and the closing line.

use std::time::{Duration, Instant};

use crate::failure::Outcome;

/// The steps that a run has passed.
#[derive(Default)]
pub(crate) struct Steps {
    passed: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs one step under its heading; the run ends with the first that fails.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<()> {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        println!(
            "--- {name}: {} in {:.1} s",
            if outcome.is_ok() { "passed" } else { "FAILED" },
            took.as_secs_f64()
        );
        outcome.map_err(|failure| failure.during(name))?;
        self.passed.push((name, took));
        Ok(())
    }

    /// One line that says what passed.
    pub(crate) fn summary(&self) -> String {
        let names: Vec<_> = self.passed.iter().map(|(name, _)| *name).collect();
        let total: Duration = self.passed.iter().map(|(_, took)| *took).sum();
        format!("xtask: all passed in {:.0} s: {}", total.as_secs_f64(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_failing_step_is_named_and_not_counted() {
        let mut steps = Steps::default();
        assert!(steps.run("first", || Ok(())).is_ok());
        let failure = steps.run("second", || Err(Failure::new("no luck").hint("try again")));
        assert_eq!(
            failure.map_err(|failure| failure.to_string()),
            Err("second failed: no luck; try again".to_owned())
        );
        assert!(steps.summary().ends_with(": first"));
    }
}
