//! `doorward pki`: a small authority for servers and clients, and a look into certificate files.

mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;

use super::{Exit, Outcome, say, span};
use crate::clock::Clock;
use crate::error::Failure;
use crate::identity::SubjectPattern;
use crate::pki::store::{self, Existing};
use crate::pki::{AlternativeName, Authority, Issued, Profile, Request, RevocationList};
use crate::secret::{hex, random};

/// Make, look into and revoke certificates
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make a certificate authority in a directory of its own
    Init(Init),
    /// Issue a certificate and its key
    #[command(subcommand)]
    Issue(Issue),
    /// Revoke certificates and sign a new revocation list
    Revoke(Revoke),
    /// Sign a new revocation list; needed before the old one is out of date
    Crl(Crl),
    /// Tell what is in certificate, revocation list and key files
    Show(show::Args),
}

#[derive(clap::Args, Debug)]
struct Init {
    /// Where the authority lives: ca.crt, ca.key (keep it safe), index.jsonl
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The authority's common name; no two authorities of one door may share it [default: Doorward CA and six random digits]
    #[arg(long)]
    name: Option<String>,
    /// Days the authority is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Subcommand, Debug)]
enum Issue {
    /// For a daemon, under the names by which clients reach it
    Server {
        /// A host name or address; the first is the common name too
        #[arg(long = "name", value_name = "HOST", required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// For an agent or a bridge
    Client {
        /// The common name
        #[arg(long, value_name = "NAME")]
        cn: String,
        /// The organization
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// A host name
        #[arg(long, value_name = "HOST")]
        dns: Vec<String>,
        /// A URI; a SPIFFE id must be the only one
        #[arg(long, visible_alias = "spiffe", value_name = "URI")]
        uri: Vec<String>,
        /// A mail address
        #[arg(long, value_name = "ADDRESS")]
        email: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args, Debug)]
struct Common {
    /// The authority's directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Writes PREFIX.crt and PREFIX.key
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
    /// Days of validity [default: 90 for a server, 30 for a client]
    #[arg(long, conflicts_with = "hours", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Hours of validity
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=876_000))]
    hours: Option<u32>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args, Debug)]
struct Revoke {
    /// The authority's directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A serial number in hexadecimal
    #[arg(long = "serial", value_name = "HEX")]
    serials: Vec<String>,
    /// Certificate files; the first certificate of each
    #[arg(value_name = "CERT", required_unless_present = "serials")]
    files: Vec<PathBuf>,
    /// Days until the new list is out of date
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    next_update_days: u32,
}

#[derive(clap::Args, Debug)]
struct Crl {
    /// The authority's directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Days until the list is out of date
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    next_update_days: u32,
}

/// Does what was asked.
///
/// # Errors
/// When files cannot be read or written, or what is asked for is not issued.
pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    match args.verb {
        Verb::Init(init) => make(&init, clock),
        Verb::Issue(Issue::Server { names, common }) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let request = Request::server(&names, lifetime(&common, 90));
            let issued = issue(&request, &common, clock)?;
            advise_server(&issued, &common);
            Ok(Exit::Done)
        }
        Verb::Issue(Issue::Client { cn, organization, dns, uri, email, common }) => {
            let names = dns.into_iter().map(AlternativeName::Dns);
            let names = names.chain(uri.into_iter().map(AlternativeName::Uri));
            let names = names.chain(email.into_iter().map(AlternativeName::Email));
            let request = Request::client(cn, lifetime(&common, 30));
            let request = organization.into_iter().fold(request, Request::organization);
            let issued = issue(&names.fold(request, Request::name), &common, clock)?;
            advise_client(&issued, &common);
            Ok(Exit::Done)
        }
        Verb::Revoke(revoke) => withdraw(&revoke, clock),
        Verb::Crl(crl) => {
            let authority = Authority::open(&crl.dir)?;
            let list = authority.crl(days(crl.next_update_days), clock)?;
            advise_list(&list, &crl.dir, clock);
            Ok(Exit::Done)
        }
        Verb::Show(args) => show::run(&args, clock),
    }
}

fn make(init: &Init, clock: &Clock) -> Outcome {
    // Revocation lists are looked up by the authority's name, so it is not the same for all who do not choose.
    let common_name = match &init.name {
        Some(name) => name.clone(),
        None => format!("Doorward CA {}", hex(&random::<3>()?)),
    };
    let profile = Profile { common_name, lifetime: days(init.days) };
    let authority = Authority::create(&init.dir, &profile, clock)?;
    let dir = init.dir.display();
    say(format!("wrote {dir}/ca.crt   the authority {}", authority.certificate().subject));
    say(format!("wrote {dir}/ca.key   its private key: whoever has it can be any client, so keep it off the servers"));
    say(format!("valid until {}", authority.certificate().not_after));
    say("\nNext: issue certificates with it");
    say(format!("  doorward pki issue server --dir {dir} --name localhost --name 127.0.0.1 --out server"));
    say(format!("  doorward pki issue client --dir {dir} --cn my-agent --out my-agent"));
    Ok(Exit::Done)
}

fn issue(request: &Request, common: &Common, clock: &Clock) -> Result<Issued, Failure> {
    let existing = if common.force { Existing::Replace } else { Existing::Keep };
    let (certificate, key) = Issued::paths(&common.out);
    // Asked before anything is signed, so that no certificate is on the record that nobody has.
    [&certificate, &key].into_iter().try_for_each(|path| store::ready(path, existing))?;
    let issued = Authority::open(&common.dir)?.issue(request, clock)?;
    issued.write(&common.out, existing)?;
    let says = &issued.certificate;
    say(format!("wrote {}   {}, serial {}", certificate.display(), says.subject, says.serial));
    say(format!("wrote {}   its private key, mode 0600", key.display()));
    say(format!("valid until {} ({})", says.not_after, span::between(says.not_after, clock.now())));
    Ok(issued)
}

