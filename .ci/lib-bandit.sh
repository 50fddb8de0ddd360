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

# same_signals NAME ..: these runs wrote the same signals.
same_signals() {
    local first=$1 run
    for run in "$@"; do cmp "$LOGS/signals.$first" "$LOGS/signals.$run"; done
    echo "$# runs wrote the same $(wc -l <"$LOGS/signals.$first") signals"
}
