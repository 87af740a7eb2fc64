#!/usr/bin/env bash
# Brings this project to a rented machine over ssh, sets it up there, and starts a backtest that outlives the connection.
#
#   bash scripts/deploy_ec2.sh HOST KEYFILE FOLDER [flags] [-- FLAGS OF THE BACKTEST]
#
#   bash scripts/deploy_ec2.sh ec2-user@203.0.113.7 rented.pem agentrader --send OPENAI_API_KEY \
#       --csv BTCUSDT_1h.csv BTCUSDT 1h -- --symbol BTCUSDT --interval 1h \
#       --start_date 2025-04-01 --end_date 2025-04-10 --model openai/gpt-4o --mini --budget_usd 5
#
#   HOST KEYFILE FOLDER           user@host, the private ssh key, the project's folder there
#   --port N                      of the ssh server
#   --known_hosts FILE            where its host key is known from, instead of your ~/.ssh/known_hosts
#   --send NAME                   an environment variable, such as an API key, for .env there (0600); any number of them
#   --csv FILE SYMBOL INTERVAL    bars to ingest there; any number of them
#   --with PATH                   a file or folder of this project that goes along, such as your prompts or a config
#   --name NAME                   what to call the machine in its certificate; the host if not given
#
# Without -- it only sets up. Keys travel over ssh's standard input, never on a command line. The project's signing key
# stays here; it certifies the key that the machine makes for itself. Again with the same words: brings what changed.
#
# exit codes: 0 good; 2 wrong use, a machine that is not reached or lacks something; else what the backtest said
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/rented_ssh.sh
. "$root/scripts/rented_ssh.sh"

read_words() {
    case ${1:-} in -h | --help) show_help "$root/scripts/deploy_ec2.sh" ;; esac
    take_machine "$@"
    shift 3
    send=() csv=() along=() name='' words=() starts=''
    while (($#)); do
        case ${1//-/_} in
            __) starts=yes && shift && words=("$@") && break ;;
            __send) check_secret "${2:-}" && send+=("$2") && shift 2 ;;
            __csv) check_csv "${2:-}" "${3:-}" "${4:-}" && csv+=("$2" "$3" "$4") && shift 4 ;;
            __with) check_path "${2:-}" && along+=("$2") && shift 2 ;;
            __name) [[ -n ${2:-} ]] || die "--name needs a name" && name=$2 && shift 2 ;;
            __port | __known_hosts) take_option "${1/known-hosts/known_hosts}" "${2:-}" && shift 2 ;;
            *) die "$1 is no flag of this command; flags of the backtest stand after --" ;;
        esac
    done
    name=${name:-$(sed 's/^.*@//; s/^[^A-Za-z0-9]*//; s/[^A-Za-z0-9._-]/-/g' <<<"$host")}
    python=$root/.venv/bin/python
    "$python" -c '' 2>/dev/null || die "$python does not run; type make demo in $root first"
}

check_secret() {
    [[ $1 =~ ^[A-Z][A-Z0-9_]*$ ]] || die "--send ${1:-}: say the NAME of an environment variable, never its value"
    [[ -n ${!1:-} ]] || die "--send $1: it is not set here; type: read -rs $1 && export $1"
    [[ ${!1} != *[\'\\]* && ${!1} != *[$'\n\r']* && ${!1} != *"\${"* ]] ||
        die "--send $1: its value holds a quote, a backslash, a new line, or a dollar sign before a brace"
}

check_path() {
    [[ -e $root/$1 && $1 =~ ^[A-Za-z0-9_] && $1 != *..* ]] || die "--with $1: no such path below $root"
    [[ $1/ != data/* ]] || die "--with $1: what is in data stays where it is; bars go with --csv"
}

check_csv() {
    [[ -f $1 ]] || die "--csv ${1:-}: no such file; write it as --csv FILE SYMBOL INTERVAL"
    [[ $2 =~ ^[A-Za-z0-9=^._-]+$ && $3 =~ ^[0-9]+[A-Za-z]+$ ]] || die "--csv FILE SYMBOL INTERVAL: $2 $3 are none"
    [[ $(basename "$1") =~ ^[A-Za-z0-9_][A-Za-z0-9=^._-]*$ ]] || die "--csv $1: rename the file to letters, digits and ._-"
}

look() { # a machine that cannot run this is named before anything is changed on it
    {
        cat <<'SH'
for tool in bash tar gzip flock setsid find cmp; do
    command -v $tool >/dev/null || { echo "error: that machine has no $tool: docs/DEPLOY.md says what to install" >&2; exit 2; }
done
SH
        cat "$root/.ci/find-python"
    } | there "sh -s" || exit 2
}

upload() { # the product alone, by name: no runs, no keys, no databases, no .env, no history, no notes
    (
        cd "$root"
        things=(.ci docs agents backtesting benchmarks orchestration scripts data/*.py agent_log_patch.py alembic.ini
            pyproject.toml requirements*.in requirements*.txt ./*.example.toml Makefile LICENSE README.md CHANGELOG.md)
        for each in data/*/__init__.py; do things+=("$(dirname "$each")"); done
        COPYFILE_DISABLE=1 tar -czf - --exclude='__pycache__' --exclude='.env*' --exclude='*.pem' --exclude='*.key' \
            "${things[@]}" ${along[@]+"${along[@]}"}
    ) | there "umask 077 && mkdir -p '$folder' && cd '$folder' && exec sh -c '
        new=\$(mktemp -d ./.arriving.XXXXXX) || exit 2
        tar -xzof - -C \$new || { rm -rf \$new; exit 2; }
        exec bash \$new/scripts/rented.sh settle'"
}

secrets() { # printf is the shell's own: no process has a key among its words
    local each
    for each in "${send[@]}"; do printf "%s='%s'\n" "$each" "${!each}"; done
}

flags() { ((${#words[@]} == 0)) || printf '%s\0' "${words[@]}"; }

certify() {
    local line odd certificate
    line=$(there "cd '$folder' && .venv/bin/python -m scripts.keys export" </dev/null | head -n 1)
    odd=$(printf %q "$line")
    [[ $line =~ ^agentrader/[a-z]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$ ]] || die "$host gave no public key: $odd"
    certificate=$(cd "$root" && "$python" -m scripts.keys certify "$line" --name="$name" && echo .) || exit 2
    printf '%s' "${certificate%.}" |
        there "cd '$folder' && .venv/bin/python -m scripts.keys certify --accept /dev/stdin"
}

main() {
    read_words "$@"
    echo "== $host: what it has"
    look
    echo "== upload to $folder"
    upload
    echo "== packages"
    case " ${words[*]-} " in *" --fetch "*) far "setup feeds" </dev/null ;; *) far setup </dev/null ;; esac
    if ((${#send[@]})); then
        echo "== ${send[*]}, over standard input"
        secrets | give "$(secrets | wc -c)" keys
    fi
    echo "== a certificate for the key of $name"
    certify
    local at file
    for ((at = 0; at < ${#csv[@]}; at += 3)); do
        file=$(basename "${csv[at]}")
        echo "== $file"
        give "$(wc -c <"${csv[at]}")" "ingest '$file' '${csv[at + 1]}' '${csv[at + 2]}'" <"${csv[at]}"
    done
    [[ -n $starts ]] || { echo "== set up; begin a run with the same words and -- FLAGS" && return; }
    echo "== the backtest"
    flags | give "$(flags | wc -c)" start
    echo "It runs on without this connection. Come back with:"
    echo "  bash scripts/fetch_run.sh $(printf '%q ' "${reach[@]}")--watch"
}

main "$@"
