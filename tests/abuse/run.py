"""One door, callers at a steady pace, and each attack in turn: what it did to the door, to its memory and to the callers."""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Seconds: of calm before an attack, of calls during it, from its start to the calls', beyond the calls.
CALM, LEAD, TAIL = 5, 1, 1
# Seconds of an attack: past the ten that a handshake and the headers of a first request may take.
LASTS = 14
CAP_MIB, LEAST, TRIES = 256, 0.9, 3
ATTACKER = "127.0.0.2"
# Connections of each slow client.
CONNECTIONS = 200

# What must have become of the attacker's connections: cut at least once; none left; nothing said.
CUT, GONE, ANY = "cut", "gone", "any"
ATTACKS = [
    ("slow_headers", GONE), ("slow_body", GONE), ("slow_read", ANY), ("rapid_reset", CUT), ("made_you_reset", CUT),
    ("continuation", CUT), ("settings", CUT), ("ping", CUT), ("small_pings", CUT), ("priority", CUT), ("empty_data", CUT), ("window_zero", ANY),
    ("headers_100k", ANY), ("headers_100k_http1", GONE), ("many_values", GONE), ("half_open", GONE), ("half_hello", GONE),
    ("stalled_handshake", GONE), ("no_certificate", GONE), ("connect_and_leave", GONE), ("crowd", GONE), ("key_update", CUT),
    ("renegotiation", GONE),
]
SLOW = {"slow_headers": ["-H"], "slow_body": ["-B"], "slow_read": ["-X"]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core, command):
    return ["taskset", "-c", str(core), *command] if core is not None else command


class Door:
    """The daemon, with pki, configuration and logs in a directory of its own."""

    def __init__(self, binary, place, version, core):
        self.place, self.port, self.version = place, free_port(), version
        self.audit = f"{place}/audit-{version}.jsonl"
        config = f"{place}/door-{version}.yaml"
        with open(config, "w") as file:
            file.write(f"""transport: https
tls:
  bind: 127.0.0.1:{self.port}
  cert: {place}/server.crt
  key: {place}/server.key
  client_ca: {place}/ca/ca.crt
  allowed_subjects: [CN=agent]
  min_version: "{version}"
auth:
  jwt:
    issuer: https://issuer.example
    audience: doorward
    public_key: {place}/token.pub.pem
    # Callers without pause would fill the register of used tokens within minutes, and then be refused as declared.
scopes:
  core: [get_uptime]
resources:
  max_concurrent_queries: 64
budgets:
  # Callers and attackers have one address; what is looked at is what holds without the waits of those who fail.
  failures: {{free: 1000000}}
  strangers: {{handshakes_per_minute: 1000000, burst: 1000000}}
http:
  # All 200 slow clients get in, so that it is time that ends them and not their number.
  max_connections_per_address: 256
  # Sixteen times the default, so that it is the number of values that is bounded and not their size.
  max_body_bytes: 4194304
audit:
  path: {self.audit}
metrics:
  enabled: false
""")
        log = open(f"{place}/door-{version}.log", "w")
        self.child = subprocess.Popen(pinned(core, [binary, "serve", "--config", config]), stdout=log, stderr=log)
        self.pid = self.child.pid
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"the door does not start: {open(log.name).read()}")

    def alive(self):
        return self.child.poll() is None

    def memory(self, which="VmHWM"):
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(rf"{which}:\s+(\d+)", file.read())[1]) / 1024

    def forget_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def records(self, since):
        """Bytes, lines and refusals that the attackers left in the audit log. A line that stands for many refusals of one
        certificate has no address; only attackers are refused."""
        mine = lambda line: f'"ip":"{ATTACKER}"'.encode() in line or (b'"count":' in line and b'"ip":' not in line)
        with open(self.audit, "rb") as file:
            file.seek(since)
            lines = [line for line in file if mine(line)]
        return sum(map(len, lines)), len(lines), sum(json.loads(line).get("count", 1) for line in lines)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()


class Load:
    def __init__(self, door, rate, core):
        command = pinned(core, [sys.executable, f"{HERE}/load.py", door.place, str(door.port), str(rate)])
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def prepare(self, seconds):
        self.tell(seconds)
        if self.child.stdout.readline().strip() != "ready":
            raise SystemExit("the callers cannot call")

    def tell(self, word):
        self.child.stdin.write(f"{word}\n")
        self.child.stdin.flush()

    def begin(self, seconds):
        self.prepare(seconds)
        self.tell("go")

    def end(self):
        return json.loads(self.child.stdout.readline())

    def stop(self):
        self.child.stdin.write("end\n")
        self.child.stdin.close()
        self.child.wait(10)


