#!/bin/sh
# One round of a cluster of two boxes that is made of cron and ping. docs/two-boxes.md explains it, and when not to use it.
#
#   two-boxes.sh [CONFIGURATION]        by default /etc/two-boxes.conf
#
# Runs on both boxes. It keeps this box's own address up; takes the other box's address when that one was silent in two
# rounds; and gives it back as soon as that one answers.
set -u
PATH=$PATH:/usr/sbin:/sbin
for program in ocfbox ping flock; do
    command -v "$program" >/dev/null || { echo "two-boxes: $program is not installed" >&2; exit 1; }
done
. "${1:-/etc/two-boxes.conf}" || exit 1
: "${own=}" "${theirs=}" "${other:?}" "${nic:?}" "${prefix:?}" "${mail:?}" "${witness=}" "${state:=/run/two-boxes}"

# ACTION ADDRESS [PARAMETER=VALUE]: prints why it did not work.
address() {
    action=$1 ip=$2
    shift 2
    said=$(ocfbox IPaddr2 "$action" ip="$ip" nic="$nic" cidr_netmask="$prefix" "$@" 2>&1 >/dev/null) && return
    echo "${said##*ocf-exit-reason:}"
    return 1
}

# start or stop, EVENT, WORDS: a mail when the event begins and one when it ends, however many rounds it lasts.
notice() {
    # shellcheck disable=SC2086 # several words are several parameters
    OCF_RESOURCE_INSTANCE=two-boxes-$2 \
        ocfbox MailTo "$1" email="$mail" subject="two boxes:" reason="$3" ${mail_parameters:-} >/dev/null
}

answers() { ping -c 1 -W 2 "$1" >/dev/null 2>&1; }

give_back() {
    echo 0 >"$state/silent"
    if why=$(address stop "$theirs"); then
        notice stop taken "$other answers again, $theirs was given back"
        notice stop refused "$other answers again"
        notice stop stuck "$theirs was given back after all"
    else
        notice start stuck "TWO OWNERS of $theirs, it cannot be given back: $why"
    fi
}

take_over() {
    silent=$(($(cat "$state/silent" 2>/dev/null || echo 0) + 1))
    echo "$silent" >"$state/silent"
    [ "$silent" -ge 2 ] || return 0 # one lost packet moves nothing
    if why=$(address start "$theirs"); then
        notice start taken "$other was silent twice, $theirs is here now"
        notice stop refused "$theirs could be taken after all"
    else
        notice start refused "$other is silent, but $theirs was NOT taken: $why"
    fi
}

keep_own() {
    # While the other box has it: that one gives it back when it hears this box, which is in its next round.
    tries=20
    until why=$(address start "$own"); do
        tries=$((tries - 1))
        case $why in *"another host has"*) ;; *) tries=0 ;; esac
        [ "$tries" -gt 0 ] || break
        sleep 1
    done
    if [ -n "$why" ]; then
        notice start own "its own address $own is not up: $why"
        return
    fi
    # An announcement each round mends what the neighbours learned while the other box had it.
    address monitor "$own" arp_count_refresh=1 >/dev/null
    notice stop own "$own is up again"
}

mkdir -p "$state" && exec 9>"$state/lock" || exit 1
flock -n 9 || exit 0 # the round before this one has not ended

if [ -z "$theirs" ]; then
    : # the other box has nothing to take
elif answers "$other"; then
    give_back
elif [ -z "$witness" ] || answers "$witness"; then
    take_over
else
    echo 0 >"$state/silent" # nobody at all answers: this box is the one that is cut off, and knows nothing of the other
fi
[ -z "$own" ] || keep_own
