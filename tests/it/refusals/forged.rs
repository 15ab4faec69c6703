//! The token of a row: good but for what the row says.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use doorward::identity::Thumbprint;
use doorward::pki::{KeyKind, PublicParts, Signature, SigningKey, store};
use serde_json::{Map, Value, json};

use super::case::Case;
use crate::world::Estate;
use crate::world::tokens::{Signer, now};

/// The order of P-256's group, big-endian (SP 800-186 section 3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Keys of nobody the door knows, and one RSA key that is published beside the world's own.
pub struct Keys {
    attacker: Signer,
    pub rsa: SigningKey,
}

impl Keys {
    pub fn new() -> Self {
        Self { attacker: Signer::new("key-1"), rsa: SigningKey::generate(KeyKind::Rsa).unwrap() }
    }

    /// The RSA key as it is published.
    pub fn jwk(&self) -> Value {
        let (n, e) = self.rsa_numbers();
        json!({ "kty": "RSA", "use": "sig", "kid": "key-rsa", "n": B64.encode(n), "e": B64.encode(e) })
    }

    fn rsa_numbers(&self) -> (Vec<u8>, Vec<u8>) {
        let PublicParts::Rsa { n, e } = self.rsa.public_parts().unwrap() else { panic!("not an RSA key") };
        (n, e)
    }

    /// The token of a row.
    pub fn token(&self, estate: &Estate, case: &Case) -> String {
        if let Some(text) = &case.text {
            return text.clone();
        }
        let mut claims = estate.claims(&["core"]);
        let mut header = estate.signer.header();
        self.change(estate, &mut claims, case.claims.as_ref());
        self.change(estate, &mut header, case.header.as_ref());
        let header = case.raw_header.clone().unwrap_or_else(|| written(&header, &[], case.header_more.as_deref()));
        let raw: Vec<_> = case.raw.iter().map(|(name, text)| (name.as_str(), timed(text))).collect();
        let claims = case.raw_claims.clone().unwrap_or_else(|| written(&claims, &raw, case.claims_more.as_deref()));
        let token = self.sign(estate, case.sign.as_deref(), &header, &claims);
        case.mangle.as_ref().map_or(token.clone(), |how| mangled(&token, how))
    }

    fn sign(&self, estate: &Estate, how: Option<&str>, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let with = |signature: &[u8]| format!("{input}.{}", B64.encode(signature));
        let Some(how) = how else { return estate.signer.sign_parts(header, claims) };
        if let Some(secret) = how.strip_prefix("hmac with ") {
            let secret = self.guessed(estate, secret);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            return with(hmac::sign(&key, input.as_bytes()).as_ref());
        }
        if let Some(name) = how.strip_prefix("key of ") {
            let key = store::signing_key(&estate.path(&format!("{name}.key"))).unwrap();
            return with(&key.sign(Signature::Plain, input.as_bytes()).unwrap());
        }
        let good = || estate.signer.key.sign(Signature::Plain, input.as_bytes()).unwrap();
        match how {
            "nothing" => format!("{input}."),
            "attacker" => self.attacker.sign_parts(header, claims),
            "rsa" => with(&self.rsa.sign(Signature::RsaPkcs1, input.as_bytes()).unwrap()),
            "zeros" => with(&[0; 64]),
            "order" => with(&[ORDER, ORDER].concat()),
            "der" => with(&asn1(&good())),
            "longer" => with(&[good(), vec![0]].concat()),
            "shorter" => with(&good()[..63]),
            "twice" => with(&[good(), good()].concat()),
            other => panic!("no signature {other}"),
        }
    }

    /// What somebody may take for a secret who knows only what is public.
    fn guessed(&self, estate: &Estate, secret: &str) -> Vec<u8> {
        let own = &estate.signer;
        let PublicParts::Ec { x, y } = own.key.public_parts().unwrap() else { panic!("not an EC key") };
        let pem = own.key.public_pem().unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        match secret {
            "the PEM" => pem.into_bytes(),
            "the PEM without its last line break" => pem.trim_end().as_bytes().to_vec(),
            "the PEM with CRLF" => pem.replace('\n', "\r\n").into_bytes(),
            "the DER" => STANDARD.decode(body).unwrap(),
            "the point" => [vec![4], x, y].concat(),
            "the coordinates" => [x, y].concat(),
            "the JWK" => own.jwk().to_string().into_bytes(),
            "the kid" => own.kid.clone().into_bytes(),
            "the modulus" => self.rsa_numbers().0,
            "the RSA PEM" => self.rsa.public_pem().unwrap().into_bytes(),
            "nothing" => Vec::new(),
            "secret" => b"secret".to_vec(),
            other => panic!("no secret {other}"),
        }
    }

    fn change(&self, estate: &Estate, target: &mut Value, changes: Option<&Map<String, Value>>) {
        for (key, value) in changes.into_iter().flatten() {
            let members = target.as_object_mut().unwrap();
            match value {
                Value::Null => {
                    members.remove(key);
                }
                value => {
                    members.insert(key.clone(), self.computed(estate, value));
                }
            }
        }
    }

