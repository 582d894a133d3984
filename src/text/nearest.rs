/// The candidate that `word` was most likely meant to be, or `None` where none is close. Case, and the choice between
/// `-` and `_`, count for nothing.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = plain(word);
    let letters = word.chars().count();
    // A third of the letters may be wrong, and one always.
    let most = (letters / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (plain(c), c))
        // Each letter too many or too few is wrong: words of very different lengths need no closer look.
        .filter(|(c, _)| begins(c, &word) || c.chars().count().abs_diff(letters) <= most)
        .map(|(plain, c)| (strsim::osa_distance(&word, &plain), begins(&plain, &word), c))
        .filter(|&(wrong, begins, _)| begins || wrong <= most)
        .min_by_key(|&(wrong, ..)| wrong)
        .map(|(.., c)| c)
}

/// Whether `word` is a beginning of `whole` that means it.
fn begins(whole: &str, word: &str) -> bool {
    word.len() >= 3 && whole.starts_with(word)
}

fn plain(word: &str) -> String {
    word.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["pwm", "max-speed", "max-acceleration", "travel", "step", "dir"];
        assert_eq!(nearest("max-sped", keys), Some("max-speed"));
        assert_eq!(nearest("max_speed", keys), Some("max-speed"));
        assert_eq!(nearest("Travel", keys), Some("travel"));
        assert_eq!(nearest("pmw", keys), Some("pwm"));
        assert_eq!(nearest("setp", keys), Some("step"));
        assert_eq!(nearest("accel", ["max-acceleration", "acceleration"]), Some("acceleration"));
        assert_eq!(nearest("trav", keys), Some("travel"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"é".repeat(1_000_000), keys), None);
    }
}
