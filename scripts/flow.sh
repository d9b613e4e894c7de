#!/usr/bin/env bash
# End-to-end test of a server with curl: creates two users and a contact, and waits for the contact's event.
#
#   scripts/flow.sh [URL]        default http://127.0.0.1:4000
#
# The script receives the event over a long poll, which reads the same log as /ws, because not every curl has WebSockets.
# The phone numbers are random, so it also works on a server in use. Exits with 1 at the first step that fails.
set -euo pipefail

url=${1:-http://127.0.0.1:4000}
url=${url%/}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'FAIL  %s\n' "$1" >&2
    exit 1
}

ok() {
    printf 'ok    %s\n' "$1"
}

# request METHOD PATH [BODY]: prints the body; the head is in $work/head. Fails on a status of 400 or above.
request() {
    local method=$1 path=$2
    if [ $# -gt 2 ]; then
        curl --silent --show-error --max-time 20 -X "$method" "$url$path" \
            -D "$work/head" -H 'Content-Type: application/json' -d "$3" >"$work/body"
    else
        curl --silent --show-error --max-time 20 -X "$method" "$url$path" -D "$work/head" >"$work/body"
    fi || fail "$method $path: no response. Is a server running at $url?"
    grep -q '^HTTP/[0-9.]* 2' "$work/head" || fail "$method $path: $(head -n 1 "$work/head" | tr -d '\r'): $(cat "$work/body")"
    cat "$work/body"
}

# field NAME: the first value of that name in the JSON on stdin, cut out as in a plain shell; nothing if there is none.
field() {
    { grep -o "\"$1\":[^,}]*" || true; } | sed 1q | cut -d: -f2- | tr -d '"'
}

# ten_digits: a phone number that nobody is likely to have used here.
ten_digits() {
    od -An -N8 -tu8 /dev/urandom | tr -d ' ' | sed 's/^/0000000000/; s/.*\(.\{9\}\)$/9\1/'
}

number1=$(ten_digits)
number2=$(ten_digits)

answer=$(request GET /api/health)
[ "$(printf '%s' "$answer" | field status)" = healthy ] || fail "health: $answer"
ok "health: the server and its database are healthy"

answer=$(request POST /api/users/login "{\"mobileNumber\":\"$number1\",\"countryCode\":\"+91\"}")
USER1_ID=$(printf '%s' "$answer" | field id)
[ -n "$USER1_ID" ] || fail "login 1: no id in $answer"
ok "login 1: +91$number1 is $USER1_ID"

answer=$(request POST /api/users/login "{\"mobileNumber\":\"$number2\",\"countryCode\":\"+91\"}")
USER2_ID=$(printf '%s' "$answer" | field id)
[ -n "$USER2_ID" ] || fail "login 2: no id in $answer"
[ "$USER1_ID" != "$USER2_ID" ] || fail "login 2: two phone numbers gave the same user"
ok "login 2: +91$number2 is $USER2_ID"

# The position in the log of the second login: what comes after it is what the dashboard would be told.
cursor=$({ grep -i '^sambad-cursor:' "$work/head" || true; } | cut -d: -f2 | tr -d ' \r')
[ -n "$cursor" ] || fail "login 2: no Sambad-Cursor header"
before=$(request GET /api/admin/analytics | field totalContacts)

answer=$(request POST /api/contacts "{\"userId\":\"$USER1_ID\",\"contactUserId\":\"$USER2_ID\"}")
[ "$(printf '%s' "$answer" | field message)" = "Contact added successfully" ] || fail "contact: $answer"
contact_id=$(printf '%s' "$answer" | field contact | cut -d: -f2)
seq=$(printf '%s' "$answer" | field seq)
ok "contact: $contact_id, event $seq"

event=$(request GET "/api/events?after=$cursor&wait=10&types=contact_added&user=$USER2_ID")
for expected in \
    '"type":"contact_added"' \
    "\"id\":\"$contact_id\"" \
    "\"user_id\":\"$USER1_ID\"" \
    "\"user_username\":\"+91$number1\"" \
    "\"contact_user_id\":\"$USER2_ID\"" \
    "\"contact_user_username\":\"+91$number2\"" \
    '"created_at":"' \
    '"timestamp":"' \
    "\"seq\":$seq}"; do
    case $event in
    *"$expected"*) ;;
    *) fail "event: no $expected in $event" ;;
    esac
done
ok "event: contact_added arrived, with every field"

answer=$(request GET "/api/contacts?userId=$USER1_ID")
case $answer in
*"\"id\":\"$contact_id\""*) ok "list: it contains the contact" ;;
*) fail "list: no $contact_id in $answer" ;;
esac

after=$(request GET /api/admin/analytics | field totalContacts)
[ "$after" -gt "$before" ] || fail "analytics: totalContacts is $after, and was $before"
ok "analytics: totalContacts rose from $before to $after"

printf 'PASS  all steps passed at %s\n' "$url"
