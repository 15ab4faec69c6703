//! A pass over a JSON text that judges it and builds nothing.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Key, Level, StrictError};

/// The keys of an object are searched while they are so few; then they get a set.
const FEW: usize = 16;

/// Judges, and keeps only the keys of open objects.
pub(super) struct Walk<'a, 'de>(pub(super) Level<'a, 'de>);

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.0.enter()?;
        while items.next_element_seed(Walk(self.0.inner()))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.0.enter()?;
        let start = self.0.state.keys.len();
        let mut many: Option<HashSet<Cow<'de, str>>> = None;
        while let Some(key) = entries.next_key_seed(Key)? {
            let keys = &mut self.0.state.keys;
            let fresh = match &mut many {
                Some(set) => set.insert(key),
                None => {
                    let fresh = !keys.iter().skip(start).any(|known| *known == key);
                    keys.push(key);
                    if keys.len().saturating_sub(start) > FEW {
                        many = Some(keys.drain(start..).collect());
                    }
                    fresh
                }
            };
            if !fresh {
                return Err(self.0.state.refuse(StrictError::DuplicateKey));
            }
            entries.next_value_seed(Walk(self.0.inner()))?;
        }
        self.0.state.keys.truncate(start);
        Ok(())
    }
}