class Shim:
    """Plain text here, mutual TLS there, for attackers that have no certificates."""

    def __init__(self, door, core):
        self.port, path = free_port(), f"{door.place}/shim.conf"
        with open(path, "w") as file:
            file.write(f"""foreground = yes
pid =
debug = notice
[door]
client = yes
accept = 127.0.0.1:{self.port}
connect = 127.0.0.1:{door.port}
local = {ATTACKER}
cert = {door.place}/agent.crt
key = {door.place}/agent.key
CAfile = {door.place}/ca/ca.crt
verifyChain = yes
checkHost = localhost
TIMEOUTclose = 0
""")
        log = open(f"{door.place}/shim.log", "w")
        self.log = log.name
        self.child = subprocess.Popen(pinned(core, ["stunnel4", path]), stdout=log, stderr=log)
        for _ in range(100):
            if not self.alive():
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.stop()
        raise SystemExit(f"the shim does not start: {open(self.log).read()}")

    def alive(self):
        return self.child.poll() is None

    def let_in(self):
        """Connections that came through to the door."""
        with open(self.log) as file:
            return sum("connected remote server" in line for line in file)

    def stop(self):
        self.child.terminate()
        self.child.wait(10)


def slow_report(out, shim, before):
    """What slowhttptest and the shim counted, as a report."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", out)
    counts = {word: int(found[-1]) for word in ("connected", "error", "closed")
              if (found := re.findall(rf"{word}:\s+(\d+)", text))}
    sent = shim.let_in() - before
    failure = None
    if len(counts) < 3:
        failure = f"slowhttptest gave no counts: {text[-300:].strip()}"
    elif not shim.alive():
        failure = "the shim is down"
    elif sent < CONNECTIONS:
        failure = f"only {sent} of {CONNECTIONS} connections came to the door"
    # Its counts are of the last time it looked, every five seconds; how it ended is exact.
    left = 0 if "No open connections left" in text else counts.get("connected", 0)
    second = (re.findall(r"on (\d+)\w* second", text) or ["?"])[-1]
    return {"sent": sent, "cut": max(sent - left, 0), "held": left, "seconds_until_cut": second, "failure": failure}


def attack(name, door, shim, core):
    """Begins; gives a function that waits for its report."""
    if name in SLOW:
        url = f"http://127.0.0.1:{shim.port}/mcp"
        command = ["slowhttptest", "-c", str(CONNECTIONS), *SLOW[name], "-i", "5", "-r", "100", "-l", str(LASTS + 2), "-u", url]
    else:
        command = [sys.executable, f"{HERE}/attacks.py", name, door.place, str(door.port), str(LASTS)]
    before = shim.let_in()
    child = subprocess.Popen(pinned(core, ["nice", "-n", "5", *command]), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)

    def report():
        try:
            out, complaint = child.communicate(timeout=LASTS + 20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return {"sent": 0, "cut": 0, "failure": "the attacker did not end"}
        if child.returncode != 0:
            return {"sent": 0, "cut": 0, "failure": f"exit status {child.returncode}: {(complaint or out)[-300:].strip()}"}
        return slow_report(out, shim, before) if name in SLOW else json.loads(out)

    return report


def one(name, expected, door, load, shim, core):
    """Calm, then the attack with the same calls."""
    load.begin(CALM)
    before = door.cpu()
    calm = load.end()
    calm["cpu"] = (door.cpu() - before) / CALM
    door.forget_peak()
    size = os.path.getsize(door.audit)
    seconds = LASTS - LEAD - TAIL
    load.prepare(seconds)
    report = attack(name, door, shim, core)
    time.sleep(LEAD)
    load.tell("go")
    before, begun = door.cpu(), time.monotonic()
    during = load.end()
    during["cpu"] = (door.cpu() - before) / (time.monotonic() - begun)
    outcome = report()
    size, lines, refusals = door.records(size)
    calls = during["calls"] + during["errors"]
    ratio = during["rate"] / calm["rate"] if calm["rate"] else 0
    return {"name": name, "expected": expected, "calm": calm, "during": during, "ratio": ratio, "outcome": outcome,
            "peak": door.memory(), "bytes": size, "lines": lines, "refusals": refusals, "calls": calls}


def faults(result, door):
    found, outcome = [], result["outcome"]
    if not door.alive():
        found.append("the door is down")
    if result["peak"] > CAP_MIB:
        found.append(f"{result['peak']:.0f} MiB")
    if result["ratio"] < LEAST:
        found.append(f"calls fell to {result['ratio']:.2f}")
    if failure := outcome.get("failure"):
        found.append(failure)
    if not outcome["sent"]:
        found.append("nothing was sent")
    if result["expected"] == CUT and not outcome["cut"]:
        found.append("never cut")
    if result["expected"] == GONE and (outcome.get("held") or outcome["cut"] < outcome["sent"]):
        found.append(f"{outcome.get('held', 0)} still held")
    return found


def row(result):
    outcome, during = result["outcome"], result["during"]
    per_cut = outcome.get("units_until_cut")
    cells = [
        f"{result['name']:20}", f"{result['ratio']:5.2f}", f"{during['p99']:7.1f}", f"{during['errors']:4}",
        f"{result['calm']['cpu']:4.2f}>{during['cpu']:4.2f}", f"{result['peak']:5.0f}", f"{outcome['sent']:8}",
        f"{outcome['cut']:5}", f"{outcome.get('held', 0):4}", f"{outcome.get('seconds_until_cut') or '-':>5}",
        f"{per_cut if per_cut is not None else '-':>7}", f"{result['lines']:7}", f"{result['refusals']:8}",
        outcome.get("said", "")[:60],
    ]
    return " ".join(cells)


HEAD = (f"{'attack':20} ratio p99(ms) errs  CPU       MiB     sent   cut held   sec units/cut  lines refusals  said")


def sslyze(door, program, core):
    command = [program, "--cert", f"{door.place}/agent.crt", "--key", f"{door.place}/agent.key", "--certinfo_ca_file",
               f"{door.place}/ca/ca.crt", "--mozilla_config", "intermediate", f"localhost:{door.port}"]
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=180)
    verdict = [line.strip() for line in done.stdout.splitlines() if "ompliant" in line]
    return done.returncode == 0, " ".join(verdict) or (done.stdout + done.stderr)[-400:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("place")
    parser.add_argument("--sslyze")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--json")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    if unknown := only - {name for name, _ in ATTACKS}:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}. There are: {', '.join(name for name, _ in ATTACKS)}")
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    pki = lambda *words: subprocess.run([arguments.binary, *words], check=True, stdout=subprocess.DEVNULL)
    place = arguments.place
    pki("pki", "init", "--dir", f"{place}/ca")
    pki("pki", "issue", "server", "--dir", f"{place}/ca", "--name", "localhost", "--out", f"{place}/server")
    pki("pki", "issue", "client", "--dir", f"{place}/ca", "--cn", "agent", "--out", f"{place}/agent")
    pki("token", "keygen", "--out", f"{place}/token.pem")
    running, passed, failed, results = [], 0, [], []
    try:
        # TLS 1.2 is on, for renegotiation to be tried at all.
        door = Door(arguments.binary, place, "1.2", ours)
        running.append(door)
        shim = Shim(door, theirs)
        running.append(shim)
        load = Load(door, arguments.rate, theirs)
        running.append(load)
        load.begin(2)
        load.end()
        print(f"{arguments.rate:g} calls/s offered; memory after the first: {door.memory('VmRSS'):.0f} MiB; "
              f"load average {os.getloadavg()[0]:.1f}\n{HEAD}", flush=True)
        for name, expected in ATTACKS:
            if only and name not in only:
                continue
            for attempt in range(TRIES):
                result = one(name, expected, door, load, shim, theirs)
                results.append(result)
                wrong = faults(result, door)
                print(row(result) + (f"  << {'; '.join(wrong)}" if wrong else ""), flush=True)
                # Only the pace of calls is at the mercy of the machine; the rest is never asked twice.
                if not wrong or [fault for fault in wrong if not fault.startswith("calls fell")]:
                    break
            if wrong:
                failed.append(name)
            else:
                passed += 1
        if arguments.sslyze and not only:
            strict = Door(arguments.binary, place, "1.3", ours)
            running.append(strict)
            for at in (door, strict):
                good, verdict = sslyze(at, arguments.sslyze, theirs)
                name = f"sslyze with TLS {at.version}"
                print(f"{name}: {verdict}", flush=True)
                passed += good
                failed += [] if good else [name]
        load.begin(2)
        if load.end()["errors"]:
            failed.append("calls at the end")
        print(f"memory at the end: {door.memory('VmRSS'):.0f} MiB")
    finally:
        for each in reversed(running):
            each.stop()
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)
    print(f"\n{passed} passed, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


main()