    /// `now+60`, `audience`, `thumbprint of NAME`, `certificate of NAME`, `jwk of the attacker` and `{ repeat: N }` stand
    /// for what they say.
    fn computed(&self, estate: &Estate, value: &Value) -> Value {
        let leaf = |name: &str| store::certificates(&estate.path(&format!("{name}.crt"))).unwrap()[0].to_vec();
        match value {
            Value::String(text) => {
                if let Some(offset) = text.strip_prefix("now").and_then(|rest| rest.parse::<i64>().ok()) {
                    return json!(now() + offset);
                }
                if let Some(name) = text.strip_prefix("thumbprint of ") {
                    return json!(Thumbprint::of(&leaf(name)).base64url());
                }
                if let Some(name) = text.strip_prefix("certificate of ") {
                    return json!([STANDARD.encode(leaf(name))]);
                }
                match text.as_str() {
                    "jwk of the attacker" => self.attacker.jwk(),
                    text => json!(text.replace("{audience}", &estate.audience())),
                }
            }
            Value::Object(members) => match members.get("repeat").and_then(Value::as_u64) {
                Some(count) => json!("x".repeat(usize::try_from(count).unwrap())),
                None => members.iter().map(|(key, value)| (key.clone(), self.computed(estate, value))).collect(),
            },
            Value::Array(items) => items.iter().map(|item| self.computed(estate, item)).collect(),
            other => other.clone(),
        }
    }

    /// The same claims in a token that is not the same text: what a replay may look like.
    pub fn again(estate: &Estate, token: &str, how: &str) -> String {
        let mut parts: Vec<&str> = token.split('.').collect();
        let signature = parts.pop().unwrap();
        let input = parts.join(".");
        let text = |part: &str| String::from_utf8(B64.decode(part).unwrap()).unwrap();
        match how {
            "the other signature" => format!("{input}.{}", B64.encode(other_half(&B64.decode(signature).unwrap()))),
            "signed again" => {
                let made = estate.signer.key.sign(Signature::Plain, input.as_bytes()).unwrap();
                format!("{input}.{}", B64.encode(made))
            }
            "with spaces" => estate.signer.sign_parts(&format!(" {}", text(parts[0])), &format!("{} ", text(parts[1]))),
            "for another user" => {
                estate.signer.sign_parts(&text(parts[0]), &text(parts[1]).replace("alice", "mallory"))
            }
            other => panic!("no way to say it again: {other}"),
        }
    }
}

/// An object as text, with `raw` in the place of some values and `more` before its end.
fn written(object: &Value, raw: &[(&str, String)], more: Option<&str>) -> String {
    let kept = object.as_object().unwrap().iter().filter(|(key, _)| !raw.iter().any(|(name, _)| name == key));
    let members = kept.map(|(key, value)| format!("{}:{value}", json!(key)));
    let members = members.chain(raw.iter().map(|(name, text)| format!("{}:{text}", json!(name))));
    let members: Vec<String> = members.chain(more.map(str::to_owned)).collect();
    format!("{{{}}}", members.join(","))
}

/// `{now+60}` at the beginning stands for that time.
fn timed(text: &str) -> String {
    match text.strip_prefix("{now").and_then(|rest| rest.split_once('}')) {
        Some((offset, rest)) => format!("{}{rest}", now() + offset.parse::<i64>().unwrap()),
        None => text.to_owned(),
    }
}

fn mangled(token: &str, how: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let Some(text) = how.strip_prefix("append ") {
        return format!("{token}{text}");
    }
    if let Some(text) = how.strip_prefix("prepend ") {
        return format!("{text}{token}");
    }
    match how {
        "padded header" => pad(&mut parts[0]),
        "padded claims" => pad(&mut parts[1]),
        "padded signature" => pad(&mut parts[2]),
        "stray bits" => {
            // 64 bytes leave four bits of the last letter unused.
            let last = parts[2].pop().unwrap();
            parts[2].push(char::from(u8::try_from(last).unwrap() + 1));
        }
        "standard alphabet" => {
            // "~" and "?" come out as letters that the two alphabets write differently.
            parts[1] = parts[1].replace('-', "+").replace('_', "/");
            parts[2] = parts[2].replace('-', "+").replace('_', "/") + "/+";
        }
        "a space inside" => parts[1].insert(10, ' '),
        "a percent sign" => return token.replace('.', "%2E"),
        "quotes" => return format!("\"{token}\""),
        "lower case" => return token.to_ascii_lowercase(),
        "no claims" => parts[1].clear(),
        "no header" => parts[0].clear(),
        "parts swapped" => parts.swap(0, 1),
        "twice" => return format!("{token},{token}"),
        "JSON serialization" => {
            let json = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] });
            return json.to_string();
        }
        other => panic!("no way to mangle: {other}"),
    }
    parts.join(".")
}

fn pad(part: &mut String) {
    part.push_str(if part.len().is_multiple_of(4) { "====" } else { "=" });
}

/// ECDSA signatures come in pairs: with `s`, also the order less `s` verifies.
fn other_half(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let mut borrow = 0;
    let mut other = [0; 32];
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        other[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    [r, &other].concat()
}

/// The form of X9.62, which JWS does not use (RFC 7518 section 3.4).
fn asn1(signature: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if significant[0] >= 0x80 { vec![0] } else { vec![] };
        crate::world::der::element(2, &[sign, significant].concat())
    };
    crate::world::der::element(0x30, &[number(&signature[..32]), number(&signature[32..])].concat())
}
