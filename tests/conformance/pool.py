"""Runs named tests of one executable, each in a process of its own, a few at once.

    pool.py EXECUTABLE NAMES_FILE OUT_DIR "AREA AREA ..." EXCLUDE_FILE...

A name runs if it contains one of the areas and no exclude file lists it. A failing test is run once more
alone; if it passes then, it counts as passed and is named as flaky. Ends with "N passed, N failed".
"""
import collections, concurrent.futures, os, re, signal, subprocess, sys

TIMEOUT_SECONDS, AT_ONCE = 120, 4
executable, names_file, out = sys.argv[1:4]
areas, excludes = sys.argv[4].split(), sys.argv[5:]
skip = {line.split("#")[0].strip() for path in excludes for line in open(path)}
names = [n for n in open(names_file).read().split() if any(a in n for a in areas) and n not in skip]
os.makedirs(out, exist_ok=True)


def run(name):
    log = os.path.join(out, re.sub(r"[^\w.-]+", "_", name)[:180] + ".log")
    with open(log, "wb") as sink:
        command = [executable, "--exact", name, "--test-threads=1", "--nocapture"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            ok = process.wait(TIMEOUT_SECONDS) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ok = False
    # "0 passed" would mean that nothing ran: that is no pass.
    ok = ok and b"test result: ok. 1 passed" in open(log, "rb").read()
    if ok:
        os.remove(log)
    return name, ok


with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    results = dict(pool.map(run, names))
flaky = [n for n in names if not results[n] and run(n)[1]]
failed = [n for n in names if not results[n] and n not in flaky]
groups = collections.defaultdict(lambda: [0, 0])
for name in names:
    groups["::".join(name.split("::")[1:3])][name in failed] += 1
for group, (good, bad) in sorted(groups.items()):
    print(f"{group:44} {good:4} passed {bad:4} failed")
for name in flaky:
    print("passed only when run again:", name)
for name in failed:
    print("FAILED", name)
print(f"{len(names) - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed or not names else 0)
