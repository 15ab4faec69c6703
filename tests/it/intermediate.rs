//! A certificate is as good as the chain above it, and for no longer.

use std::fs;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;
use time::OffsetDateTime;

use crate::world::tokens::now;
use crate::world::{Choice, World, wire};

/// A request for a certificate of this name that is valid until `until`.
fn params(name: &str, until: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from_unix_timestamp(now() - 60).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(until).unwrap();
    params
}

fn authority(name: &str, until: i64) -> CertificateParams {
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

#[tokio::test]
async fn an_intermediate_that_runs_out_ends_what_it_vouched_for_on_an_open_connection() {
    let clock = Clock::manual(Timestamp::from_seconds(now()));
    let world = World::with(Choice { clock: Some(clock.clone()), ..Choice::default() }).await;
    let keys: Vec<KeyPair> = (0..3).map(|_| KeyPair::generate().unwrap()).collect();
    let root = authority("Root", now() + 86_400);
    let between = authority("Between", now() + 90);
    let mut leaf = params("chained", now() + 86_400);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let root_pem = root.self_signed(&keys[0]).unwrap().pem();
    let between_pem = between.signed_by(&keys[1], &Issuer::from_params(&root, &keys[0])).unwrap().pem();
    let leaf_pem = leaf.signed_by(&keys[2], &Issuer::from_params(&between, &keys[1])).unwrap().pem();
    fs::write(world.path("root.crt"), root_pem).unwrap();
    fs::write(world.path("chained.crt"), format!("{leaf_pem}{between_pem}")).unwrap();
    doorward::pki::store::write_private(
        &world.path("chained.key"),
        keys[2].serialize_pem().as_bytes(),
        doorward::pki::store::Existing::Keep,
    )
    .unwrap();
    let directory = world.path("").display().to_string();
    world.edit(&format!("client_ca: {directory}ca/ca.crt"), &format!("client_ca: {directory}root.crt"));
    world.edit(&format!("  client_crl: {directory}ca/ca.crl\n"), "");
    world.edit("    - CN=bot,O=Acme\n", "    - CN=chained\n");
    world.reload().await;

    let mut stream = wire::connect(&world.path(""), world.port, Some("chained")).await.unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let request = wire::post(world.port, &world.token(&["core"]), &wire::call("get_uptime", json!({})));
        outcomes.push(wire::exchange(&mut stream, &request).await.unwrap().outcome());
        clock.advance(Duration::from_secs(31));
    }
    assert_eq!(outcomes, ["200", "200", "200", "403 certificate_expired"]);
}
