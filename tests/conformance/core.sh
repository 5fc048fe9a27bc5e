#!/usr/bin/env bash
# Integration tests of Temporal's Rust core (crate temporalio-sdk-core) against a server.
#   core.sh HOST:PORT [filter...]
# Filters default to the areas that Mainstay promises to pass; core.exclude names what is left out, with
# the reason. CACHED_WORKFLOWS=0 runs every worker without its cache: each workflow task is then a full
# replay from the server's history (the one line of the suite that is changed reads this variable).
set -u
address=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
core=0.10.1 sdk=1.1.1 protos=0.10.2
cache=${SUITE_CACHE:-${TMPDIR:-/tmp}/mainstay-suites}/core-own
ws=$cache/ws; mkdir -p "$cache"
export CARGO_TARGET_DIR=$cache/target
areas=(workflow_tests::timers workflow_tests::signals workflow_tests::activities
  workflow_tests::local_activities workflow_tests::continue_as_new workflow_tests::cancel_wf
  workflow_tests::determinism workflow_tests::queries workflow_tests::stickyness queries_tests)
[ $# -gt 0 ] && areas=("$@")

fetch() {
  [ -f "$ws/.ready" ] && return
  local seed=$cache/seed source
  mkdir -p "$seed/src"; : > "$seed/src/lib.rs"
  printf '[package]\nname = "seed"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\ntemporalio-sdk-core = "=%s"\n' $core > "$seed/Cargo.toml"
  (cd "$seed" && cargo fetch -q) || return 1
  source=$(cd "$seed" && cargo metadata -q --format-version 1 | python3 -c '
import json, os, sys
print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "temporalio-sdk-core"))') || return 1
  rm -rf "$ws"; mkdir -p "$ws"; cp -r "$source" "$ws/core"; chmod -R u+w "$ws/core"; rm -f "$ws/core/Cargo.lock"
  printf '[workspace]\nmembers = ["core"]\nresolver = "2"\n[patch.crates-io]\ntemporalio-sdk-core = { path = "core" }\n[profile.dev]\ndebug = 0\nincremental = false\n' > "$ws/Cargo.toml"
  # Development dependencies that are stripped when the crate is published.
  printf '\n[dev-dependencies.temporalio-sdk]\nversion = "=%s"\nfeatures = ["experimental", "opentelemetry", "testing"]\n\n[dev-dependencies.temporalio-protos]\nversion = "=%s"\nfeatures = ["vendored-protox"]\n\n[dev-dependencies.uuid]\nversion = "1.18"\nfeatures = ["v4", "std"]\n' $sdk $protos >> "$ws/core/Cargo.toml"
  python3 - "$ws/core/tests/common/mod.rs" <<'P' || return 1
import sys
path = sys.argv[1]
text = open(path).read()
anchor = "                if let Some(ref ccm) = self.core_config_mutator {"
assert text.count(anchor) == 1
text = text.replace(anchor, '                if std::env::var("CACHED_WORKFLOWS").as_deref() == Ok("0") { core_config.max_cached_workflows = 0; }\n' + anchor)
open(path, "w").write(text)
P
  touch "$ws/.ready"
}
build() {
  fetch || return 1
  echo "# building temporalio-sdk-core's tests (slow the first time)"
  (cd "$ws" && cargo test -p temporalio-sdk-core --features test-utilities,ephemeral-server,otel,temporalio-common/serde_serialize \
    --test integ_tests --no-run --message-format=json 2> "$cache/build.log" | python3 -c '
import json, sys
for line in sys.stdin:
    try: message = json.loads(line)
    except ValueError: continue
    if message.get("reason") == "compiler-artifact" and message.get("executable") and message["target"]["name"] == "integ_tests":
        print(message["executable"])' | tail -1 > "$cache/exe")
  [ -s "$cache/exe" ]
}
build || { echo "build failed, see $cache/build.log"; echo "0 passed, 1 failed"; exit 1; }

mode=${CACHED_WORKFLOWS:-cached}
exclude=("$here/core.exclude"); [ "$mode" = 0 ] && exclude+=("$here/core-uncached.exclude")
cd "$ws/core" || exit 1   # the tests read recorded histories by relative path
"$(cat "$cache/exe")" --list --format terse 2>/dev/null | sed -n 's/: test$//p' > "$cache/names"
TEMPORAL_SERVICE_ADDRESS=http://$address TEMPORAL_NAMESPACE=default INTEG_TEST_SERVER_ON=1 \
  python3 "$here/pool.py" "$(cat "$cache/exe")" "$cache/names" "$cache/out-$mode" "${areas[*]}" "${exclude[@]}"
