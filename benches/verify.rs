//! How long a million records take to verify, plain and compressed. `cargo bench --bench verify`

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use doorward::audit::chain::Head;
use doorward::audit::checkpoint::{Cause, Signer};
use doorward::audit::verify::{Elsewhere, Ending, Files, verify};
use doorward::clock::Timestamp;
use doorward::pki::{KeyKind, PublicKey, SigningKey};

const RECORDS: u64 = 1_000_000;
/// Records between two checkpoints.
const INTERVAL: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let home = tempfile::tempdir()?;
    let key = SigningKey::generate(KeyKind::Ed25519)?;
    let public = [PublicKey::of(&key)?];
    let signer = Signer::new(key)?;
    let (plain, packed) = (home.path().join("audit.jsonl"), home.path().join("packed.jsonl.gz"));
    journal(&plain, BufWriter::new(File::create(&plain)?), &signer)?;
    let gzip = flate2::write::GzEncoder::new(File::create(&packed)?, flate2::Compression::default());
    journal(&packed, gzip, &signer)?;
    let mut group = criterion.benchmark_group("verify");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for (name, path) in [("a million records", plain), ("a million records, gzip", packed)] {
        let files = Files::gather(&[path])?;
        let report = verify(&files, &public, Elsewhere::default(), &mut |_| {})?;
        if report.finding.is_some() || report.ending != Ending::Stop || report.records != RECORDS {
            return Err(format!("{report:?}").into());
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| verify(&files, &public, Elsewhere::default(), &mut |_| {}).is_ok());
        });
    }
    group.finish();
    Ok(())
}

/// About 400 bytes a record.
fn journal(path: &Path, mut to: impl Write, signer: &Signer) -> Result<(), Box<dyn Error>> {
    let mut head = Head::START;
    let mut page = Vec::new();
    while head.seq < RECORDS {
        let at = Timestamp::from_millis(1_800_000_000_000);
        let cause = if head.seq.saturating_add(1) == RECORDS { Cause::Stop } else { Cause::Interval };
        let body = match head.seq.checked_rem(INTERVAL) {
            _ if cause == Cause::Stop => signer.sign(head, cause, at)?,
            Some(0) if head.seq > 0 => signer.sign(head, cause, at)?,
            _ => format!(
                "{{\"v\":1,\"ts\":\"{at}\",\"event\":\"query\",\"stage\":\"outcome\",\"id\":\"{:032x}\",\
                 \"query\":\"get_cpu_info\",\"client\":{{\"transport\":\"https\",\"ip\":\"10.1.2.3\",\"subject\":\
                 \"CN=coding-bot\",\"jwt_sub\":\"alice\"}},\"user\":\"alice\",\"agent\":[\"coding-bot\"],\"result\":\
                 \"success\",\"duration_ms\":12,\"output_bytes\":2048}}",
                u128::from(head.seq).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)
            )
            .into_bytes(),
        };
        head = head.append(&body, &mut page).ok_or_else(|| path.display().to_string())?;
        if page.len() > 1 << 20 {
            to.write_all(&page)?;
            page.clear();
        }
    }
    to.write_all(&page)?;
    to.flush()?;
    Ok(())
}
