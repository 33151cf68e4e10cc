# Installs the system of one spawned agent, or takes it away, as root: checks what it is given and
# evaluates nothing.
#
#   deploy.sh NAME
#
# The request is the file $REQUESTS/NAME: one line, the path in the store of a system that was built
# for that agent, or "none". The system becomes that of the container, whose settings are otherwise
# those of $TEMPLATE and $UNIT, whoever asks: its own users, its own network, the mounts of every
# agent, its limits. What a request holds is never printed, because it may be a link to what only root
# can read.
#
# Also in the environment: DECLARED (names that are not to be touched), CONTAINERS, PROFILES and
# DROP_INS (directories), STORE, FIRST and ROOM (the first address as a number, and how many there are).
set -euo pipefail
umask 022

refuse() {
  echo "hyperhive-deploy: $1" >&2
  exit 1
}

# Put what is read into a file, all of it or nothing.
write() {
  local fresh
  fresh=$(dirname "$1")/.$(basename "$1").new
  cat >"$fresh"
  mv --force --no-target-directory "$fresh" "$1"
}

[ $# -eq 1 ] || refuse "name one agent"
name=$1
container=h-$name
drop_in=$DROP_INS/container@$container.service.d

[[ $name =~ ^[a-z][a-z0-9-]{1,10}$ && $name != *--* && $name != *- ]] ||
  refuse "that is no name of an agent"
[[ " $DECLARED " != *" $name "* ]] ||
  refuse "$name is declared in the host's configuration, and changes with the next switch"

request=$REQUESTS/$name
[[ -f $request && ! -L $request ]] || refuse "there is no request for $name"
system=$(head --bytes=512 "$request" | tr --delete '\0')

if [ "$system" = none ]; then
  ! systemctl is-active --quiet "container@$container.service" || refuse "the container of $name runs"
  rm --force "$CONTAINERS/$container.conf"
  rm --recursive --force "$drop_in" "${PROFILES:?}/$container"
  systemctl daemon-reload
  exit
fi

[[ $system =~ ^"$STORE"/[0-9a-df-np-sv-z]{32}-[A-Za-z0-9+._?=-]+$ ]] ||
  refuse "the request for $name is no path of the store"
nix-store --check-validity "$system" 2>/dev/null ||
  refuse "the request for $name is not in the store"

marker=$system/etc/hyperhive/agent
[[ -f $marker && $(head --bytes=64 "$marker" | tr --delete '\0') == "$name" ]] ||
  refuse "the request for $name was not made for it"
[ -x "$system/init" ] || refuse "the request for $name is no system"

# The same rule as for declared agents: the address follows from the name.
digits=$(printf %s "$name" | sha256sum)
number=$((FIRST + 0x${digits:0:12} % ROOM))
address=$((number >> 24 & 255)).$((number >> 16 & 255)).$((number >> 8 & 255)).$((number & 255))
for settings in "$CONTAINERS"/*.conf; do
  if [ -f "$settings" ] && [ "$settings" != "$CONTAINERS/$container.conf" ] &&
    grep --quiet --line-regexp --fixed-strings "LOCAL_ADDRESS=$address" "$settings"; then
    refuse "$name would have the address $address of another container; give it another name"
  fi
done

mkdir --parents "$CONTAINERS" "$PROFILES/$container" "$drop_in"
if ! cmp --silent "$UNIT" "$drop_in/hyperhive.conf"; then
  write "$drop_in/hyperhive.conf" <"$UNIT"
  systemctl daemon-reload
fi
# What lies there is not collected as garbage.
ln --symbolic --force --no-target-directory "$system" "$PROFILES/$container/.system.new"
mv --force --no-target-directory "$PROFILES/$container/.system.new" "$PROFILES/$container/system"
# Last, because with its settings a container can be started.
sed -e "s|@name@|$name|g" -e "s|@address@|$address|g" -e "s|@system@|$system|g" "$TEMPLATE" |
  write "$CONTAINERS/$container.conf"
