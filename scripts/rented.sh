#!/usr/bin/env bash
# The far end of deploy_ec2.sh and fetch_run.sh: works on the rented machine, in the project's folder there.
# By hand, in that folder:
#   bash scripts/rented.sh watch [RUN]     what the detached run says; Ctrl-C ends the watching, not the run
#   bash scripts/rented.sh stop            asks it to stop cleanly; --resume goes on with it
# One detached run at a time in a folder. What a run needs to be secret is 0600 in .env, what it says in data/logs.
set -euo pipefail
umask 077
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lock=data/logs/detached.lock

die() {
    printf 'error: %s\n' "$1" >&2
    exit "${2:-2}"
}

under_way() { [[ -e $lock ]] && ! flock -n "$lock" true; }

alone() { # nobody else changes this folder until this command ends, and no run is under way in it
    exec 8<.
    flock -n 8 || die "another deployment is at work in this folder; try again when it is done"
    ! under_way || die "a run is under way in this folder; wait for it, stop it, or deploy into another folder"
}

take() { # NAME: what comes on standard input behind its size, whole, in a new file of that name: $came
    local size
    place=$(mktemp -d "$PWD/.arriving.XXXXXX")
    trap 'rm -rf "$place"' EXIT
    came=$place/$1
    if ! { read -r size && cat >"$came" && (($(wc -c <"$came") == size)); }; then
        die "the connection broke off, or the disk is full: not all of it came, and nothing was done with it"
    fi
}

settle() { # what was uploaded takes the place of what was here; what runs left behind stays
    local new
    place=$PWD
    trap 'rm -rf "$place"' EXIT
    cd ..
    alone
    shopt -s dotglob
    if [[ ! -f scripts/rented.sh ]]; then
        for new in "$place"/* "$place"/data/*; do
            new=${new#"$place/"}
            [[ $new == data || ! -e $new ]] ||
                die "$new was in that folder before, and is not this project's; deploy into a folder of its own"
        done
    fi
    mkdir -p data
    for new in "$place"/scripts "$place"/* "$place"/data/*; do # the scripts first: they show whose folder it is
        [[ $new != "$place/data" && (-e $new || -L $new) ]] || continue
        rm -rf "${new#"$place/"}"
        mv "$new" "${new#"$place/"}"
    done
    rm -rf .arriving.* # the halves of connections that broke off
}

setup() { # the locked packages in .venv; again only where a lock changed. With "feeds", those of --fetch too
    local lists=(requirements.txt) python list
    alone
    [[ ${1:-} != feeds ]] || lists+=(requirements-feeds.txt)
    if ! .venv/bin/python -m pip --version &>/dev/null; then
        python=$(.ci/find-python) || exit 2
        echo "Creating .venv with $python"
        "$python" -m venv --clear .venv
        touch .venv/made
    fi
    for list in "${lists[@]}"; do
        ! cmp -s "$list" ".venv/$list" || continue
        echo "Installing $list into .venv; the first time takes a minute or two."
        .venv/bin/python -m pip --disable-pip-version-check install -q --no-deps --require-hashes --only-binary :all: -r "$list"
        cp "$list" ".venv/$list"
    done
}

keys() { # lines NAME='value'; each takes the place of an earlier one in .env
    local names
    take keys
    alone
    names=$(sed 's/=.*//' "$came" | paste -s -d '|' -)
    { [[ ! -f .env ]] || grep -v -E "^($names)=" .env || (($? == 1)); } >"$place/env"
    cat "$came" >>"$place/env"
    mv "$place/env" .env
}

ingest() { # NAME SYMBOL INTERVAL, and the file
    take "$1"
    .venv/bin/python -m scripts.ingest csv "$came" --symbol "$2" --interval "$3"
}

work() { # the detached process itself: holds the lock, hands a stop on, and says how it ended
    exec 9>>"$lock" </dev/null >>"$1" 2>&1
    flock -n 9 || die "another run is under way in this folder"
    local words job code stopped=yes
    mapfile -d '' -t words <data/logs/detached.flags
    PYTHONUNBUFFERED=1 .venv/bin/python -m backtesting.core.authentic_backtest "${words[@]}" &
    job=$!
    trap 'stopped=yes; kill -TERM "$job" 2>/dev/null || true' TERM INT
    echo $$ >data/logs/detached.pid # from here on it can be stopped
    while [[ -n $stopped ]]; do # a signal ends the waiting, not the run
        stopped='' code=0
        wait "$job" || code=$?
    done
    echo "ended with exit code $code"
}

