//! Lists that are cut to a number say how many there were and how to see the others: no answer looks complete that is not.
//! Every list counts itself in the same words, and where the guard cuts it further it finds them by these words.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::call::ToolSpec;

/// Entries in an answer to a caller who gives no number.
pub(super) const USUAL: usize = 100;

/// How much of a list is in the answer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Extent {
    /// Number of entries that the host shows.
    total: usize,
    /// Number of those that fit the arguments.
    matching: usize,
    /// Number of entries in the list beside this; absent where they stand in several lists or another form.
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<usize>,
    /// Number of fitting ones that are not listed here, those counted that were passed over; absent where a cap on the
    /// whole answer cut the list in a way that cannot be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<usize>,
    /// How to see those that are left out; absent when none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    narrow: Option<&'static str>,
    /// Present when the host has so much that not all was looked at: the numbers are then too low.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

impl Extent {
    /// Of a list with `listed` of `matching` entries out of `total`.
    pub(super) fn new(total: usize, matching: usize, listed: usize) -> Self {
        Self {
            total: total.max(matching),
            matching,
            returned: Some(listed),
            left_out: Some(matching.saturating_sub(listed)),
            narrow: None,
            incomplete: None,
        }
    }

    /// The same with what to do for those that are left out.
    pub(super) fn narrow(self, how: &'static str) -> Self {
        Self { narrow: self.left_out.is_some_and(|left| left > 0).then_some(how), ..self }
    }

    /// The same of entries that do not stand in one list beside it.
    pub(super) fn scattered(self) -> Self {
        Self { returned: None, ..self }
    }

    /// The same, of a host that was not looked at in full unless `whole`.
    pub(super) fn of_whole(self, whole: bool) -> Self {
        Self { incomplete: (!whole).then_some(true), ..self }
    }

    /// Cuts the matching `items` out of `total` to `limit`.
    pub(super) fn cut<T>(items: &mut Vec<T>, total: usize, limit: usize) -> Self {
        let matching = items.len();
        items.truncate(limit);
        Self::new(total, matching, items.len())
    }
}

/// Brings the declared bound of the argument `limit` under `most` entries; without the argument it is `usual`.
pub(super) fn narrow(spec: &mut ToolSpec, usual: usize, most: usize) {
    let most = most.max(1);
    spec.change_argument("limit", move |limit| {
        limit.insert("maximum".to_owned(), Value::from(most));
        limit.insert("default".to_owned(), Value::from(usual.min(most)));
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let mut items = vec![1, 2, 3];
        let cut = Extent::cut(&mut items, 9, 2);
        let told = |extent: Extent| serde_json::to_value(extent).unwrap();
        assert_eq!(told(cut), json!({"total": 9, "matching": 3, "returned": 2, "left_out": 1}));
        let told_how = json!({"total": 9, "matching": 3, "left_out": 1, "narrow": "raise limit"});
        assert_eq!(told(cut.narrow("raise limit").scattered()), told_how);
        assert_eq!(items, [1, 2]);
        let whole = Extent::cut(&mut items, 0, 5);
        assert_eq!(told(whole.narrow("raise limit")), json!({"total": 2, "matching": 2, "returned": 2, "left_out": 0}));
        let told = |extent: Extent| serde_json::to_value(extent).unwrap().get("incomplete").cloned();
        assert_eq!((told(whole), told(whole.of_whole(false))), (None, Some(Value::Bool(true))));
    }
}
