//! Why something was refused or failed: a closed list of codes, and a failure with one message for the caller and one
//! for the operator. Each wire (HTTP, JSON-RPC) has one exhaustive mapping, here, beside the list.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What a failure means to the one who gets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonRpc {
    /// A JSON-RPC error object with this code.
    Error(i32),
    /// A tool result with `isError: true`: something the agent can read and act on.
    ToolError,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $rpc:expr;)*) => {
        /// The reason for a refusal or a failure. The text form is what logs, metrics and callers see.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason code as it is logged and answered.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status of a request that ends with this code before dispatch.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// How JSON-RPC says it.
            #[must_use]
            pub const fn json_rpc(self) -> JsonRpc {
                match self { $(Self::$name => $rpc,)* }
            }
        }
    };
}

use JsonRpc::{Error as Rpc, ToolError};

/// `-32600` and below: JSON-RPC 2.0 section 5.1; `-3202x`: MCP 2026-07-28; positive numbers are this product's own.
const INVALID_REQUEST: JsonRpc = Rpc(-32600);
const UNAUTHENTICATED: JsonRpc = Rpc(1401);
const FORBIDDEN: JsonRpc = Rpc(1403);

codes! {
    // The channel.
    /// The connection showed no client certificate.
    CertificateMissing = "certificate_missing", 403, FORBIDDEN;
    /// The certificate cannot be read.
    CertificateMalformed = "certificate_malformed", 403, FORBIDDEN;
    /// The certificate does not chain to the client CA, or is not meant for clients.
    CertificateUntrusted = "certificate_untrusted", 403, FORBIDDEN;
    /// The certificate is not valid at this time.
    CertificateExpired = "certificate_expired", 403, FORBIDDEN;
    /// The certificate is on a revocation list.
    CertificateRevoked = "certificate_revoked", 403, FORBIDDEN;
    /// Whether the certificate is revoked cannot be told: the list is out of date, or there is none of its authority.
    RevocationUnknown = "revocation_unknown", 403, FORBIDDEN;
    /// No entry of `tls.allowed_subjects` names this certificate.
    SubjectNotAllowed = "subject_not_allowed", 403, FORBIDDEN;
    /// The connection has reached its greatest age.
    ConnectionExpired = "connection_expired", 503, INVALID_REQUEST;
    /// The TLS handshake failed or took too long.
    HandshakeFailed = "handshake_failed", 400, INVALID_REQUEST;
    /// Too many connections, in total or from one address.
    TooManyConnections = "too_many_connections", 503, INVALID_REQUEST;
    /// Too many handshakes from one network were refused; no further one is made for a while.
    TooManyHandshakes = "too_many_handshakes", 503, INVALID_REQUEST;

    // The HTTP request.
    /// `Host` (or `:authority`) is not one of the configured names.
    HostNotAllowed = "host_not_allowed", 403, FORBIDDEN;
    /// `Origin` is not one of the configured origins.
    OriginNotAllowed = "origin_not_allowed", 403, FORBIDDEN;
    /// Nothing is served at this path.
    NotFound = "not_found", 404, INVALID_REQUEST;
    /// The method is not POST.
    MethodNotAllowed = "method_not_allowed", 405, INVALID_REQUEST;
    /// `Accept` does not name both forms of answer.
    NotAcceptable = "not_acceptable", 406, INVALID_REQUEST;
    /// `Content-Type` is not `application/json`.
    ContentType = "content_type", 415, INVALID_REQUEST;
    /// The head of the request cannot be read, its headers contradict one another, or repeat what may stand once.
    HeaderMalformed = "header_malformed", 400, INVALID_REQUEST;
    /// The head of the request is over `http.max_header_bytes`, or has too many headers.
    HeaderTooLarge = "header_too_large", 431, INVALID_REQUEST;
    /// The body is over `http.max_body_bytes`.
    BodyTooLarge = "body_too_large", 413, INVALID_REQUEST;
    /// The bodies of all requests, or of one certificate's, have reached what `http.max_body_bytes_total` allows.
    BodiesFull = "bodies_full", 503, INVALID_REQUEST;
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", 408, INVALID_REQUEST;
    /// The body is not one JSON text in UTF-8.
    MalformedJson = "malformed_json", 400, Rpc(-32700);
    /// The JSON is nested too deeply.
    JsonTooDeep = "json_too_deep", 400, INVALID_REQUEST;
    /// The JSON holds more values than any message of this protocol.
    JsonTooMany = "json_too_many_values", 400, INVALID_REQUEST;
    /// An object has the same key twice.
    DuplicateKey = "duplicate_key", 400, INVALID_REQUEST;
    /// A JSON-RPC batch; MCP has none since 2025-06-18.
    Batch = "batch", 400, INVALID_REQUEST;
    /// The JSON is not a JSON-RPC 2.0 request or notification.
    InvalidRequest = "invalid_request", 400, INVALID_REQUEST;
    /// The protocol version is not one that is spoken here.
    VersionUnsupported = "version_unsupported", 400, Rpc(-32022);
    /// A header says something else than the body.
    HeaderMismatch = "header_mismatch", 400, Rpc(-32020);
    /// Required `_meta` fields are missing.
    MetaMissing = "meta_missing", 400, Rpc(-32602);
    /// The protocol has no such method.
    MethodUnknown = "method_unknown", 404, Rpc(-32601);
    /// The protocol layer refused the message for a reason of its own.
    ProtocolRefused = "protocol_refused", 400, INVALID_REQUEST;

    // The token.
    /// No token was presented.
    TokenMissing = "token_missing", 401, UNAUTHENTICATED;
    /// Not a JWS in compact form with a JSON header and JSON claims.
    TokenMalformed = "token_malformed", 401, UNAUTHENTICATED;
    /// The token is longer than any that is accepted.
    TokenTooLarge = "token_too_large", 401, UNAUTHENTICATED;
    /// The algorithm is not allowed, or is not the key's own.
    TokenAlgorithm = "token_algorithm", 401, UNAUTHENTICATED;
    /// `typ` says that this is not an access token.
    TokenType = "token_type", 401, UNAUTHENTICATED;
    /// The header demands (`crit`) or offers (`jwk`, `jku`, `x5c`, …) what is not honoured here.
    TokenHeader = "token_header", 401, UNAUTHENTICATED;
    /// No key of this name is known.
    TokenKeyUnknown = "token_key_unknown", 401, UNAUTHENTICATED;
    /// The signature does not verify.
    TokenSignature = "token_signature", 401, UNAUTHENTICATED;
    /// A required claim is missing or has the wrong type.
    TokenClaim = "token_claim", 401, UNAUTHENTICATED;
    /// `iss` is not the configured issuer.
    TokenIssuer = "token_issuer", 401, UNAUTHENTICATED;
    /// `aud` does not name this server.
    TokenAudience = "token_audience", 401, UNAUTHENTICATED;
    /// `exp` has passed.
    TokenExpired = "token_expired", 401, UNAUTHENTICATED;
    /// `nbf` is still to come.
    TokenNotYetValid = "token_not_yet_valid", 401, UNAUTHENTICATED;
    /// `iat` is still to come.
    TokenIssuedInFuture = "token_issued_in_future", 401, UNAUTHENTICATED;
    /// The token lives longer than `max_ttl`.
    TokenLifetime = "token_lifetime", 401, UNAUTHENTICATED;
    /// The token was used before.
    TokenReplayed = "token_replayed", 401, UNAUTHENTICATED;
    /// The token is bound to another certificate or sender.
    TokenBinding = "token_binding", 401, UNAUTHENTICATED;
    /// The token is not bound to a certificate and must be.
    TokenUnbound = "token_unbound", 401, UNAUTHENTICATED;
    /// Too many tokens of this source were refused; none is looked at for a while.
    TooManyFailures = "too_many_failures", 429, INVALID_REQUEST;
    /// There are no keys to verify tokens with, or they are too old.
    KeysUnavailable = "keys_unavailable", 503, INVALID_REQUEST;
    /// The store of used tokens is full; a live entry is never forgotten to make room.
    ReplayStoreFull = "replay_store_full", 503, INVALID_REQUEST;
    /// The token opens nothing here.
    InsufficientScope = "insufficient_scope", 403, FORBIDDEN;

    // The call.
    /// No such tool for this caller.
    UnknownTool = "unknown_tool", 404, Rpc(-32602);
    /// The arguments do not fit the tool's schema.
    ArgumentsInvalid = "arguments_invalid", 400, ToolError;
    /// A sensitive query that the configuration keeps shut.
    SensitiveDisabled = "sensitive_disabled", 403, Rpc(-32602);
    /// A policy forbids it, or none permits it.
    PolicyForbidden = "policy_forbidden", 403, ToolError;
    /// The caller has used up a rate.
    RateLimited = "rate_limited", 429, ToolError;
    /// Too many calls are running.
    TooManyCalls = "too_many_calls", 429, ToolError;
    /// The caller has been with too many different targets.
    TargetsUsedUp = "targets_used_up", 429, ToolError;
    /// The caller was given too much in answers.
    VolumeUsedUp = "volume_used_up", 429, ToolError;
    /// The tool did not end in its time.
    TimedOut = "timed_out", 504, ToolError;
    /// The caller went away or cancelled.
    Cancelled = "cancelled", 499, ToolError;
    /// The tool could not do its work.
    ToolFailed = "tool_failed", 502, ToolError;
    /// The tool would have taken more of the host than it may, or its answer more room than there is.
    OverBudget = "over_budget", 507, ToolError;
    /// The audit log cannot be written, so nothing is done.
    AuditUnavailable = "audit_unavailable", 503, Rpc(-32603);
    /// The daemon is stopping.
    ShuttingDown = "shutting_down", 503, Rpc(-32603);

    // The operator's side.
    /// The configuration has findings.
    Config = "config", 500, Rpc(-32603);
    /// A file or the system refused.
    Io = "io", 500, Rpc(-32603);
    /// A remote party did not answer as it should.
    Upstream = "upstream", 502, Rpc(-32603);
    /// A defect of this program.
    Internal = "internal", 500, Rpc(-32603);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal or a failure. `public` may be shown to the caller; `cause` is for the operator's log only.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    public: Cow<'static, str>,
    wait: Option<Duration>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with what the caller may read.
    pub fn new(code: Code, public: impl Into<Cow<'static, str>>) -> Self {
        Self { code, public: public.into(), wait: None, cause: None }
    }

    /// Says when it is worth trying again.
    #[must_use]
    pub fn until(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Adds what only the operator may read.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The reason code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// For how long the same would fail again, where that is known.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// What the caller may read.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// What the operator may read: the cause and its causes, in one line.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        let mut next: Option<&dyn Error> = self.cause.as_deref().map(|cause| {
            let cause: &dyn Error = cause;
            cause
        });
        let mut text = String::new();
        while let Some(cause) = next {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        (!text.is_empty()).then_some(text)
    }
}

/// The public message only: a failure that is printed by accident tells no more than the caller may know.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_its_own_text() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn display_keeps_the_cause_back() {
        let failure =
            Failure::new(Code::Io, "cannot read the key").because(std::io::Error::other("/etc/secret: denied"));
        assert_eq!(failure.to_string(), "cannot read the key");
        assert_eq!(failure.cause().as_deref(), Some("/etc/secret: denied"));
    }
}
