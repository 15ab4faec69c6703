//! Which known word somebody meant.

use super::place::KeyPath;

/// The candidate that is nearest to `word`, case aside, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = word.chars().count().div_euclid(3).clamp(1, 4);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The question that names it.
pub(super) fn meant(path: &KeyPath) -> String {
    format!("did you mean {path}?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["issuer", "audience", "jwks_uri", "max_ttl"];
        let near = |word| nearest(word, known.into_iter());
        assert_eq!(near("isuer"), Some("issuer"));
        assert_eq!(near("ISSUER"), Some("issuer"));
        assert_eq!(near("jwks_url"), Some("jwks_uri"));
        assert_eq!(near("max-ttl"), Some("max_ttl"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(""), None);
    }
}
