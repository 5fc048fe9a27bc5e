#!/usr/bin/env bash
# librdkafka's own test-runner (shipped inside the crate rdkafka-sys) against a broker.
#   librdkafka.sh HOST:PORT [test numbers...]
# The numbers default to those that Mainstay promises to pass; results.txt holds one line a test.
# Never with -Q: it silently drops subtests and still says PASSED.
set -u
boot=$1; shift
numbers=${*:-0001 0002 0003 0005 0007 0008 0012 0013 0017 0018 0022 0036 0038}
crate=${LRK_CRATE:-4.10.0+2.12.1}
cache=${SUITE_CACHE:-${TMPDIR:-/tmp}/mainstay-suites}
lrk=$cache/lrk-$crate
out=$cache/out/librdkafka; mkdir -p "$out"; rm -f "$out"/*

build() {
  [ -x "$lrk/tests/test-runner" ] && return
  echo "# building librdkafka from rdkafka-sys $crate (once)"
  local fetch=$cache/lrk-fetch
  mkdir -p "$fetch/src"; : > "$fetch/src/lib.rs"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\nrdkafka-sys = "=%s"\n[workspace]\n' "$crate" > "$fetch/Cargo.toml"
  (cd "$fetch" && cargo fetch -q) || return 1
  local source
  source=$(cd "$fetch" && cargo metadata --offline --format-version 1 2>/dev/null | python3 -c '
import json, os, sys
print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "rdkafka-sys"))') || return 1
  rm -rf "$lrk"; cp -r "$source/librdkafka" "$lrk"; chmod -R u+w "$lrk"
  (cd "$lrk" && ./configure --disable-curl --disable-sasl --disable-syslog && make -j2 libs && make -j2 -C tests build) > "$cache/lrk-build.log" 2>&1
  [ -x "$lrk/tests/test-runner" ]
}
build || { echo "build failed, see $cache/lrk-build.log"; echo "0 passed, 1 failed"; exit 1; }

printf 'bootstrap.servers=%s\ntest.timeout.multiplier=2\n' "$boot" > "$out/test.conf"
export RDKAFKA_TEST_CONF=$out/test.conf LD_LIBRARY_PATH=$lrk/src:$lrk/src-cpp TEST_KAFKA_VERSION=4.0.0.0
passed=0 failed=0
cd "$lrk/tests" || exit 1
for number in $numbers; do
  TESTS=$number TEST_REPORT=$out/$number.json timeout -k 5 300 ./test-runner -p1 -L > "$out/$number.log" 2>&1
  # A number is a pass when something ran and nothing of it failed: a skipped test is no pass.
  state=$(python3 - "$out/$number.json" "$number" <<'P'
import json, re, sys
try:
    text = open(sys.argv[1]).read()
except OSError:
    print("NO_REPORT"); sys.exit()
states = re.findall(r'"' + sys.argv[2] + r'_\w+": *\{[^}]*?"state": *"(\w+)"', text, re.S)
bad = [s for s in states if s not in ("PASSED", "SKIPPED")]
print("FAILED" if bad else "PASSED" if "PASSED" in states else "NOT_RUN")
P
)
  printf '%s %s\n' "$number" "$state" | tee -a "$out/results.txt"
  if [ "$state" = PASSED ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "# logs in $out"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
