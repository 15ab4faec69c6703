# Verifies a journal with nothing of Doorward's: python3 stranger.py KEY.pub FILE… (oldest first)
import base64, gzip, hashlib, json, subprocess, sys, tempfile

seq, prev, proven = 0, "0" * 64, 0
for name in sys.argv[2:]:
    for line in (gzip.open if name.endswith(".gz") else open)(name, "rb"):
        line = line.removesuffix(b"\n")
        record = json.loads(line)
        seq += 1
        assert record["seq"] == seq and record["prev"] == prev, f"{name}: record {seq} does not follow the one before"
        prev = hashlib.sha256(line).hexdigest()
        if record["event"] == "checkpoint":
            c = record["checkpoint"]
            assert c["covers"] == seq - 1 and c["head"] == record["prev"], f"record {seq} covers something else"
            text = f"doorward audit checkpoint 1\n{c['covers']}\n{c['head']}\n{record['ts']}\n{c['cause']}\n{c['key']}\n"
            with tempfile.NamedTemporaryFile() as message, tempfile.NamedTemporaryFile() as signature:
                message.write(text.encode()), message.flush()
                signature.write(base64.b64decode(c["signature"])), signature.flush()
                openssl = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", sys.argv[1]]
                subprocess.run([*openssl, "-in", message.name, "-sigfile", signature.name], check=True, stdout=2)
            proven = seq
print(f"{seq} records, proven to {proven}")
