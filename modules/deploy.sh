# Installs the system of one spawned agent, as root: checks what it is given and evaluates nothing.
#
#   deploy.sh NAME
#
# The request is the file $REQUESTS/NAME: one line, the path in the store of a system that was built
# for that agent. It becomes the container's profile, and the container's settings are those of
# $TEMPLATE, whoever asks: its own users, its own network, the mounts of every agent. What a request
# holds is never printed, because it may be a link to what only root can read.
#
# Also in the environment: DECLARED (names that are not to be touched), CONTAINERS and PROFILES
# (directories), STORE, FIRST and ROOM (the first address as a number, and how many there are).
set -euo pipefail
umask 022

refuse() {
  echo "hyperhive-deploy: $1" >&2
  exit 1
}

[ $# -eq 1 ] || refuse "name one agent"
name=$1
container=h-$name

[[ $name =~ ^[a-z][a-z0-9-]{1,10}$ && $name != *--* && $name != *- ]] ||
  refuse "that is no name of an agent"
[[ " $DECLARED " != *" $name "* ]] ||
  refuse "$name is declared in the host's configuration, and changes with the next switch"

request=$REQUESTS/$name
[[ -f $request && ! -L $request ]] || refuse "there is no request for $name"
system=$(head --bytes=512 "$request" | tr --delete '\0')

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

# Settings first: a container that has a system and no settings would start without its walls.
mkdir --parents "$CONTAINERS" "$PROFILES/$container"
fresh=$CONTAINERS/.$container.conf.new
sed -e "s|@name@|$name|g" -e "s|@address@|$address|g" "$TEMPLATE" >"$fresh"
mv --force --no-target-directory "$fresh" "$CONTAINERS/$container.conf"
nix-env --profile "$PROFILES/$container/system" --set "$system"
