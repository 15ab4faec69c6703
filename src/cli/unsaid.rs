//! Values that may hold a secret, such as a URL with a password or a command with a token: when one is wrong, what is wrong
//! with it is said, and not the value.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;

/// A parser whose messages do not repeat the value; nor do those of the function.
#[derive(Clone)]
pub(super) struct Unsaid<T>(pub(super) fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unsaid<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let read = value.to_str().ok_or_else(|| "it is not text".to_owned()).and_then(self.0);
        read.map_err(|why| {
            let name = argument.map(ToString::to_string).unwrap_or_default();
            let text = format!("invalid value for '{name}': {why}\n");
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}
