# Sees to it that the hive has an administrator on the Forgejo of this host, and a token of it that
# works in $TOKEN. Runs as Forgejo's user, whenever Forgejo has started.
set -eu

name=hyperhive-administrator

# Gives the status of a request with the token, which stands in no list of processes.
status() {
  printf 'header = "Authorization: token %s"\n' "$(cat "$TOKEN")" |
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 \
      --retry 10 --retry-connrefused --config - "$URL/api/v1/user"
}

if [ -s "$TOKEN" ]; then
  found=$(status)
  case $found in
  200) exit 0 ;;
  401 | 403) echo "the token is void; a new one is made" ;;
  *)
    echo "Forgejo answers $found" >&2
    exit 1
    ;;
  esac
fi

if ! "$FORGEJO" admin user list | awk '{ print $2 }' | grep -qxF "$name"; then
  # What it prints is the password, which nobody needs.
  "$FORGEJO" admin user create --admin --username "$name" --email "$name@hive.invalid" \
    --random-password --must-change-password=false >/dev/null
fi

made=$("$FORGEJO" admin user generate-access-token --username "$name" \
  --token-name "hyperhive-$(date +%s)" --scopes all --raw)
# What Forgejo warns of stands before it.
printf '%s\n' "${made##*$'\n'}" >"$TOKEN.new"
mv "$TOKEN.new" "$TOKEN"
