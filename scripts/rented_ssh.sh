# shellcheck shell=bash
# Sourced by deploy_ec2.sh and fetch_run.sh: their words HOST KEYFILE FOLDER, and a strict ssh to that machine.
# The machine is known by its host key before anything is said to it; nothing of this machine is forwarded there.

die() {
    printf 'error: %s\n' "$1" >&2
    exit "${2:-2}"
}

show_help() { # the comment at the top of a script
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"
    exit 0
}

take_machine() { # HOST KEYFILE FOLDER; `reach` is what a command needs to come to the same machine again
    host=${1:-} key=${2:-} folder=${3:-}
    [[ -n $host && -n $key && -n $folder ]] || die "say HOST KEYFILE FOLDER; --help shows an example"
    [[ $host =~ ^[A-Za-z0-9_][A-Za-z0-9_.@:%-]*$ ]] || die "$host is no host: write it as USER@HOST"
    [[ -f $key ]] || die "there is no key file $key"
    [[ $folder =~ ^/?[A-Za-z0-9_][A-Za-z0-9_./-]*$ && ! $folder =~ (^|/)\.\.?(/|$) ]] ||
        die "$folder is no folder for this: letters, digits and ._-/ only, below the home folder there or absolute"
    reach=("$host" "$key" "$folder")
    # A connection of its own: one that stands already, by ControlMaster, may have been let in by laxer rules.
    strict=(-T -i "$key" -o IdentitiesOnly=yes -o PreferredAuthentications=publickey -o BatchMode=yes
        -o StrictHostKeyChecking=yes -o ControlPath=none -o ConnectTimeout=20 -o ForwardAgent=no -o ForwardX11=no
        -o ClearAllForwardings=yes -o PermitLocalCommand=no -o ServerAliveInterval=15 -o ServerAliveCountMax=8)
}

take_option() { # --port N or --known_hosts FILE; both go on to ssh
    [[ -n ${2:-} ]] || die "$1 needs a value; --help shows an example"
    case $1 in
        --port)
            [[ $2 =~ ^[0-9]+$ ]] || die "--port $2 is no number"
            strict+=(-p "$2")
            ;;
        --known_hosts)
            [[ -f $2 && $2 != *[\"\ ]* ]] || die "there is no file $2, or its name has a blank or a quote in it"
            strict+=(-o "UserKnownHostsFile=$2" -o GlobalKnownHostsFile=/dev/null)
            ;;
    esac
    reach+=("$1" "$2")
}

there() { # COMMANDLINE [FLAGS OF SSH]: for the machine's shell; standard input and output are ours
    local code=0
    ssh "${strict[@]}" "${@:2}" -- "$host" "$1" || code=$?
    ((code != 255)) || die "ssh to $host failed or broke off (above); the same words again, or docs/DEPLOY.md for its host key"
    return "$code"
}

far() { # a word of rented.sh, in the project's folder there
    there "cd '$folder' && exec bash scripts/rented.sh $1"
}

give() { # BYTES WORD: standard input goes to a word of rented.sh behind its size, so that half of it is known as such
    { printf '%d\n' "$1" && cat; } | far "$2"
}
