//! Names that people mistype.

/// The candidate that `name` was probably meant to be, if there is one.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Less alike than this is no typing mistake.
    const ALIKE: f64 = 0.8;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_name() {
        let names = ["lab.sample", "lab.shared", "other"];
        assert_eq!(nearest("lab.smaple", names), Some("lab.sample"));
        assert_eq!(nearest("xyz", names), None);
    }
}
