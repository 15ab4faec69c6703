//! Secrets that are known by their own form, wherever they stand. Each is found by a literal that it must hold, so that text
//! without any of them is read at the speed of memory.

/// A kind of secret: its name, the literals of which its text holds one, and its form. Names may repeat.
pub(super) struct Token {
    pub(super) name: &'static str,
    pub(super) literals: &'static [&'static str],
    pub(super) pattern: &'static str,
}

const fn token(name: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Token {
    Token { name, literals, pattern }
}

/// `(?-u:\b)` is the ASCII boundary of a word; tokens are ASCII. A token that begins with it may stand behind `_` too;
/// `(?-u:\b{start})` is for those that would be found within names then.
pub(super) const TOKENS: &[Token] = &[
    token("jwt", &["eyJ"], r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){1,3}"),
    // DER of private keys in base64 says what it is in its first bytes; so does the format of OpenSSH.
    token(
        "private_key",
        &[
            "b3BlbnNzaC1rZXktdjE",
            "IBA",
            "MHcCAQEE",
            "MIGkAgEBBDD",
            "MIHcAgEBBEI",
            "AgEAMBMGByqGSM49",
            "MC4CAQAwBQYDK2V",
        ],
        concat!(
            r"(?-u:\b{start})(?:b3BlbnNzaC1rZXktdjE|MII[A-Za-z0-9+/]{3}IBA[AD]|MHcCAQEE|MIGkAgEBBDD|MIHcAgEBBEI|",
            r"MI[A-Za-z0-9+/]{2}AgEAMBMGByqGSM49|MC4CAQAwBQYDK2V)[A-Za-z0-9+/]{20,}={0,2}",
        ),
    ),
    token("aws_key", &["AKIA", "ASIA", "ABIA", "ACCA"], r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?-u:\b)"),
    token("google_key", &["AIza"], r"(?-u:\b)AIza[A-Za-z0-9_-]{35}"),
    token("google_key", &["GOCSPX-", "ya29."], r"(?-u:\b)(?:GOCSPX-|ya29\.)[A-Za-z0-9_-]{20,}"),
    token("azure_key", &["Q~"], r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    token("alibaba_key", &["LTAI"], r"(?-u:\b)LTAI[A-Za-z0-9]{16,26}(?-u:\b)"),
    token("digitalocean_token", &["_v1_"], r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}"),
    token("flyio_token", &["fm2_"], r"(?-u:\b)fm2_[A-Za-z0-9+/=_,-]{40,}"),
    token("heroku_key", &["HRKU-"], r"(?-u:\b)HRKU-[A-Za-z0-9_-]{30,}"),
    token("tailscale_key", &["tskey-"], r"(?-u:\b)tskey-[a-z]+-[A-Za-z0-9-]{15,}"),
    token("cloudflare_key", &["v1.0-"], r"(?-u:\b)v1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    token(
        "github_token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,})",
    ),
    token(
        "gitlab_token",
        &["glpat-", "gldt-", "glrt-", "glptt-", "glft-", "glsoat-", "glcbt-", "gloas-", "glagent-"],
        r"(?-u:\b)gl(?:pat|dt|rt|ptt|ft|soat|cbt|oas|agent)-[A-Za-z0-9_.-]{20,}",
    ),
    token("npm_token", &["npm_"], r"(?-u:\b)npm_[A-Za-z0-9]{30,}"),
    token("pypi_token", &["pypi-"], r"(?-u:\b)pypi-[A-Za-z0-9_-]{40,}"),
    token("rubygems_token", &["rubygems_"], r"(?-u:\b)rubygems_[a-f0-9]{40,}"),
    token("docker_token", &["dckr_"], r"(?-u:\b)dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    token("slack_token", &["xox", "xapp-"], r"(?-u:\b)(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{10,}"),
    token(
        "slack_webhook",
        &["hooks.slack.com/"],
        r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]+",
    ),
    token(
        "discord_webhook",
        &["/api/webhooks/"],
        r"https://[a-z.]*discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]+",
    ),
    token("teams_webhook", &["webhook.office.com/"], r"https://[a-z0-9-]+\.webhook\.office\.com/[A-Za-z0-9@/_-]{20,}"),
    token("telegram_token", &[":AA"], r"(?:(?-u:\b)|bot)[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    token("stripe_key", &["sk_", "rk_", "whsec_"], r"(?-u:\b)(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{20,}"),
    token("square_token", &["sq0"], r"(?-u:\b)sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}"),
    token("shopify_token", &["shp"], r"(?-u:\b)shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    token(
        "twilio_key",
        &[
            "SK0", "SK1", "SK2", "SK3", "SK4", "SK5", "SK6", "SK7", "SK8", "SK9", "SKa", "SKb", "SKc", "SKd", "SKe",
            "SKf",
        ],
        r"(?-u:\b)SK[a-f0-9]{32}(?-u:\b)",
    ),
    token("sendgrid_key", &["SG."], r"(?-u:\b)SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    token("mailgun_key", &["key-"], r"(?-u:\b{start})key-[a-f0-9]{32}(?-u:\b)"),
    token("model_key", &["sk-"], r"(?-u:\b)sk-[A-Za-z0-9][A-Za-z0-9_-]{30,}"),
    token("model_key", &["gsk_"], r"(?-u:\b)gsk_[A-Za-z0-9]{40,}"),
    token("model_key", &["xai-"], r"(?-u:\b)xai-[A-Za-z0-9]{60,}"),
    token("model_key", &["pplx-"], r"(?-u:\b)pplx-[A-Za-z0-9]{40,}"),
    token("model_key", &["r8_"], r"(?-u:\b)r8_[A-Za-z0-9]{37}(?-u:\b)"),
    token("huggingface_token", &["hf_"], r"(?-u:\b)hf_[A-Za-z0-9]{30,}"),
    token("databricks_token", &["dapi"], r"(?-u:\b)dapi[a-f0-9]{32}(?-u:\b)"),
    token("vault_token", &["hvs.", "hvb.", "hvr."], r"(?-u:\b)hv[sbr]\.[A-Za-z0-9_-]{20,}"),
    token("terraform_token", &[".atlasv1."], r"(?-u:\b)[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}"),
    token("doppler_token", &["dp."], r"(?-u:\b)dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{30,}"),
    token("planetscale_token", &["pscale_"], r"(?-u:\b)pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{30,}"),
    token("grafana_token", &["glsa_", "glc_"], r"(?-u:\b)gl(?:sa|c)_[A-Za-z0-9+/=_]{30,}"),
    token("newrelic_key", &["NRAK-"], r"(?-u:\b)NRAK-[A-Z0-9]{20,}"),
    token("sentry_token", &["sntry"], r"(?-u:\b)sntry[su]_[A-Za-z0-9+/=_]{30,}"),
    token("postman_key", &["PMAK-"], r"(?-u:\b)PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    token("linear_key", &["lin_api_"], r"(?-u:\b)lin_api_[A-Za-z0-9]{30,}"),
    token("atlassian_token", &["ATATT3"], r"(?-u:\b)ATATT3[A-Za-z0-9_=-]{50,}"),
    token("atlassian_token", &["ATCTT3"], r"(?-u:\b)ATCTT3[A-Za-z0-9_=-]{50,}"),
    token("atlassian_token", &["ATBB"], r"(?-u:\b)ATBB[A-Za-z0-9]{32}(?-u:\b)"),
    token("notion_token", &["ntn_", "secret_"], r"(?-u:\b)(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}(?-u:\b))"),
    token("netlify_token", &["nfp_"], r"(?-u:\b)nfp_[A-Za-z0-9]{36,}"),
    token("supabase_token", &["sbp_"], r"(?-u:\b)sbp_[a-f0-9]{40}"),
    token("age_key", &["AGE-SECRET-KEY-"], r"(?-u:\b)AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{50,}"),
    // As crypt(3) writes them, in /etc/shadow among others; as Apache, Django, LDAP and databases do.
    token(
        "password_hash",
        &[
            "$1$", "$2$", "$2a$", "$2b$", "$2x$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$argon2", "$apr1$",
            "$scrypt$",
        ],
        r"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2(?:id?|d)|apr1|scrypt)\$[A-Za-z0-9./$=,+-]{20,}",
    ),
    token("password_hash", &["pbkdf2_"], r"(?-u:\b)pbkdf2_sha[0-9]+\$[0-9]+\$[A-Za-z0-9./$=,+-]{20,}"),
    token(
        "password_hash",
        &["SHA}", "CRYPT}", "SHA512}", "SHA256}"],
        r"\{(?:S?SHA(?:256|512)?|CRYPT)\}[A-Za-z0-9./$=+-]{13,}",
    ),
    token(
        "password_hash",
        &["SCRAM-SHA-"],
        r"SCRAM-SHA-(?:1|256|512)\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+",
    ),
    token("password_hash", &["'*"], r"'\*[A-F0-9]{40}'"),
];
