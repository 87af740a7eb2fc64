#!/usr/bin/env bash
# Brings a run and its logs home from a rented machine, and verifies it here with this project's own key.
#
#   bash scripts/fetch_run.sh HOST KEYFILE FOLDER [RUN] [flags]
#
#   bash scripts/fetch_run.sh ec2-user@203.0.113.7 rented.pem agentrader --watch
#
#   HOST KEYFILE FOLDER           as deploy_ec2.sh was given them
#   RUN                           a run's id; the last detached one if not given
#   --watch                       shows what it says until it ends, and fetches it then; Ctrl-C ends the watching alone
#   --to DIR                      default results: the run becomes DIR/RUN, its logs DIR/logs/RUN
#   --head HEAD                   what the run must end with, if its head was kept elsewhere
#   --port N, --known_hosts FILE  as deploy_ec2.sh
#
# exit codes: as python -m scripts.verify: 0 good; 1 tampered, or something differs; 2 wrong use; 3 the run is incomplete;
# 130 no longer watched
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/rented_ssh.sh
. "$root/scripts/rented_ssh.sh"

read_words() {
    case ${1:-} in -h | --help) show_help "$root/scripts/fetch_run.sh" ;; esac
    take_machine "$@"
    shift 3
    run='' to=$root/results watch='' patience=0 pinned=()
    while (($#)); do
        case ${1//-/_} in
            __watch) watch=yes patience=60 && shift ;;
            __to) [[ -n ${2:-} ]] || die "--to needs a folder" && to=$2 && shift 2 ;;
            __head) [[ -n ${2:-} ]] || die "--head needs a head" && pinned=(--head "$2") && shift 2 ;;
            __port | __known_hosts) take_option "${1/known-hosts/known_hosts}" "${2:-}" && shift 2 ;;
            _*) die "$1 is no flag of this command; --help lists them" ;;
            *) [[ -z $run ]] || die "one run at a time: $run, then $1" && run=$1 && shift ;;
        esac
    done
    check_run "${run:-none}"
    [[ $to == /* ]] || to=$PWD/$to
    python=$root/.venv/bin/python
    "$python" -c '' 2>/dev/null || die "$python does not run; type make demo in $root first"
}

check_run() { # what the other machine says is a name only if it looks like one
    [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] && return
    local odd
    odd=$(printf %q "$1")
    die "$odd is no run's id"
}

watch() { # on a terminal here, on one there, too: the display is drawn anew in its place
    local code=0 line="cd '$folder' && exec bash scripts/rented.sh watch '$run'"
    if [[ -t 0 && -t 1 ]]; then there "$line" -t; else there "$line" </dev/null; fi || code=$?
    ((code != 130)) || exit 130
}

main() {
    read_words "$@"
    [[ -n $run ]] || run=$(far named </dev/null)
    check_run "$run"
    [[ -z $watch ]] || watch
    far "ready '$run' $patience" </dev/null
    far "pack '$run'" </dev/null | (cd "$root" && "$python" -m scripts.receive "$run" --to "$to")
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    cd "$root"
    "$python" -m scripts.keys export >"$place/project.pub"
    "$python" -m scripts.verify "$to/$run" --key "$place/project.pub" ${pinned[@]+"${pinned[@]}"}
}

main "$@"
