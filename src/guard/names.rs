//! What names say that a secret stands behind them, for every rule that goes by a name, and the words without which none of
//! them is there.

/// What a name ends with that stands before a secret: `DB_PASSWORD=`, `apiKey: `, `"secret_access_key": `. `key` alone is
/// none: hosts are full of `key: value`.
pub(super) const NAME: &str = concat!(
    r"(?:password|passwd|passphrase|passcode|requirepass|masterauth|sshpass|storepass|keypass|bindpw|root(?:dn)?pw|authtok|",
    r"cli_auth|art-api|_pwd|secret|token|api[_-]?key|",
    r"(?:access|account|private|preshared|encryption|signing|auth|master|shared|app|application)[_-]?key)",
    r"(?:[_-]?(?:access[_-]?key|key(?:[_-]?base)?|value|hash|[0-9]{1,3}))?",
);
/// Names that are as short as many other words: the whole of a name or its last part, `DB_PASS=` and `dbPass: `.
pub(super) const SHORT_NAME: &str = r"(?:(?:(?-u:\b)|_)(?:pass|pwd|pw)|(?-i:[a-z](?:Pass|Pwd)))";
/// Of these, in any case, every text holds one that has [`NAME`] in it.
pub(super) const NAME_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "requirepass",
    "masterauth",
    "sshpass",
    "storepass",
    "keypass",
    "bindpw",
    "rootpw",
    "rootdnpw",
    "authtok",
    "cli_auth",
    "art-api",
    "_pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "accountkey",
    "account_key",
    "account-key",
    "privatekey",
    "private_key",
    "private-key",
    "presharedkey",
    "preshared_key",
    "preshared-key",
    "encryptionkey",
    "encryption_key",
    "encryption-key",
    "signingkey",
    "signing_key",
    "signing-key",
    "authkey",
    "auth_key",
    "auth-key",
    "masterkey",
    "master_key",
    "master-key",
    "sharedkey",
    "shared_key",
    "shared-key",
    "appkey",
    "app_key",
    "app-key",
    "applicationkey",
    "application_key",
    "application-key",
];
/// Of these every text holds one that has [`SHORT_NAME`] in it.
pub(super) const SHORT_WORDS: &[&str] = &["pass", "pwd", "pw"];

/// Of these every text holds one that has a name of either kind in it.
pub(super) fn all_words() -> Vec<&'static str> {
    NAME_WORDS.iter().chain(SHORT_WORDS).copied().collect()
}

/// What is in quotes of any kind.
pub(super) const QUOTED: &str = r#"(?:"(?:[^"\\\n]|\\.)+"|'(?:[^'\\\n]|\\.|'')+'|\\+"[^"\n]+?\\+"|\\+'[^'\n]+?\\+')"#;

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn every_name_has_one_of_the_words() {
        let name = Regex::new(&format!("(?i){NAME}")).unwrap();
        for word in NAME_WORDS {
            assert!(name.is_match(word), "{word} is the word of no name");
        }
        // Each alternative of the pattern, with every sign that may join its parts.
        let mut spelled = Vec::new();
        for joined in ["", "_", "-"] {
            for first in [
                "api",
                "access",
                "account",
                "private",
                "preshared",
                "encryption",
                "signing",
                "auth",
                "master",
                "shared",
                "app",
                "application",
            ] {
                spelled.push(format!("{first}{joined}key"));
            }
        }
        for text in &spelled {
            assert!(name.is_match(text) && NAME_WORDS.contains(&text.as_str()), "{text}");
        }
    }
}