detach() { # runs `work LOG` so that nothing of this connection is its parent, its terminal or its control group
    local here=$PWD service=(--collect --quiet --property=KillMode=process --property=UMask=0077 "--working-directory=$PWD")
    local self=(bash "$here/scripts/rented.sh" work "$1")
    local root=(sudo -n)
    ((EUID)) || root=(env)
    if command -v systemd-run >/dev/null; then
        if "${root[@]}" systemd-run "${service[@]}" --uid="$(id -u)" --gid="$(id -g)" "${self[@]}" </dev/null 2>/dev/null; then
            echo "detached under systemd"
            return
        fi
        export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)} # where a session without PAM does not say it
        if [[ $(loginctl show-user "$(id -un)" --property=Linger --value 2>/dev/null) == yes ]] && systemd-run --user "${service[@]}" "${self[@]}" </dev/null 2>/dev/null; then
            echo "detached under systemd, as this user's"
            return
        fi
    fi
    setsid "${self[@]}" </dev/null &>/dev/null 8<&- &
    echo "detached with setsid"
}

start() { # the run's flags, each ended by a NUL; returns when the run has a name, or has ended
    local log tries
    take flags
    alone
    mkdir -p data/logs
    mv "$came" data/logs/detached.flags
    rm -f data/logs/detached.pid
    log=data/logs/detached-$(date -u +%Y%m%d-%H%M%S)-$$.log
    touch "$log"
    detach "$log"
    for ((tries = 0; tries < 1200; tries++)); do
        if [[ -n $(name_in "$log") ]]; then
            echo "log $log"
            echo "run $(name_in "$log")"
            return
        fi
        if grep -q '^ended with exit code' "$log"; then
            sed '$d' "$log" >&2
            exit "$(sed -n '$s/^ended with exit code //p' "$log")"
        fi
        sleep 0.1
    done
    die "the run has said nothing for two minutes; look at $log in this folder" 1
}

name_in() { sed -n '/^run [A-Za-z0-9_.-]*: /{s/^run \([^:]*\): .*/\1/p;q}' "$1"; }

last_log() { find data/logs -name 'detached-*.log' 2>/dev/null | sort | tail -n 1; }

named() { # a run's name; the last detached run's if none is given
    local run=${1:-} log
    log=$(last_log)
    [[ -n $run || -z $log ]] || run=$(name_in "$log")
    [[ -n $run ]] || die "no run was started here; say which one"
    [[ $run =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ && -f data/runs/$run/log.jsonl ]] || die "there is no run $run in data/runs here"
    echo "$run"
}

watch() {
    local run
    run=$(named "${1:-}") || exit 2
    exec .venv/bin/python -m scripts.runs watch "$run"
}

quiet() { # RUN SECONDS: nobody writes the run, and nobody goes on with it while this command lasts
    exec 7<"data/runs/$1/log.jsonl"
    flock -s -w "$2" 7 || die "run $1 is still under way; --watch waits for its end" 3
}

ready() { # RUN SECONDS: waits that long for a run that is just ending
    local run
    run=$(named "$1") || exit 2
    quiet "$run" "$2"
}

pack() { # RUN: its folder and the logs that speak of it, as one stream
    local run logs
    run=$(named "$1") || exit 2
    quiet "$run" 0
    mapfile -t logs < <(cd data && grep -l -F -- "$run" logs/*.log)
    tar -czf - -C data "runs/$run" ${logs[@]+"${logs[@]}"}
}

stop() {
    under_way || die "no run is under way in this folder"
    [[ -s data/logs/detached.pid ]] || die "the run is only being begun; again in a moment"
    kill -TERM "$(cat data/logs/detached.pid)"
    echo "asked to stop; it ends what it is writing, and --resume goes on with it"
}

case ${1:-} in
    settle | setup | keys | ingest | work | start | named | watch | ready | pack | stop) "$@" ;;
    *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
