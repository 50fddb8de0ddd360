# shellcheck shell=bash
# Runs of the example application. Sourced after lib.sh by `bandit` and `bandit-executors`.
# The numbers of the recorded day.
NUMBERS=(6538 6313 6046 267 "0 drops")

# bandit_run NAME ARGUMENTS..: one run, with the numbers of the recorded day, and its signals in a
# file.
bandit_run() {
    local run=$1 number
    shift
    $BANDIT "$@" --signals "$LOGS/signals.$run" >"$LOGS/bandit.$run.out"
    cat "$LOGS/bandit.$run.out"
    [ -s "$LOGS/signals.$run" ] || fail "bandit ($run) wrote no signals"
    # Several processes each print their own part.
    [ "${run%bundled}" = "$run" ] || return 0
    for number in "${NUMBERS[@]}"; do
        grep -Fw -- "$number" "$LOGS/bandit.$run.out" >/dev/null || fail "bandit ($run): expected \`$number\` in its output"
    done
}

# bandit_recorded EXECUTOR ARGUMENTS..: records the swaps of a bundle, and then replays them in place
# of its collector, as fast as possible. Both write their signals to a file.
bandit_recorded() {
    local executor=$1 at="$LOGS/recorded.$1" tool="$TARGET/debug/mycelium" bundle directory node
    shift
    cargo build -p mycelium-bus-cli --bin mycelium
    cargo build -p bandit
    rm -rf "$at"
    mkdir -m 700 -p "$at" "$at/nodes"
    cat examples/bandit/bundled.toml - >"$at/bundle.toml" <<'END'

[node.recorder]
services = ["Recorder"]

[recorder]
topics = ["swaps"]
END
    XDG_RUNTIME_DIR="$at" bandit_run "recorded.$executor.bundled" "$@" bundled --executor "$executor" \
        --topology "$at/bundle.toml" &
    bundle=$!
    until directory=$(compgen -G "$at/mycelium-bandit-*-0"); do
        kill -0 "$bundle" || fail "the bundle has ended before it was recorded"
        sleep 0.05
    done
    "$tool" record -o "$at/day.mcap" --topology "$at/bundle.toml" --directory "$directory" --until-end
    wait "$bundle"
    "$tool" info "$at/day.mcap" | tee "$at/info"
    grep -F "all counts add up: 6313 messages of 1 topic, 0 gaps, 0 missed" "$at/info" ||
        fail "the recording does not have all swaps"
    for node in detector writer; do
        $BANDIT "$@" member "$node" --directory "$at/nodes" --topology examples/bandit/bundled.toml \
            --executor "$executor" --signals "$LOGS/signals.replayed.$executor" &
    done
    "$tool" replay "$at/day.mcap" --into examples/bandit/bundled.toml --directory "$at/nodes" \
        --speed max -- "$TARGET/debug/bandit" member "{node}" --directory "$at/nodes"
    wait
}

# same_signals NAME ..: these runs wrote the same signals.
same_signals() {
    local first=$1 run
    for run in "$@"; do cmp "$LOGS/signals.$first" "$LOGS/signals.$run"; done
    echo "$# runs wrote the same $(wc -l <"$LOGS/signals.$first") signals"
}
