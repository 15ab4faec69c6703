//! Long lists: how many items are shown is bounded by the caller and by `limits.max_array_items`; how many there are is
//! always said.

use serde_json::Value;

use crate::call::ToolSpec;
use crate::guard::LimitsSection;

/// Items in an answer to a caller who gives no number.
pub(super) const USUAL: usize = 100;

/// Writes the bounds of `limit` into the schema of the arguments.
pub(super) fn bound(spec: &mut ToolSpec, limits: &LimitsSection, usual: Option<usize>) {
    let most = limits.max_array_items.max(1);
    spec.change_argument("limit", move |limit| {
        limit.insert("minimum".to_owned(), Value::from(1));
        limit.insert("maximum".to_owned(), Value::from(most));
        if let Some(usual) = usual {
            limit.insert("default".to_owned(), Value::from(usual.min(most)));
        }
    });
}

/// The part of `items` from `offset` on that is at most `limit`, and at most what is configured.
pub(super) fn part<T>(items: Vec<T>, offset: usize, limit: usize, limits: &LimitsSection) -> Vec<T> {
    items.into_iter().skip(offset).take(limit.min(limits.max_array_items.max(1))).collect()
}

/// Whether `text` holds `part`, in capitals or not; `part` is in lower case.
pub(super) fn holds(text: &str, part: Option<&str>) -> bool {
    part.is_none_or(|part| text.to_lowercase().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_bound_holds_whatever_is_asked() {
        let limits = LimitsSection { max_array_items: 3, ..LimitsSection::default() };
        let items = || (0..10).collect::<Vec<u32>>();
        assert_eq!(part(items(), 0, 100, &limits), [0, 1, 2]);
        assert_eq!(part(items(), 8, 100, &limits), [8, 9]);
        assert_eq!(part(items(), 4, 1, &limits), [4]);
        assert!(part(items(), usize::MAX, usize::MAX, &limits).is_empty());
        assert!(holds("OpenSSL", Some("ssl")) && holds("x", None) && !holds("x", Some("y")));
    }
}
