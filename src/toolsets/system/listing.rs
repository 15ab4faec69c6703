//! Long lists: how many items are shown is bounded by the caller and by `limits.max_array_items`; how many there are is
//! always said.

use serde_json::Value;

use super::budget;
use super::extent::Extent;
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

/// The part of `items`, which fit out of `total`, from `offset` on that is at most `limit`, and at most what is configured.
pub(super) fn part<T>(
    items: Vec<T>,
    total: usize,
    (offset, limit): (usize, usize),
    limits: &LimitsSection,
) -> (Vec<T>, Extent) {
    let matching = items.len();
    let shown: Vec<T> = items.into_iter().skip(offset).take(limit.min(limits.max_array_items.max(1))).collect();
    if limit >= limits.max_array_items && matching > offset.saturating_add(shown.len()) {
        budget::cut(&format!("items were left out (limits.max_array_items is {})", limits.max_array_items));
    }
    let extent = Extent::new(total, matching, shown.len());
    (shown, extent)
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
        let part = |offset, limit| part(items(), 20, (offset, limit), &limits);
        assert_eq!(part(0, 100), (vec![0, 1, 2], Extent::new(20, 10, 3)));
        assert_eq!(part(8, 100), (vec![8, 9], Extent::new(20, 10, 2)));
        assert_eq!(part(4, 1), (vec![4], Extent::new(20, 10, 1)));
        assert_eq!(part(usize::MAX, usize::MAX), (vec![], Extent::new(20, 10, 0)));
        assert!(holds("OpenSSL", Some("ssl")) && holds("x", None) && !holds("x", Some("y")));
    }
}