fn advise_server(issued: &Issued, common: &Common) {
    let (certificate, key) = Issued::paths(&common.out);
    say("\nNext: name it in the daemon's configuration");
    say(format!("  tls:\n    cert: {}\n    key: {}", absolute(&certificate), absolute(&key)));
    say(format!("    client_ca: {}", absolute(&common.dir.join("ca.crt"))));
    let (wild, named): (Vec<&str>, Vec<&str>) =
        issued.certificate.dns_names.iter().map(String::as_str).partition(|name| name.contains('*'));
    if !named.is_empty() {
        say(format!("  http:\n    allowed_hosts: [{}]", named.join(", ")));
    }
    if !wild.is_empty() {
        say(format!("For {} name each host in http.allowed_hosts: it takes no wildcards.", wild.join(", ")));
    }
}

fn advise_client(issued: &Issued, common: &Common) {
    let subject = issued.certificate.subject.to_string();
    let entry = issued.certificate.spiffe_id().map_or(subject, |id| SubjectPattern::Uri(id.to_owned()).to_string());
    say("\nNext: let it in, in the daemon's configuration");
    say(format!("  tls:\n    client_ca: {}", absolute(&common.dir.join("ca.crt"))));
    say(format!("    allowed_subjects:\n      - {}", quoted(&entry)));
    say(format!("A token is bound to it with: doorward token mint --cert {}.crt …", common.out.display()));
}

fn withdraw(revoke: &Revoke, clock: &Clock) -> Outcome {
    let authority = Authority::open(&revoke.dir)?;
    let tell = |what: &str, new: bool| {
        say(if new { format!("revoked {what}") } else { format!("{what} was revoked before") });
    };
    for serial in &revoke.serials {
        tell(serial, authority.revoke(serial, clock)?);
    }
    for file in &revoke.files {
        tell(&file.display().to_string(), authority.revoke_file(file, clock)?);
    }
    let list = authority.crl(days(revoke.next_update_days), clock)?;
    advise_list(&list, &revoke.dir, clock);
    Ok(Exit::Done)
}

fn advise_list(list: &RevocationList, dir: &Path, clock: &Clock) {
    let path = list.path.display();
    say(format!("wrote {path}   revocation list {}, {} revoked", list.number, list.revoked));
    let left = span::between(list.next_update, clock.now());
    say(format!("it is out of date on {} ({left}); from then on every client is refused", list.next_update));
    say("\nNext: name it in the daemon's configuration, where a new file is taken up by itself");
    say(format!("  tls:\n    client_crl: {}", absolute(&list.path)));
    say(format!("and renew it from a timer: doorward pki crl --dir {}", dir.display()));
}

fn lifetime(common: &Common, default: u32) -> Duration {
    let hours = common.hours.map(|hours| Duration::from_secs(u64::from(hours).saturating_mul(3600)));
    hours.unwrap_or_else(|| days(common.days.unwrap_or(default)))
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count).saturating_mul(86_400))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// A text that YAML reads back as it is: JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::error::Code;
    use crate::pki::describe::{self, Item};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(format!("pki {line}").split_whitespace()).map(|line| line.args)
    }

    #[test]
    fn an_authority_issues_and_revokes_by_command() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let go = |line: &str| {
            let line = line.replace("@", &format!("{}/", dir.path().display()));
            run(parse(&line).unwrap(), &clock)
        };
        go("init --dir @ca --days 400").unwrap();
        go("init --dir @ca2").unwrap();
        let name = |ca: &str| store::leaf(&at(ca).join("ca.crt")).unwrap().subject;
        assert_ne!(name("ca"), name("ca2"), "nobody chose, and they are told apart all the same");
        go("init --dir @ca3 --name Mine").unwrap();
        assert_eq!(name("ca3").to_string(), "CN=Mine");
        go("issue server --dir @ca --name door.example --name 127.0.0.1 --out @door --hours 2").unwrap();
        let client = "issue client --dir @ca --cn bot --organization Acme --spiffe spiffe://acme/bot --out @bot";
        go(client).unwrap();
        assert_eq!(go(client).unwrap_err().code(), Code::Io, "nothing is replaced unasked");
        go(&format!("{client} --force")).unwrap();
        assert_eq!(go("show @ca/ca.crt @ca/ca.key @door.crt @bot.crt --json").unwrap(), Exit::Done);

        let items = describe::file(&at("door.crt")).unwrap();
        let [Item::Certificate { role: "server", certificate, addresses, .. }] = items.as_slice() else { panic!() };
        assert_eq!(certificate.not_after, clock.now().plus(Duration::from_secs(7200)));
        assert_eq!(addresses, &["127.0.0.1"]);

        go("revoke --dir @ca @bot.crt").unwrap();
        go("crl --dir @ca --next-update-days 3").unwrap();
        let items = describe::file(&at("ca/ca.crl")).unwrap();
        let [Item::RevocationList { number, revoked, next_update, .. }] = items.as_slice() else { panic!() };
        assert_eq!((number.as_deref(), revoked.len()), (Some("2"), 1));
        assert_eq!(*next_update, Some(clock.now().plus(days(3))));
        assert_eq!(go("revoke --dir @ca --serial 0123").unwrap_err().code(), Code::Config);
        std::fs::write(at("bad.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(go("show @bad.pem").unwrap(), Exit::Refused);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused() {
        for line in [
            "issue server --dir d --out o",
            "issue client --dir d --out o",
            "issue client --dir d --cn a --out o --days 1 --hours 1",
            "issue client --dir d --cn a --out o --days 0",
            "revoke --dir d",
            "show",
            "",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
