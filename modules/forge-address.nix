# Where the forge is reached, and whose it is. Pure.
{ lib }:
cfg:
let
  inherit (cfg) forge;
  address = (import ./addresses.nix { inherit lib; }).hostOf cfg.network.subnet;
  isForgejo = forge.kind == "forgejo";
in
rec {
  inherit address;

  # Whether it runs on this host because of the hive.
  isHere = forge.kind == "embedded" || isOurForgejo;
  isOurForgejo = isForgejo && forge.url == null;

  url = if isHere then "http://${address}:${toString forge.port}" else forge.url;

  # What the unit that makes the administrator of our Forgejo writes.
  token = "/var/lib/hyperhive-forge/token";
}
