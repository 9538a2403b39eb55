//! The steps of a run: their headings, their times and the closing line.

use std::time::{Duration, Instant};

use crate::failure::Outcome;

/// The steps that a run has passed, and those that it has skipped.
#[derive(Default)]
pub(crate) struct Steps {
    passed: Vec<(&'static str, Duration)>,
    skipped: Vec<String>,
}

impl Steps {
    /// Runs one step under its heading; the run ends with the first that fails.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        println!(
            "--- {name}: {} in {:.1} s",
            if outcome.is_ok() { "passed" } else { "FAILED" },
            took.as_secs_f64()
        );
        let made = outcome.map_err(|failure| failure.during(name))?;
        self.passed.push((name, took));
        Ok(made)
    }

    /// Records a step that cannot run here, and says why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n=== {name}: skipped, {reason}");
        self.skipped.push(format!("{name} ({reason})"));
    }

    /// The steps that passed, after a line with those that were skipped.
    pub(crate) fn summary(&self) -> String {
        let names: Vec<_> = self.passed.iter().map(|(name, _)| *name).collect();
        let total: Duration = self.passed.iter().map(|(_, took)| *took).sum();
        let passed = match &names[..] {
            [] => "xtask: nothing to run".to_owned(),
            _ => format!("xtask: all passed in {:.0} s: {}", total.as_secs_f64(), names.join(", ")),
        };
        match &self.skipped[..] {
            [] => passed,
            skipped => format!("xtask: skipped: {}\n{passed}", skipped.join(", ")),
        }
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
        let outcome: Outcome<()> =
            steps.run("second", || Err(Failure::new("no luck").hint("try again")));
        assert_eq!(
            outcome.map_err(|failure| failure.to_string()),
            Err("second failed: no luck; try again".to_owned())
        );
        assert!(steps.summary().ends_with(": first"));
        steps.skip("third", "no tests yet");
        assert!(steps.summary().starts_with("xtask: skipped: third (no tests yet)\n"));
    }
}
