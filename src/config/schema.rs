//! The JSON Schema (draft 2020-12) of the very structs that are read; editors use it, and so does [`super::load`].

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// The schema of the whole file, with descriptions, defaults and ranges.
#[must_use]
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::shape::Shape;

    #[test]
    fn it_is_draft_2020_12_and_every_key_is_described() {
        let schema = schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(jsonschema::draft202012::meta::is_valid(&schema));
        let mut sections: Vec<&Value> = schema["$defs"].as_object().unwrap().values().collect();
        sections.push(&schema);
        for section in sections {
            assert!(section["description"].is_string(), "{section}");
            for (name, key) in section["properties"].as_object().into_iter().flatten() {
                assert!(key["description"].is_string(), "{name}: {key}");
            }
        }
    }

    #[test]
    fn every_section_is_made_of_known_forms() {
        let paths = Shape::read(&schema()).unwrap().paths();
        for path in ["transport", "auth.jwt.issuer", "resources.rate_limit.burst", "audit.syslog.tag", "scopes"] {
            assert!(paths.iter().any(|known| known == path), "{path}");
        }
    }
}
